// Values that an API should not be sent, and values that its schemas describe: fast-check's arbitraries of both.
import fc from "fast-check";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Strings that have broken something somewhere. */
export const nastyText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "\r\nX: y",
    "../../../etc/passwd",
    "/",
    "//",
    ".",
    "..",
    "-1",
    "1e309",
    "0x10",
    "NaN",
    "9223372036854775808",
    "18446744073709551616",
    "null",
    "undefined",
    "__proto__",
    "constructor",
    "toString",
    "%",
    "%00",
    "%zz",
    "%n%s%x",
    "$(x)",
    "'; --",
    "\\",
    '"',
    "\ud800",
    "\u202e",
    "\ufeff",
    "İ",
    "ﬀ",
    "👩‍👩‍👧‍👧",
    "a:b:c:d:e:f",
    "=",
    ",",
    "{",
    "[]",
    "sha256:",
    "busybox@sha256:zz",
    "SIGRTMIN+99",
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.nat({ max: 5000 }).map((length) => "A".repeat(length)),
);

const nastyNumber = fc.oneof(
  fc.constantFrom(-1, 0, 1, -0.5, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64, 1e308, -(2 ** 63), 65536),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);

function nested(depth: number, list: boolean): Json {
  let value: Json = 1;
  for (let level = 0; level < depth; level++) value = list ? [value] : { a: value };
  return value;
}

/** A value of whatever kind. */
export const nasty: fc.Arbitrary<Json> = fc.oneof(
  { weight: 4, arbitrary: nastyText },
  { weight: 4, arbitrary: nastyNumber },
  { weight: 1, arbitrary: fc.boolean() },
  { weight: 2, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: fc.constantFrom<Json[]>([], {}, [null], [[]], { "": "" }, [{}], { a: null }) },
  { weight: 2, arbitrary: fc.array(nastyText, { maxLength: 4 }) },
  { weight: 2, arbitrary: fc.dictionary(nastyText, nastyText, { maxKeys: 3, noNullPrototype: true }) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat({ max: 2000 }), fc.boolean()).map(([depth, list]) => nested(depth, list)),
  },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json> },
);

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: Json[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
}

/** Words that mean something to an engine, so that a request gets past its first check. Nothing here names a file of the
 * machine that a container should not have. */
const sensibleText = fc.constantFrom(
  "busybox",
  "true",
  "sleep",
  "a",
  "abuse-running",
  "abuse-created",
  "80/tcp",
  "A=b",
  "/dev/null",
  "/tmp/abuse",
  "rw",
  "none",
  "host",
  "bridge",
  "default",
  "json-file",
  "no",
  "1g",
  "root",
  "0",
  "1000:1000",
  "SIGTERM",
  "runc",
  "CAP_CHOWN",
  "172.30.0.9",
  "02:42:ac:11:00:02",
);

/** Arbitraries of what schemas describe: mostly what they ask for, in parts, and never deep. */
export function schemaValues(definitions: Readonly<Record<string, object>>) {
  const known = new Map<string, fc.Arbitrary<Json>>();

  function fields(schema: Schema): Record<string, Schema> {
    const own = schema.$ref ? fields(definition(schema.$ref)) : {};
    return Object.assign(own, ...(schema.allOf ?? []).map(fields), schema.properties ?? {});
  }
  function definition(reference: string): Schema {
    return (definitions[reference.split("/").at(-1) ?? ""] ?? {}) as Schema;
  }

  function arbitraryOf(schema: Schema, depth: number): fc.Arbitrary<Json> {
    if (depth > 5) return fc.constant(null);
    if (schema.$ref) {
      const key = `${schema.$ref} ${depth}`;
      const made = known.get(key) ?? arbitraryOf({ ...definition(schema.$ref) }, depth);
      known.set(key, made);
      return made;
    }
    if (schema.enum) return fc.constantFrom(...schema.enum);
    const properties = fields(schema);
    if (Object.keys(properties).length > 0) return someOf(properties, depth);
    switch ([schema.type].flat()[0]) {
      case "boolean":
        return fc.boolean();
      case "integer":
      case "number":
        return fc.oneof(fc.nat({ max: 10 }), fc.constantFrom(64 << 20, 1000, 100_000));
      case "array":
        return fc.array(arbitraryOf(schema.items ?? {}, depth + 1), { maxLength: 2 });
      case "object": {
        const { additionalProperties: values } = schema;
        return fc.dictionary(
          sensibleText,
          typeof values === "object" ? arbitraryOf(values, depth + 1) : sensibleText,
          {
            maxKeys: 2,
            noNullPrototype: true,
          },
        );
      }
      default:
        return sensibleText;
    }
  }

  /** A few of the fields. */
  function someOf(properties: Record<string, Schema>, depth: number): fc.Arbitrary<Json> {
    const names = Object.keys(properties);
    const field = fc
      .constantFrom(...names)
      .chain((name) => arbitraryOf(properties[name] ?? {}, depth + 1).map((value) => [name, value] as const));
    return fc.array(field, { maxLength: 4 }).map((found) => Object.fromEntries(found));
  }

  return (schema: object): fc.Arbitrary<Json> => arbitraryOf(schema as Schema, 0);
}

/** Where a value can be changed: its nodes, by the way to them; what lies very deep is left as it is. */
function nodes(value: Json, way: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null || way.length > 8) return [way];
  return [way, ...Object.entries(value).flatMap(([name, item]) => nodes(item, [...way, name]))];
}

/** A copy with one node replaced. */
function replace(value: Json, way: readonly (string | number)[], by: Json): Json {
  const [first, ...rest] = way;
  if (first === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, Json>;
  // Assigning to __proto__ would set a prototype instead of a name.
  Object.defineProperty(copy, first, {
    value: replace(copy[first] ?? null, rest, by),
    enumerable: true,
    configurable: true,
    writable: true,
  });
  return copy as Json;
}

/** The value with some of its nodes replaced by nasty ones. */
export const spoilt = (values: fc.Arbitrary<Json>): fc.Arbitrary<Json> =>
  fc.tuple(values, fc.array(fc.tuple(fc.nat(), nasty), { maxLength: 3 })).map(([value, faults]) =>
    faults.reduce((sound, [index, by]) => {
      const ways = nodes(sound).slice(0, 200);
      return replace(sound, ways[index % ways.length] ?? [], by);
    }, value),
  );
