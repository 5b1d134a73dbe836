// JSON bodies as Docker's own decoder reads them (names in any case), but for one thing: a name twice is refused, since two
// readers may differ over which of them counts.
import { z } from "zod";
import { invalid } from "../engine/errors.ts";

const WHITE = /[\s]*/y;
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/y;

/** Throws for an object with one name twice. `text` is JSON: it has been parsed. */
function refuseDuplicates(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  let expectsName = false;
  for (let at = 0; at < text.length; ) {
    WHITE.lastIndex = at;
    WHITE.exec(text);
    TOKEN.lastIndex = WHITE.lastIndex;
    const token = TOKEN.exec(text)?.[0];
    if (token === undefined) return;
    at = TOKEN.lastIndex;
    const names = open.at(-1);
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : undefined);
      expectsName = token === "{";
    } else if (token === "}" || token === "]") {
      open.pop();
      expectsName = false;
    } else if (token === ",") expectsName = names !== undefined;
    else if (names && expectsName && token.startsWith('"')) {
      const name = JSON.parse(token) as string;
      if (names.has(name)) throw invalid(`invalid JSON: the name ${token} stands twice in one object`);
      names.add(name);
      expectsName = false;
    }
  }
}

/** What Docker's decoder says of a text that JSON.parse refused. */
function refusal(text: string, message: string): string {
  if (/^Unexpected non-whitespace character after JSON/.test(message)) return "unexpected content after JSON";
  if (/^Unexpected end of JSON|^Unterminated string/.test(message)) return "unexpected EOF";
  const position = /at position (\d+)/.exec(message)?.[1];
  const character = /^Unexpected token '(.+?)'/su.exec(message)?.[1] ?? text[Number(position)];
  if (character === undefined) return position ? "unexpected EOF" : message;
  const shown = `invalid character '${character}'`;
  if (/^Unexpected token/.test(message)) return `${shown} looking for beginning of value`;
  if (/^Expected (?:double-quoted )?property name/.test(message))
    return `${shown} looking for beginning of object key string`;
  if (/^Expected ':'/.test(message)) return `${shown} after object key`;
  if (/^Expected ',' or '}'/.test(message)) return `${shown} after object key:value pair`;
  if (/^Expected ',' or ']'/.test(message)) return `${shown} after array element`;
  return message;
}

/** A request's body as a value; undefined for none. */
export function parseBody(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  const text = bytes.toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = refusal(text, (error as Error).message);
    throw invalid(reason.startsWith("unexpected content") ? reason : `invalid JSON: ${reason}`);
  }
  refuseDuplicates(text);
  return value;
}

/** The schema below optional, nullable and transformed ones. */
function inner(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return inner(schema.unwrap());
  if (schema instanceof z.ZodPipe) return inner(schema.in);
  return schema;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The value with the names of its objects' fields spelled as in the schema; the keys of maps stay as they are. Throws for
 * a field that is given twice, in two spellings. */
export function spellAs(schema: z.core.$ZodType, value: unknown): unknown {
  const wanted = inner(schema);
  if (wanted instanceof z.ZodArray && Array.isArray(value))
    return value.map((item) => spellAs(wanted.element, item));
  if (!isObject(value)) return value;
  if (wanted instanceof z.ZodRecord)
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, spellAs(wanted.valueType, item)]),
    );
  if (!(wanted instanceof z.ZodObject)) return value;
  const shape = wanted.shape as Readonly<Record<string, z.core.$ZodType>>;
  const open = wanted.def.catchall !== undefined;
  const spellings = new Map(Object.keys(shape).map((name) => [name.toLowerCase(), name]));
  const result: Record<string, unknown> = {};
  for (const [given, item] of Object.entries(value)) {
    const name = spellings.get(given.toLowerCase()) ?? (open ? given : undefined);
    if (name === undefined) continue; // as Docker: what is not known is not there
    if (name in result) throw invalid(`invalid JSON: field ${name} is given twice, in two spellings`);
    const field = shape[name];
    result[name] = field ? spellAs(field, item) : item;
  }
  return result;
}
