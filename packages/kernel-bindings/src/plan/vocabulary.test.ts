// The vocabulary here is the launcher's: code, name, stage and fields.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decodePlan } from "./decode.ts";
import { describeStep } from "./describe.ts";
import { encodePlan } from "./encode.ts";
import { explainPlan } from "./explain.ts";
import { type FieldType, type Op, type Step, schemaLetters, vocabulary } from "./vocabulary.ts";

const launcher = join(import.meta.dirname, "../../launcher/build/tsd-launcher");
const stages = ["monitor", "host", "child"];

/** Buffers, which JSON writes as lists of numbers. */
const revive = (_key: string, value: unknown): unknown =>
  value && typeof value === "object" && "0" in value && !Array.isArray(value)
    ? Buffer.from(Object.values(value as Record<string, number>))
    : value;

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

  it("has kernel calls and a reason for every step but the tests' own", () => {
    for (const op of Object.keys(vocabulary) as Op[]) {
      if (op.startsWith("fail.")) continue;
      const [step] = explainPlan([sample(op)]);
      expect(step?.why, op).toMatch(/\w{3}/);
      if (!op.startsWith("netlink")) expect(step?.calls.length, op).toBeGreaterThan(0);
    }
  });

  it("decodes what it encodes", () => {
    const all = (Object.keys(vocabulary) as Op[]).map(sample);
    const back = decodePlan(encodePlan(all));
    expect(back.map((step) => ({ ...step }))).toEqual(
      all.map((step) => JSON.parse(JSON.stringify(step), revive) as Step),
    );
    const large: Step = { op: "capabilities.bounding", keep: 0xffffffffffffffffn };
    expect(decodePlan(encodePlan([large]))).toEqual([large]);
  });

  it("refuses to decode what another version wrote, or what is cut short", () => {
    const bytes = encodePlan([{ op: "hostname", name: "box" }]);
    expect(() => decodePlan(bytes.subarray(0, bytes.length - 1))).toThrow(/cut short/);
    const unknown = Buffer.from(bytes);
    unknown.writeUInt32LE(9999, 12);
    expect(() => decodePlan(unknown)).toThrow(/does not know/);
    const longer = Buffer.concat([bytes, Buffer.alloc(4)]);
    longer.writeUInt32LE(12, 16);
    expect(() => decodePlan(longer)).toThrow(/another version/);
  });

  it("puts fields where the launcher reads them", () => {
    const bytes = encodePlan([{ op: "hostname", name: "box" }]);
    expect(bytes.subarray(12)).toEqual(Buffer.from([36, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 98, 111, 120, 0]));
  });
});
