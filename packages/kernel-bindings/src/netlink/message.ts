// rtnetlink messages as bytes (rtnetlink(7), netlink(7)): pure, so that plans can carry and tests compare them.

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_EXCL = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

/** An attribute: a number of 8, 16 or 32 bits, one of 32 or 64 bits in network order (nfnetlink), a NUL-terminated string,
 * raw bytes, or nested attributes. */
export type Attribute = readonly [
  type: number,
  value:
    | { u8: number }
    | { u16: number }
    | { u32: number }
    | { be32: number }
    | { be64: bigint }
    | { string: string }
    | { bytes: Uint8Array }
    | { nested: readonly Attribute[] },
];

const align = (size: number): number => (size + 3) & ~3;

function valueBytes(value: Attribute[1]): Uint8Array {
  if ("bytes" in value) return value.bytes;
  if ("string" in value) return Buffer.from(`${value.string}\0`);
  if ("nested" in value) return Buffer.concat(value.nested.map(attributeBytes));
  if ("be32" in value || "be64" in value) {
    const number = Buffer.alloc("be32" in value ? 4 : 8);
    if ("be32" in value) number.writeUInt32BE(value.be32 >>> 0);
    else number.writeBigUInt64BE(value.be64);
    return number;
  }
  const buffer = Buffer.alloc("u8" in value ? 1 : "u16" in value ? 2 : 4);
  if ("u8" in value) buffer.writeUInt8(value.u8);
  else if ("u16" in value) buffer.writeUInt16LE(value.u16);
  else buffer.writeUInt32LE(value.u32);
  return buffer;
}

function attributeBytes([type, value]: Attribute): Buffer {
  const body = valueBytes(value);
  const out = Buffer.alloc(align(4 + body.length));
  out.writeUInt16LE(4 + body.length, 0);
  out.writeUInt16LE(type, 2);
  out.set(body, 4);
  return out;
}

/** Attributes one after the other, aligned. */
export const attributesBytes = (attributes: readonly Attribute[]): Buffer =>
  Buffer.concat(attributes.map(attributeBytes));

/** One message, always a request to be acknowledged. */
export function message(
  type: number,
  flags: number,
  header: Uint8Array,
  attributes: readonly Attribute[],
): Buffer {
  const body = attributesBytes(attributes);
  const out = Buffer.alloc(16 + align(header.length) + body.length);
  out.writeUInt32LE(out.length, 0);
  out.writeUInt16LE(type, 4);
  out.writeUInt16LE(flags | NLM_F_REQUEST | NLM_F_ACK, 6);
  out.set(header, 16);
  out.set(body, 16 + align(header.length));
  return out;
}

/** One message of an answer. */
export interface Answer {
  type: number;
  body: Buffer;
}

/** Splits a batch, or what was received, into messages with their headers. */
export function splitMessages(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let offset = 0; offset + 16 <= bytes.length; ) {
    const length = bytes.readUInt32LE(offset);
    if (length < 16 || offset + length > bytes.length) break;
    messages.push(bytes.subarray(offset, offset + length));
    offset += align(length);
  }
  return messages;
}

/** As splitMessages, with what is in the headers. */
export const parseMessages = (bytes: Buffer): Answer[] =>
  splitMessages(bytes).map((one) => ({ type: one.readUInt16LE(4), body: one.subarray(16) }));

/** Reads attributes into a map by type; the kernel's flag bits on nested ones are dropped. */
export function parseAttributes(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let offset = 0; offset + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(offset);
    if (length < 4 || offset + length > bytes.length) break;
    found.set(bytes.readUInt16LE(offset + 2) & 0x3fff, bytes.subarray(offset + 4, offset + length));
    offset += align(length);
  }
  return found;
}
