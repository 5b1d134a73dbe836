// Encodes a launch plan as the bytes the launcher decodes (launcher/plan.h describes the format).
import { type FieldType, type Plan, type Step, vocabulary } from "./vocabulary.ts";

const VERSION = 1;

/** A growing buffer; the launcher's machine is this one, so numbers are little-endian. */
class Writer {
  #buffer = Buffer.allocUnsafe(16384);
  length = 0;

  #reserve(size: number): void {
    if (this.length + size <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.length + size));
    this.#buffer.copy(grown, 0, 0, this.length);
    this.#buffer = grown;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.length = this.#buffer.writeUInt32LE(value, this.length);
  }

  u64(value: number | bigint): void {
    this.#reserve(8);
    this.length = this.#buffer.writeBigUInt64LE(BigInt(value), this.length);
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.length);
    this.length += value.length;
  }

  string(value: string): void {
    if (value.includes("\0"))
      throw new RangeError(`a string of a launch plan contains NUL: ${JSON.stringify(value)}`);
    const size = Buffer.byteLength(value);
    this.u32(size);
    this.#reserve(size + 1);
    this.length += this.#buffer.write(value, this.length);
    this.length = this.#buffer.writeUInt8(0, this.length);
  }

  patchU32(value: number, at: number): void {
    this.#buffer.writeUInt32LE(value, at);
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }
}

const writers: Record<FieldType, (writer: Writer, value: unknown) => void> = {
  number: (writer, value) => writer.u64(value as number | bigint),
  flag: (writer, value) => writer.u64(value ? 1 : 0),
  string: (writer, value) => writer.string(value as string),
  bytes: (writer, value) => writer.bytes(value as Uint8Array),
  strings: (writer, value) => {
    const items = value as readonly string[];
    writer.u32(items.length);
    for (const item of items) writer.string(item);
  },
  numbers: (writer, value) => {
    const items = value as readonly number[];
    writer.u32(items.length);
    for (const item of items) writer.u64(item);
  },
};

function encodeStep(writer: Writer, step: Step): void {
  const entry = vocabulary[step.op];
  writer.u32(entry.code);
  const sizeAt = writer.length;
  writer.u32(0);
  const values = step as unknown as Record<string, unknown>;
  for (const [name, type] of Object.entries<FieldType>(entry.fields)) writers[type](writer, values[name]);
  writer.patchU32(writer.length - sizeAt - 4, sizeAt);
}

/** The plan as bytes. Throws RangeError for a string with NUL or a number out of range. */
export function encodePlan(plan: Plan): Buffer {
  const writer = new Writer();
  writer.u32(0x50445354); // "TSDP"
  writer.u32(VERSION);
  writer.u32(plan.length);
  for (const step of plan) encodeStep(writer, step);
  return writer.finish();
}
