// JSON bodies: names twice, names in another case, and what is left as it is.
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { containerCreateSchema } from "../api/schemas/container-create.ts";
import { parseBody, spellAs } from "./json.ts";

const parse = (text: string): unknown => parseBody(Buffer.from(text));

describe("bodies", () => {
  it("are values, or nothing", () => {
    expect(parse("")).toBeUndefined();
    expect(parse('{"a":[1,{"b":"c\\""}],"d":{}}')).toEqual({ a: [1, { b: 'c"' }], d: {} });
    expect(() => parse("{")).toThrow("invalid JSON");
  });
  it.each([
    ["{invalid json", "invalid JSON: invalid character 'i' looking for beginning of object key string"],
    ["{} x", "unexpected content after JSON"],
    ['{"a" 1}', "invalid JSON: invalid character '1' after object key"],
    ["[1 2]", "invalid JSON: invalid character '2' after array element"],
    ['{"a":1 "b":2}', "invalid JSON: invalid character '\"' after object key:value pair"],
    ['{"a":1', "invalid JSON: unexpected EOF"],
    ["{", "invalid JSON: unexpected EOF"],
  ])("that are none are refused in Docker's words: %s", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
  it("with one name twice are refused, however it is written, and only in one object", () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"a":1,"b":{"x":1},"a":2}',
      '{"x":[{"a":1,"a":1}]}',
      '{"a":1,"\\u0061":2}',
      ' { "a" : 1 , "a" : 2 } ',
      '{"a":"\\"}{,","b":{"c":1,"c":2}}',
    ])
      expect(() => parse(text), text).toThrow("stands twice");
    for (const text of [
      '{"a":{"a":1},"b":{"a":1}}',
      '[{"a":1},{"a":1}]',
      '{"a":"a","b":"a"}',
      '{"a":["a","a"]}',
    ])
      expect(() => parse(text), text).not.toThrow();
  });
  it("of megabytes are read in no time to speak of", () => {
    const text = JSON.stringify({
      list: Array.from({ length: 100_000 }, (_, index) => ({ name: `x${index}` })),
    });
    expect(parse(text)).toBeTruthy();
  });
});

describe("spelling", () => {
  const schema = z.object({
    Name: z.string(),
    Map: z.record(z.string(), z.object({ Inner: z.number() })).nullish(),
  });
  it("of fields is the schema's, of maps' keys their own", () => {
    expect(spellAs(schema, { nAME: "x", MAP: { lower: { inner: 1 }, LOWER: { INNER: 2 } } })).toEqual({
      Name: "x",
      Map: { lower: { Inner: 1 }, LOWER: { Inner: 2 } },
    });
  });
  it("twice in two spellings is refused", () => {
    expect(() => spellAs(schema, { Name: "x", name: "y" })).toThrow("field Name is given twice");
  });
  it("unknown fields go, but not of objects that take any", () => {
    expect(spellAs(schema, { Name: "x", other: 1 })).toEqual({ Name: "x" });
    const open = z.looseObject({ Known: z.string().nullish() });
    expect(spellAs(open, { known: "a", Else: { deep: 1 } })).toEqual({ Known: "a", Else: { deep: 1 } });
  });
  it("holds for a create, through all that wraps its fields", () => {
    const parsed = containerCreateSchema.parse(
      spellAs(containerCreateSchema, {
        image: "busybox",
        labels: { Team: "a", team: "b" },
        hostconfig: { privileged: true, mounts: [{ type: "bind", source: "/a", target: "/b" }] },
      }),
    );
    expect(parsed.HostConfig.Privileged).toBe(true);
    expect(parsed.HostConfig.Mounts[0]).toMatchObject({ Type: "bind", Source: "/a" });
    expect(parsed.Labels).toEqual({ Team: "a", team: "b" });
  });
});
