// Device rules of version 2: a BPF program that says of each use of a device whether it is allowed
// (Documentation/admin-guide/cgroup-v2.rst, "Device controller"; linux/bpf.h).
import type { DeviceRule } from "./port.ts";

/** BPF_DEVCG_ACC_* and BPF_DEVCG_DEV_* of linux/bpf.h. */
const ACCESS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const ALL_ACCESS = 7;
const TYPES: Readonly<Record<string, number>> = { b: 1, c: 2 };

/** A rule taken apart; undefined stands for any. */
export interface ParsedRule {
  type: number | undefined;
  major: number | undefined;
  minor: number | undefined;
  access: number;
}

/** Reads "c 1:3 rwm", "a *:* rwm", "a". Throws for what is none. */
export function parseRule(rule: DeviceRule): ParsedRule {
  const match = /^([abc])(?:\s+(\d+|\*):(\d+|\*)(?:\s+([rwm]{1,3}))?)?$/.exec(rule.trim());
  const [, type = "", major = "*", minor = "*", access = "rwm"] = match ?? [];
  if (!match) throw new RangeError(`not a device rule: ${JSON.stringify(rule)}`);
  const number = (text: string): number | undefined => (text === "*" ? undefined : Number(text));
  return {
    type: TYPES[type],
    major: number(major),
    minor: number(minor),
    access: [...access].reduce((sum, letter) => sum | (ACCESS[letter] ?? 0), 0),
  };
}

/** Rules for the same devices as one: what several of them allow together, version 1 allows at once. */
export function mergeRules(rules: readonly DeviceRule[]): ParsedRule[] {
  const merged = new Map<string, ParsedRule>();
  for (const rule of rules.map(parseRule)) {
    const key = `${rule.type} ${rule.major} ${rule.minor}`;
    merged.set(key, { ...rule, access: rule.access | (merged.get(key)?.access ?? 0) });
  }
  return [...merged.values()];
}

// Instruction codes of linux/bpf.h and linux/bpf_common.h.
const LOAD_WORD = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE_REGISTER = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const MOVE_NUMBER = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND_NUMBER = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP_UNLESS_EQUAL = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const JUMP_UNLESS_SAME = 0x5d; // BPF_JMP | BPF_JNE | BPF_X
const EXIT = 0x95;

function instruction(
  code: number,
  destination: number,
  source: number,
  offset: number,
  value: number,
): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8((source << 4) | destination, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(value | 0, 4);
  return bytes;
}

const [RESULT, CONTEXT, TYPE, WANTED, MAJOR, MINOR] = [0, 1, 2, 3, 4, 5];
const allow = (): Buffer[] => [instruction(MOVE_NUMBER, RESULT, 0, 0, 1), instruction(EXIT, 0, 0, 0, 0)];

/** The instructions for one rule: on to the next where it does not fit, and out where it allows. */
function ruleCode({ type, major, minor, access }: ParsedRule): Buffer[] {
  const tests: ((toNext: number) => Buffer[])[] = [];
  const equal = (register: number, value: number | undefined): void => {
    if (value !== undefined)
      tests.push((toNext) => [instruction(JUMP_UNLESS_EQUAL, register, 0, toNext, value)]);
  };
  equal(TYPE, type);
  if (access !== ALL_ACCESS)
    tests.push((toNext) => [
      instruction(MOVE_REGISTER, CONTEXT, WANTED, 0, 0),
      instruction(AND_NUMBER, CONTEXT, 0, 0, access),
      instruction(JUMP_UNLESS_SAME, CONTEXT, WANTED, toNext, 0),
    ]);
  equal(MAJOR, major);
  equal(MINOR, minor);
  const end = allow();
  // From the back, since each jump has to pass over what follows it.
  let code = end;
  for (const test of tests.reverse()) code = [...test(code.length), ...code];
  return code;
}

/** The program for rules of which any one allows; everything else is denied. */
export function deviceProgram(rules: readonly DeviceRule[]): Buffer {
  const start = [
    // The context's words: access and type in halves of the first, then major and minor.
    instruction(LOAD_WORD, TYPE, CONTEXT, 0, 0),
    instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
    instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    instruction(MOVE_REGISTER, WANTED, TYPE, 0, 0),
    instruction(SHIFT_RIGHT, WANTED, 0, 0, 16),
    instruction(AND_NUMBER, TYPE, 0, 0, 0xffff),
  ];
  const deny = [instruction(MOVE_NUMBER, RESULT, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)];
  return Buffer.concat([...start, ...mergeRules(rules).flatMap(ruleCode), ...deny]);
}
