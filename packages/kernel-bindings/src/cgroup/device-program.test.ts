// The device program: run here instruction by instruction, and compared with what its rules say.
import { describe, expect, it } from "vitest";
import { deviceProgram, mergeRules, parseRule } from "./device-program.ts";

/** A small BPF machine: just the instructions that device programs are made of. */
function run(program: Buffer, use: { type: number; access: number; major: number; minor: number }): number {
  const registers = new Array<number>(11).fill(0);
  const context = [(use.access << 16) | use.type, use.major, use.minor];
  for (let at = 0; at < program.length; at += 8) {
    const code = program.readUInt8(at);
    const [destination, source] = [program.readUInt8(at + 1) & 15, program.readUInt8(at + 1) >> 4];
    const [offset, value] = [program.readInt16LE(at + 2), program.readInt32LE(at + 4)];
    const [a = 0, b = 0] = [registers[destination], registers[source]];
    if (code === 0x61) registers[destination] = context[offset / 4] ?? Number.NaN;
    else if (code === 0xbc) registers[destination] = b;
    else if (code === 0xb7) registers[destination] = value;
    else if (code === 0x54) registers[destination] = (a & value) >>> 0;
    else if (code === 0x74) registers[destination] = a >>> value;
    else if (code === 0x55) at += a === value ? 0 : offset * 8;
    else if (code === 0x5d) at += a === b ? 0 : offset * 8;
    else if (code === 0x95) return registers[0] ?? Number.NaN;
    else throw new Error(`instruction 0x${code.toString(16)}`);
  }
  throw new Error("the program has no end");
}

const letters = { b: 1, c: 2, m: 1, r: 2, w: 4 } as const;
const uses = (program: Buffer, text: string): boolean => {
  const [, type = "c", major, minor, access = ""] = /^([bc]) (\d+):(\d+) ([rwm]+)$/.exec(text) ?? [];
  const bits = [...access].reduce((sum, letter) => sum | letters[letter as "r"], 0);
  return (
    run(program, { type: letters[type as "c"], access: bits, major: Number(major), minor: Number(minor) }) ===
    1
  );
};

describe("the device program", () => {
  it("allows what a rule allows, and nothing else", () => {
    const program = deviceProgram(["c *:* m", "c 1:3 rwm", "c 136:* rw", "b 7:7 r"]);
    for (const allowed of ["c 9:9 m", "c 1:3 rwm", "c 1:3 r", "c 136:42 rw", "c 136:0 w", "b 7:7 r"])
      expect(uses(program, allowed), allowed).toBe(true);
    for (const denied of [
      "b 9:9 m",
      "c 1:5 r",
      "c 9:9 rm",
      "b 7:7 w",
      "b 7:7 rw",
      "b 7:8 r",
      "b 1:3 r",
      "c 7:7 r",
    ])
      expect(uses(program, denied), denied).toBe(false);
  });
  it("adds up rules for one device", () => {
    const program = deviceProgram(["c 1:3 r", "c 1:3 w"]);
    expect(uses(program, "c 1:3 rw")).toBe(true);
    expect(uses(program, "c 1:3 m")).toBe(false);
    expect(mergeRules(["c 1:3 r", "c 1:3 w", "c 1:4 r"])).toHaveLength(2);
  });
  it('of no rules denies everything, of "a" allows everything', () => {
    expect(uses(deviceProgram([]), "c 1:3 r")).toBe(false);
    expect(uses(deviceProgram(["a"]), "b 8:0 rwm")).toBe(true);
    expect(uses(deviceProgram(["a *:* r"]), "b 8:0 w")).toBe(false);
  });
  it("rules that are none are refused", () => {
    for (const wrong of ["", "d 1:1 r", "c 1 r", "c 1:1 x", "c -1:1 r", "c 1:1 rwmr"])
      expect(() => parseRule(wrong), wrong).toThrow("not a device rule");
  });
});
