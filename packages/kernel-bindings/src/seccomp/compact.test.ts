// A short filter says of every call what the long one says.
import { describe, expect, it } from "vitest";
import {
  ARCHITECTURE_OFFSET,
  BPF,
  compactProgram,
  decodeProgram,
  encodeProgram,
  type Instruction,
  NUMBER_OFFSET,
} from "./compact.ts";
import { compileSeccomp, type SeccompFilter } from "./compile.ts";

interface Call {
  number: number;
  architecture: number;
  arguments: readonly number[];
}

/** Runs a filter as the kernel does. */
function run(program: readonly Instruction[], call: Call): number {
  const words = new Map<number, number>([
    [NUMBER_OFFSET, call.number],
    [ARCHITECTURE_OFFSET, call.architecture],
    ...call.arguments.map((value, index): [number, number] => [16 + 4 * index, value]),
  ]);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const instruction = program[at];
    if (!instruction) throw new Error("ran off its end");
    const { code, yes, no, value } = instruction;
    if (code === BPF.return) return value;
    if (code === BPF.load) accumulator = words.get(value) ?? 0;
    else if (code === BPF.and) accumulator = (accumulator & value) >>> 0;
    else if (code === BPF.jump) at += value;
    else if (code === BPF.jumpEqual) at += accumulator === value ? yes : no;
    else if (code === BPF.jumpGreater) at += accumulator > value ? yes : no;
    else if (code === BPF.jumpAtLeast) at += accumulator >= value ? yes : no;
    else if (code === BPF.jumpSet) at += (accumulator & value) !== 0 ? yes : no;
    else throw new Error(`instruction ${code}`);
  }
}

const X86_64 = 0xc000003e;
const X86 = 0x40000003;
const filter: SeccompFilter = {
  defaultAction: "SCMP_ACT_ERRNO",
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  rules: [
    { names: ["read", "write", "open", "close", "stat", "fstat", "exit_group"], action: "SCMP_ACT_ALLOW" },
    { names: ["openat", "execve", "clock_gettime64", "futex"], action: "SCMP_ACT_ALLOW" },
    {
      names: ["personality"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, op: "SCMP_CMP_EQ", value: 0xffffffffn }],
    },
    { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, op: "SCMP_CMP_NE", value: 40 }] },
    {
      names: ["clone"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, op: "SCMP_CMP_MASKED_EQ", value: 2114060288, valueTwo: 0 }],
    },
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
    { names: ["ioctl"], action: "SCMP_ACT_KILL_PROCESS", args: [{ index: 1, op: "SCMP_CMP_GE", value: 7 }] },
  ],
};

/** A filter for every call below a bound on each architecture, one comparison after another. */
function naive(actions: ReadonlyMap<number, number>, architecture: number): Instruction[] {
  const ends = [...actions].flatMap(([number, action]): Instruction[] => [
    { code: BPF.jumpEqual, value: number, yes: 0, no: 1 },
    { code: BPF.return, value: action, yes: 0, no: 0 },
  ]);
  return [
    { code: BPF.load, value: ARCHITECTURE_OFFSET, yes: 0, no: 0 },
    { code: BPF.jumpEqual, value: architecture, yes: 1, no: 0 },
    { code: BPF.return, value: 0x50001, yes: 0, no: 0 },
    { code: BPF.load, value: NUMBER_OFFSET, yes: 0, no: 0 },
    ...ends,
    { code: BPF.return, value: 0x50026, yes: 0, no: 0 },
  ];
}

describe("a compact filter", () => {
  const compact = decodeProgram(compileSeccomp(filter));

  it("knows what was asked of libseccomp", () => {
    const words = (architecture: number, number: number, ...values: number[]): number =>
      run(compact, { architecture, number, arguments: values.flatMap((value) => [value, 0]) });
    expect(words(X86_64, 0)).toBe(0x7fff0000); // read
    expect(words(X86_64, 101)).toBe(0x50001); // ptrace
    expect(words(X86_64, 41, 40)).toBe(0x50001); // socket(AF_VSOCK)
    expect(words(X86_64, 41, 2)).toBe(0x7fff0000);
    expect(words(X86_64, 56, 0x10000000)).toBe(0x50001); // clone(CLONE_NEWUSER)
    expect(words(X86_64, 56, 17)).toBe(0x7fff0000);
    expect(words(X86_64, 435)).toBe(0x50026); // clone3: ENOSYS
    expect(words(X86_64, 16, 0, 6)).toBe(0x50001); // ioctl
    expect(words(X86_64, 16, 0, 7)).toBe(0x80000000);
    expect(words(X86_64, 1000)).toBe(0x50026); // newer than all that are named
    expect(words(X86, 3)).toBe(0x7fff0000); // read
    expect(words(X86, 0)).toBe(0x50001); // restart_syscall
    expect(words(X86_64, 0x40000000)).toBe(0x7fff0000); // read of x32
    expect(words(0x80000016, 3)).toBe(0x50001); // s390x
  });

  it("is as any program of comparisons is, in fewer instructions", () => {
    let seed = 1;
    const below = (bound: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * bound);
    };
    const actions = [0x7fff0000, 0x50001, 0x50026, 0x80000000];
    for (let round = 0; round < 100; round++) {
      const chosen = Array.from({ length: 1 + below(450) }, (): [number, number] => [
        below(450),
        actions[below(1 + (round % actions.length))] ?? 0,
      ]);
      const long = naive(new Map(chosen), X86_64);
      const short = decodeProgram(compactProgram(encodeProgram(long)));
      expect(short.length).toBeLessThanOrEqual(long.length);
      for (const architecture of [X86_64, X86])
        for (const number of [...Array(452).keys(), 0x40000000, 0xffffffff]) {
          const call = { architecture, number, arguments: [] };
          const [is, was] = [run(short, call), run(long, call)];
          if (is !== was) expect([number, is]).toEqual([number, was]);
        }
    }
  });

  it("leaves alone what it does not reckon with", () => {
    const odd = encodeProgram([
      { code: BPF.load, value: NUMBER_OFFSET, yes: 0, no: 0 },
      { code: BPF.and, value: 0xff, yes: 0, no: 0 },
      { code: BPF.jumpEqual, value: 1, yes: 0, no: 1 },
      { code: BPF.return, value: 0, yes: 0, no: 0 },
      { code: BPF.return, value: 0x7fff0000, yes: 0, no: 0 },
    ]);
    expect(compactProgram(odd)).toBe(odd);
  });
});
