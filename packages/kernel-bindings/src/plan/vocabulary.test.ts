// The vocabulary here is the launcher's: code, name, stage and fields.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { describeStep } from "./describe.ts";
import { encodePlan } from "./encode.ts";
import { type FieldType, type Op, type Step, schemaLetters, vocabulary } from "./vocabulary.ts";

const launcher = join(import.meta.dirname, "../../launcher/build/tsd-launcher");
const stages = ["monitor", "host", "child"];

/** A step with something in each of its fields. */
function sample(op: Op): Step {
  const values: Record<FieldType, unknown> = {
    number: 1,
    flag: true,
    string: "/x",
    bytes: new Uint8Array(8),
    strings: ["a", "b"],
    numbers: [1, 2],
  };
  const fields = Object.entries<FieldType>(vocabulary[op].fields).map(([name, type]) => [name, values[type]]);
  return { op, ...Object.fromEntries(fields) } as Step;
}

describe("vocabulary", () => {
  it.skipIf(!existsSync(launcher))("is the launcher's, step by step", () => {
    const theirs = execFileSync(launcher, ["--vocabulary"], { encoding: "utf8" }).trim().split("\n").sort();
    const ours = Object.entries(vocabulary).map(([name, { code, stage, fields }]) => {
      const schema = Object.values<FieldType>(fields)
        .map((type) => schemaLetters[type])
        .join("");
      return `${code} ${name} ${stages.indexOf(stage)} ${schema}`;
    });
    expect(ours.map((line) => line.trim()).sort()).toEqual(theirs.map((line) => line.trim()));
  });

  it("has words for every step", () => {
    for (const op of Object.keys(vocabulary) as Op[]) expect(describeStep(sample(op))).toMatch(/\w{3}/);
  });

  it("encodes every step, and refuses strings with NUL", () => {
    const all = (Object.keys(vocabulary) as Op[]).map(sample);
    const bytes = encodePlan(all);
    expect(bytes.toString("latin1", 0, 4)).toBe("TSDP");
    expect(bytes.readUInt32LE(8)).toBe(all.length);
    expect(() => encodePlan([{ op: "hostname", name: "a\0b" }])).toThrow(/NUL/);
  });

  it("puts fields where the launcher reads them", () => {
    const bytes = encodePlan([{ op: "hostname", name: "box" }]);
    expect(bytes.subarray(12)).toEqual(Buffer.from([36, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 98, 111, 120, 0]));
  });
});
