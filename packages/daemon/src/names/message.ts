// Reads DNS messages (RFC 1035, RFC 6891): questions and the places of records, with every bound checked. Answers of other
// servers go through byte for byte, which is why this is not left to a library: decoding and encoding again would lose what
// it does not know.

export const Type = { A: 1, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, ANY: 255 } as const;
export const CLASS_IN = 1;
/** Response codes. */
export const Code = {
  success: 0,
  malformed: 1,
  failure: 2,
  noName: 3,
  notImplemented: 4,
  refused: 5,
} as const;
/** Bits of the header's second word. */
export const Flag = {
  response: 0x8000,
  operation: 0x7800,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  checkingDisabled: 0x0010,
} as const;
export const HEADER_BYTES = 12;
/** What everybody takes over UDP, and what we say that we take (a container's loopback does not fragment that). */
export const PLAIN_PAYLOAD = 512;
export const OWN_PAYLOAD = 4096;
/** What passes a network without being fragmented (DNS flag day 2020). */
export const UPSTREAM_PAYLOAD = 1232;
/** No honest message has more records; walking them is bounded by this. */
const MAXIMUM_RECORDS = 4096;

export interface Edns {
  /** Bytes the sender takes over UDP. */
  payload: number;
  version: number;
  /** Whether records of DNSSEC are wanted. */
  dnssec: boolean;
}

export interface Question {
  /** As bytes, with the question's type and class, in the case in which it was asked. */
  bytes: Buffer;
  /** Lower case, without the last dot; "" is the root. */
  name: string;
  type: number;
  class: number;
}

export interface Query {
  id: number;
  recursionDesired: boolean;
  checkingDisabled: boolean;
  question: Question;
  edns: Edns | undefined;
}

/** A query, or the code that a message deserves instead, or nothing for what may not be answered at all. */
export type Reading = { query: Query } | { code: number; question: Buffer | undefined } | undefined;

/** Where the name that begins at `at` ends, or −1. Pointers are followed by nobody here, only stepped over. */
function nameEnd(bytes: Buffer, at: number): number {
  for (let offset = at; offset < bytes.length; ) {
    const length = bytes[offset] as number;
    if (length === 0) return offset + 1;
    if (length >= 0xc0) return offset + 2 <= bytes.length ? offset + 2 : -1;
    if (length > 63) return -1;
    offset += 1 + length;
  }
  return -1;
}

/** The question at `at`; one with a pointer or of more than 255 bytes is none. */
function readQuestion(bytes: Buffer, at: number): Question | undefined {
  const end = nameEnd(bytes, at);
  if (end < 0 || end - at > 255 || end + 4 > bytes.length) return undefined;
  let name = "";
  for (let offset = at; offset < end - 1; ) {
    const length = bytes[offset] as number;
    if (length >= 0xc0) return undefined;
    // A dot within a label must not make one name look like another.
    const label = bytes.toString("latin1", offset + 1, offset + 1 + length).replaceAll(".", "\\.");
    name = name ? `${name}.${label}` : label;
    offset += 1 + length;
  }
  return {
    bytes: bytes.subarray(at, end + 4),
    name: name.toLowerCase(),
    type: bytes.readUInt16BE(end),
    class: bytes.readUInt16BE(end + 2),
  };
}

/** One record of a message: where it begins and ends, and what stands in front of its data. */
export interface RecordPlace {
  start: number;
  end: number;
  type: number;
  /** Where the type stands: class, TTL and length of the data follow it. */
  fields: number;
}

/** The records from `at` on, or undefined if they are not what the header says. */
function recordPlaces(bytes: Buffer, at: number, count: number): RecordPlace[] | undefined {
  if (count > MAXIMUM_RECORDS) return undefined;
  const places: RecordPlace[] = [];
  for (let start = at; places.length < count; ) {
    const fields = nameEnd(bytes, start);
    if (fields < 0 || fields + 10 > bytes.length) return undefined;
    const end = fields + 10 + bytes.readUInt16BE(fields + 8);
    if (end > bytes.length) return undefined;
    places.push({ start, end, type: bytes.readUInt16BE(fields), fields });
    start = end;
  }
  return places;
}

const recordCount = (bytes: Buffer): number =>
  bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);

function readEdns(bytes: Buffer, places: readonly RecordPlace[]): Edns | undefined {
  const option = places.find(({ type }) => type === Type.OPT);
  if (!option) return undefined;
  const { fields } = option;
  return {
    payload: bytes.readUInt16BE(fields + 2),
    version: bytes.readUInt8(fields + 5),
    dnssec: (bytes.readUInt8(fields + 6) & 0x80) !== 0,
  };
}

/** Reads what a client sent. Never throws. */
export function readQuery(bytes: Buffer): Reading {
  if (bytes.length < HEADER_BYTES) return undefined;
  const flags = bytes.readUInt16BE(2);
  // Answers to answers would go back and forth for ever.
  if (flags & Flag.response) return undefined;
  const question = bytes.readUInt16BE(4) === 1 ? readQuestion(bytes, HEADER_BYTES) : undefined;
  if (flags & Flag.operation) return { code: Code.notImplemented, question: question?.bytes };
  if (!question) return { code: Code.malformed, question: undefined };
  const places = recordPlaces(bytes, HEADER_BYTES + question.bytes.length, recordCount(bytes));
  if (!places) return { code: Code.malformed, question: question.bytes };
  return {
    query: {
      id: bytes.readUInt16BE(0),
      recursionDesired: (flags & Flag.recursionDesired) !== 0,
      checkingDisabled: (flags & Flag.checkingDisabled) !== 0,
      question,
      edns: readEdns(bytes, places),
    },
  };
}

/** A message of another server's that is whole and belongs to the question. */
export interface UpstreamAnswer {
  bytes: Buffer;
  code: number;
  truncated: boolean;
  records: readonly RecordPlace[];
}

function sameQuestion(bytes: Buffer, asked: Buffer): boolean {
  const end = HEADER_BYTES + asked.length;
  if (bytes.length < end) return false;
  const name = asked.length - 4;
  if (bytes.compare(asked, name, asked.length, HEADER_BYTES + name, end) !== 0) return false;
  for (let index = 0; index < name; index++) {
    const mine = asked[index] as number;
    const theirs = bytes[HEADER_BYTES + index] as number;
    if (mine === theirs) continue;
    // Letters may come back in another case; lengths of labels are below all letters.
    const lower = mine | 0x20;
    if (lower !== (theirs | 0x20) || lower < 0x61 || lower > 0x7a) return false;
  }
  return true;
}

/** Reads what came from a server, or undefined if it is not the answer to this question with this id. Never throws. */
export function readUpstreamAnswer(bytes: Buffer, id: number, asked: Buffer): UpstreamAnswer | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt16BE(0) !== id) return undefined;
  const flags = bytes.readUInt16BE(2);
  if (!(flags & Flag.response) || flags & Flag.operation) return undefined;
  const code = flags & 0xf;
  const truncated = (flags & Flag.truncated) !== 0;
  // Servers that could not read a question may leave it out.
  if (bytes.readUInt16BE(4) === 0 && code !== Code.success && recordCount(bytes) === 0)
    return { bytes, code, truncated, records: [] };
  if (bytes.readUInt16BE(4) !== 1 || !sameQuestion(bytes, asked)) return undefined;
  const records = recordPlaces(bytes, HEADER_BYTES + asked.length, recordCount(bytes));
  if (records) return { bytes, code, truncated, records };
  // Some cut a truncated answer anywhere: it is asked for again anyway.
  return truncated ? { bytes, code, truncated, records: [] } : undefined;
}

/** How many seconds an answer may be kept: the shortest of its records', or what the zone says of names and records that are
 * not there (RFC 2308). 0 for what may not be kept. */
export function lifetime(answer: UpstreamAnswer, longest: number, longestNegative: number): number {
  const { bytes, code, records } = answer;
  if (answer.truncated || (code !== Code.success && code !== Code.noName)) return 0;
  const negative = code === Code.noName || bytes.readUInt16BE(6) === 0;
  const soa = records.find(({ type }) => type === Type.SOA);
  if (negative && !soa) return 0;
  let seconds = negative ? longestNegative : longest;
  for (const { type, fields, end } of records) {
    if (type === Type.OPT) continue;
    seconds = Math.min(seconds, timeToLive(bytes, fields));
    if (negative && type === Type.SOA && end - fields >= 14)
      seconds = Math.min(seconds, bytes.readUInt32BE(end - 4));
  }
  return seconds;
}

/** Values with the highest bit set count as 0 (RFC 2181 8). */
export const timeToLive = (bytes: Buffer, fields: number): number => {
  const value = bytes.readUInt32BE(fields + 4);
  return value > 0x7fffffff ? 0 : value;
};
