// Reads a launch plan back from the bytes it was encoded as (encode.ts): what a container's present life was started with.
import { type FieldType, type Op, type Plan, type Step, vocabulary } from "./vocabulary.ts";

const MAGIC = 0x50445354; // "TSDP"
const VERSION = 1;

/** The bytes are no plan, or one of another version of the vocabulary. */
export class PlanFormatError extends Error {}

const byCode = new Map<number, Op>((Object.keys(vocabulary) as Op[]).map((op) => [vocabulary[op].code, op]));

class Reader {
  readonly #bytes: Buffer;
  at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(size: number): number {
    if (this.at + size > this.#bytes.length) throw new PlanFormatError("the plan is cut short");
    this.at += size;
    return this.at - size;
  }
  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }
  /** A bigint only where a number would lose something. */
  u64(): number | bigint {
    const value = this.#bytes.readBigUInt64LE(this.#take(8));
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  }
  bytes(): Buffer {
    const size = this.u32();
    const at = this.#take(size);
    return this.#bytes.subarray(at, at + size);
  }
  string(): string {
    const size = this.u32();
    const at = this.#take(size + 1);
    return this.#bytes.toString("utf8", at, at + size);
  }
  list<T>(item: () => T): T[] {
    return Array.from({ length: this.u32() }, item);
  }
}

const readers: Record<FieldType, (reader: Reader) => unknown> = {
  number: (reader) => reader.u64(),
  flag: (reader) => reader.u64() !== 0,
  string: (reader) => reader.string(),
  bytes: (reader) => reader.bytes(),
  strings: (reader) => reader.list(() => reader.string()),
  numbers: (reader) => reader.list(() => reader.u64()),
};

/** The plan in these bytes. Throws PlanFormatError for what was encoded by another version. */
export function decodePlan(bytes: Buffer): Plan {
  const reader = new Reader(bytes);
  if (reader.u32() !== MAGIC) throw new PlanFormatError("these bytes are no launch plan");
  if (reader.u32() !== VERSION) throw new PlanFormatError("the plan is of another version");
  return reader.list((): Step => {
    const code = reader.u32();
    const op = byCode.get(code);
    const size = reader.u32();
    const end = reader.at + size;
    if (!op) throw new PlanFormatError(`the plan has a step ${code} that this version does not know`);
    const fields = Object.entries<FieldType>(vocabulary[op].fields);
    const step = { op, ...Object.fromEntries(fields.map(([name, type]) => [name, readers[type](reader)])) };
    if (reader.at !== end) throw new PlanFormatError(`step ${op} of the plan is of another version`);
    return step as Step;
  });
}
