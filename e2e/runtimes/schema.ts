// A configuration held against the runtime specification's schema: as much of JSON Schema as that uses.
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Schema {
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  patternProperties?: Record<string, Schema>;
  items?: Schema;
  minItems?: number;
  enum?: unknown[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  allOf?: Schema[];
  anyOf?: Schema[];
  definitions?: Record<string, Schema>;
}

/** Stricter than the specification's: what it does not name is refused. */
const root = JSON.parse(readFileSync(join(import.meta.dirname, "config-schema.json"), "utf8")) as Schema;

const typeOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
const fits = (type: string, value: unknown): boolean =>
  type === "integer" ? Number.isInteger(value) : type === typeOf(value);

function objectProblems(schema: Schema, value: Record<string, unknown>, at: string): string[] {
  const { properties = {}, required = [], additionalProperties, patternProperties = {} } = schema;
  const missing = required.filter((name) => !(name in value)).map((name) => `${at}.${name} is missing`);
  const others = Object.entries(value).flatMap(([name, one]) => {
    const pattern = Object.keys(patternProperties).find((text) => new RegExp(text).test(name));
    const own = properties[name] ?? (pattern ? patternProperties[pattern] : undefined);
    if (own) return problems(own, one, `${at}.${name}`);
    if (additionalProperties === false) return [`${at}.${name} is unknown`];
    return typeof additionalProperties === "object"
      ? problems(additionalProperties, one, `${at}.${name}`)
      : [];
  });
  return [...missing, ...others];
}

/** What is wrong with a value; empty when nothing is. */
function problems(schema: Schema, value: unknown, at: string): string[] {
  if (schema.$ref) {
    const name = schema.$ref.replace("#/definitions/", "");
    const target = root.definitions?.[name];
    if (!target) throw new Error(`no definition of ${name}`);
    return problems(target, value, at);
  }
  const found: string[] = [];
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length > 0 && !types.some((type) => fits(type, value)))
    return [`${at} is ${typeOf(value)}, not ${types.join(" or ")}`];
  if (schema.enum && !schema.enum.includes(value)) found.push(`${at} is ${JSON.stringify(value)}`);
  if (typeof value === "string" && schema.pattern && !new RegExp(schema.pattern).test(value))
    found.push(`${at} is ${JSON.stringify(value)}, not ${schema.pattern}`);
  if (typeof value === "number") {
    if (value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity))
      found.push(`${at} is ${value}: not from ${schema.minimum} to ${schema.maximum}`);
  }
  if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0)) found.push(`${at} has ${value.length} items`);
    const { items } = schema;
    if (items) found.push(...value.flatMap((one, index) => problems(items, one, `${at}[${index}]`)));
  } else if (typeof value === "object" && value !== null)
    found.push(...objectProblems(schema, value as Record<string, unknown>, at));
  found.push(...(schema.allOf ?? []).flatMap((one) => problems(one, value, at)));
  if (schema.anyOf && !schema.anyOf.some((one) => problems(one, value, at).length === 0))
    found.push(`${at} is none of what it may be`);
  return found;
}

export const configProblems = (config: unknown): string[] => problems(root, config, "config");
