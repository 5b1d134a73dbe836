// Makes a compiled filter short: calls whose numbers follow one another and that are treated alike become one range. The kernel
// translates a filter anew at each start, so its length is a part of the start's time.

/** One instruction of classic BPF (linux/filter.h). Jumps count from the instruction after them. */
export interface Instruction {
  code: number;
  yes: number;
  no: number;
  value: number;
}

export const BPF = {
  load: 0x20,
  and: 0x54,
  jump: 0x05,
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpAtLeast: 0x35,
  jumpSet: 0x45,
  return: 0x06,
} as const;
/** Offsets in struct seccomp_data (seccomp(2)). */
export const NUMBER_OFFSET = 0;
export const ARCHITECTURE_OFFSET = 4;

const BYTES = 8;
const NUMBERS = 2 ** 32;
const FARTHEST = 255;
/** More parts than this into which one test of a bit would cut the numbers are not worth it. */
const MOST_PARTS = 256;

export function decodeProgram(program: Buffer): Instruction[] {
  return Array.from({ length: program.length / BYTES }, (_, index) => {
    const at = index * BYTES;
    return {
      code: program.readUInt16LE(at),
      yes: program.readUInt8(at + 2),
      no: program.readUInt8(at + 3),
      value: program.readUInt32LE(at + 4),
    };
  });
}

export function encodeProgram(instructions: readonly Instruction[]): Buffer {
  const program = Buffer.alloc(instructions.length * BYTES);
  for (const [index, { code, yes, no, value }] of instructions.entries()) {
    const at = index * BYTES;
    program.writeUInt16LE(code, at);
    program.writeUInt8(yes, at + 2);
    program.writeUInt8(no, at + 3);
    program.writeUInt32LE(value >>> 0, at + 4);
  }
  return program;
}

/** A filter may have what this file does not reckon with; then it stays as it is. */
class Unexpected extends Error {}

/** Whether a comparison holds; undefined for what is no comparison with a constant. */
function holds({ code, value }: Instruction, accumulator: number): boolean | undefined {
  if (code === BPF.jumpEqual) return accumulator === value;
  if (code === BPF.jumpGreater) return accumulator > value;
  if (code === BPF.jumpAtLeast) return accumulator >= value;
  if (code === BPF.jumpSet) return (accumulator & value) !== 0;
  return undefined;
}

function instructionAt(program: readonly Instruction[], at: number): Instruction {
  const found = program[at];
  if (!found) throw new Unexpected("a jump beyond the end");
  return found;
}

/** Where the instruction at `at` may lead to. */
function followers(program: readonly Instruction[], at: number): number[] {
  const { code, yes, no, value } = instructionAt(program, at);
  if (code === BPF.return) return [];
  if (code === BPF.jump) return [at + 1 + value];
  if (code === BPF.load || code === BPF.and) return [at + 1];
  if (![BPF.jumpEqual, BPF.jumpGreater, BPF.jumpAtLeast, BPF.jumpSet].some((jump) => jump === code))
    throw new Unexpected(`instruction ${code}`);
  return [at + 1 + yes, at + 1 + no];
}

/** The instruction at which it comes to what a call's arguments are, or to an end, for calls with this number. */
function leafOf(program: readonly Instruction[], architecture: number, number: number): number {
  let accumulator: number | undefined;
  for (let at = 0; ; ) {
    const instruction = instructionAt(program, at);
    const { code, yes, no, value } = instruction;
    if (code === BPF.return) return at;
    if (code === BPF.jump) at += 1 + value;
    else if (code === BPF.load) {
      if (value !== NUMBER_OFFSET && value !== ARCHITECTURE_OFFSET) return at;
      accumulator = value === NUMBER_OFFSET ? number : architecture;
      at++;
    } else {
      const result = accumulator === undefined ? undefined : holds(instruction, accumulator);
      if (result === undefined) throw new Unexpected(`instruction ${code}`);
      at += 1 + (result ? yes : no);
    }
  }
}

/** Numbers at which a comparison of a call's number may change its result. */
function cuts({ code, value }: Instruction): number[] {
  if (code === BPF.jumpEqual) return [value, value + 1];
  if (code === BPF.jumpGreater) return [value + 1];
  if (code === BPF.jumpAtLeast) return [value];
  if (code !== BPF.jumpSet) return [];
  const parts = NUMBERS / value;
  if (!Number.isInteger(Math.log2(value)) || parts > MOST_PARTS) throw new Unexpected("a test of bits");
  return Array.from({ length: parts }, (_, part) => part * value);
}

/** What a program compares before it looks at arguments: architectures, and where calls' numbers are cut. */
function comparisons(program: readonly Instruction[]): { architectures: number[]; starts: number[] } {
  const architectures = new Set<number>();
  const starts = new Set<number>([0]);
  const seen = new Set<string>();
  const open: { at: number; loaded: number }[] = [{ at: 0, loaded: -1 }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { at, loaded } = next;
    if (seen.has(`${at} ${loaded}`)) continue;
    seen.add(`${at} ${loaded}`);
    const instruction = instructionAt(program, at);
    const { code, value } = instruction;
    if (code === BPF.load && value !== NUMBER_OFFSET && value !== ARCHITECTURE_OFFSET) continue;
    if (loaded === NUMBER_OFFSET) for (const start of cuts(instruction)) starts.add(start);
    if (loaded === ARCHITECTURE_OFFSET && code === BPF.jumpEqual) architectures.add(value);
    else if (loaded === ARCHITECTURE_OFFSET && holds(instruction, 0) !== undefined)
      throw new Unexpected("a comparison of architectures");
    for (const follower of followers(program, at))
      open.push({ at: follower, loaded: code === BPF.load ? value : loaded });
  }
  starts.delete(NUMBERS);
  return { architectures: [...architectures], starts: [...starts].sort((a, b) => a - b) };
}

/** A copy of what can be reached from an instruction: jumps lead forward only, so the order stays. */
function extract(program: readonly Instruction[], from: number): Instruction[] {
  const reached = new Set<number>([from]);
  for (const at of reached) for (const follower of followers(program, at)) reached.add(follower);
  const kept = [...reached].sort((a, b) => a - b);
  const places = new Map(kept.map((at, index) => [at, index]));
  return kept.map((at, index) => {
    const instruction = instructionAt(program, at);
    const { code, yes, no, value } = instruction;
    const distance = (skip: number): number => (places.get(at + 1 + skip) ?? Number.NaN) - index - 1;
    if (code === BPF.jump) return { ...instruction, value: distance(value) };
    if (code === BPF.return || followers(program, at).length === 1) return instruction;
    return { ...instruction, yes: distance(yes), no: distance(no) };
  });
}

/** Writes a program from its end to its start, since all jumps lead forward: whoever jumps knows where to. A place is counted
 * from the end. */
class Assembler {
  readonly #backward: Instruction[] = [];
  readonly #known = new Map<string, number>();

  #push(code: number, value: number, yes = 0, no = 0): number {
    return this.#backward.push({ code, value, yes, no }) - 1;
  }

  /** How many instructions one that is written next has to skip. */
  #distance(place: number): number {
    return this.#backward.length - place - 1;
  }

  /** The place itself, or that of a long jump to it. */
  #near(place: number): number {
    return this.#distance(place) < FARTHEST ? place : this.#push(BPF.jump, this.#distance(place));
  }

  /** These instructions, unless they stand somewhere already from where they are cheaper to have. */
  code(name: string, instructions: readonly Instruction[]): number {
    const known = this.#known.get(name);
    if (known !== undefined && (instructions.length > 1 || this.#distance(known) < FARTHEST / 2))
      return known;
    for (const instruction of instructions.toReversed()) this.#backward.push(instruction);
    const place = this.#backward.length - 1;
    this.#known.set(name, place);
    return place;
  }

  compare(code: number, value: number, yes: number, no: number): number {
    const then = this.#near(yes);
    const otherwise = this.#near(no);
    return this.#push(code, value, this.#distance(then), this.#distance(otherwise));
  }

  /** Loads a word of the call, and goes on at a place. */
  load(offset: number, place: number): number {
    if (this.#distance(place) > 0) this.#push(BPF.jump, this.#distance(place));
    return this.#push(BPF.load, offset);
  }

  get program(): Instruction[] {
    return this.#backward.toReversed();
  }
}

interface Range {
  start: number;
  leaf: string;
}

const sameLeaf = (a: Range | undefined, b: Range | undefined): boolean => a?.leaf === b?.leaf;

/** A search among ranges that follow one another; `leaf` writes what is done at its ends. */
function search(to: Assembler, ranges: readonly Range[], leaf: (name: string) => number): number {
  const [first, second, third] = ranges;
  if (!first || !second) return leaf(first?.leaf ?? "");
  // One call that differs from those around it.
  if (third && ranges.length === 3 && sameLeaf(first, third) && second.start + 1 === third.start)
    return to.compare(BPF.jumpEqual, second.start, leaf(second.leaf), leaf(first.leaf));
  const half = ranges.length >> 1;
  // A cut beside such a call, not through its surroundings.
  const cut = ranges[half + 1] && sameLeaf(ranges[half - 1], ranges[half + 1]) ? half + 1 : half;
  const above = search(to, ranges.slice(cut), leaf);
  const below = search(to, ranges.slice(0, cut), leaf);
  return to.compare(BPF.jumpGreater, (ranges[cut]?.start ?? 0) - 1, above, below);
}

/** The same filter in fewer instructions where that can be had. */
export function compactProgram(program: Buffer): Buffer {
  const instructions = decodeProgram(program);
  try {
    const compact = encodeProgram(compactInstructions(instructions));
    return compact.length < program.length ? compact : program;
  } catch (error) {
    if (error instanceof Unexpected) return program;
    throw error;
  }
}

function compactInstructions(program: readonly Instruction[]): Instruction[] {
  const { architectures, starts } = comparisons(program);
  const leaves = new Map<string, Instruction[]>();
  const names = new Map<number, string>();
  /** Leaves that are alike are one. */
  const leafName = (at: number): string => {
    const known = names.get(at);
    if (known !== undefined) return known;
    const code = extract(program, at);
    const name = JSON.stringify(code);
    leaves.set(name, code);
    names.set(at, name);
    return name;
  };
  const rangesOf = (architecture: number): Range[] => {
    const ranges: Range[] = [];
    for (const start of starts) {
      const leaf = leafName(leafOf(program, architecture, start));
      if (ranges.at(-1)?.leaf !== leaf) ranges.push({ start, leaf });
    }
    return ranges;
  };
  let other = 0;
  while (architectures.includes(other)) other++;
  const to = new Assembler();
  const leaf = (name: string): number => to.code(name, leaves.get(name) ?? []);
  const searchOf = (architecture: number): number => {
    const ranges = rangesOf(architecture);
    const place = search(to, ranges, leaf);
    return ranges.length > 1 ? to.load(NUMBER_OFFSET, place) : place;
  };
  let place = searchOf(other);
  for (const architecture of architectures)
    place = to.compare(BPF.jumpEqual, architecture, searchOf(architecture), place);
  to.load(ARCHITECTURE_OFFSET, place);
  return to.program;
}
