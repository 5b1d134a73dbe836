// Writes DNS messages: our own answers, refusals, questions to other servers, and their answers as a client is to get them.
import {
  Flag,
  HEADER_BYTES,
  OWN_PAYLOAD,
  type Query,
  Type,
  timeToLive,
  UPSTREAM_PAYLOAD,
  type UpstreamAnswer,
} from "./message.ts";

const OPT_BYTES = 11;

function header(id: number, flags: number, questions: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(flags, 2);
  bytes.writeUInt16BE(questions, 4);
  return bytes;
}

/** An OPT record; the extended code is the upper eight bits of a response code that has twelve. */
function optRecord(payload: number, dnssec: boolean, extendedCode = 0): Buffer {
  const bytes = Buffer.alloc(OPT_BYTES);
  bytes.writeUInt16BE(Type.OPT, 1);
  bytes.writeUInt16BE(payload, 3);
  bytes.writeUInt8(extendedCode, 5);
  bytes.writeUInt8(dnssec ? 0x80 : 0, 7);
  return bytes;
}

const BAD_VERSION_EXTENDED = 1;

/** An answer of our own: the question as it was asked, these records, and OPT if the query had it. Records that do not fit
 * into `limit` bytes are left out, and the answer says so. */
export function buildAnswer(query: Query, code: number, records: readonly Buffer[], limit: number): Buffer {
  const { question, edns } = query;
  const version = edns && edns.version > 0 ? BAD_VERSION_EXTENDED : 0;
  let size = HEADER_BYTES + question.bytes.length + (edns ? OPT_BYTES : 0);
  const fitting: Buffer[] = [];
  for (const record of version ? [] : records) {
    if (size + record.length > limit) break;
    size += record.length;
    fitting.push(record);
  }
  const truncated = !version && fitting.length < records.length ? Flag.truncated : 0;
  const desired = query.recursionDesired ? Flag.recursionDesired : 0;
  const flags = Flag.response | Flag.recursionAvailable | desired | truncated | (version ? 0 : code);
  const head = header(query.id, flags, 1);
  head.writeUInt16BE(fitting.length, 6);
  head.writeUInt16BE(edns ? 1 : 0, 10);
  const opt = edns ? [optRecord(OWN_PAYLOAD, edns.dnssec, version)] : [];
  return Buffer.concat([head, question.bytes, ...fitting, ...opt]);
}

/** The answer to a message that is no query we can read, with as much of it as could be read. */
export function refuse(bytes: Buffer, code: number, question: Buffer | undefined): Buffer {
  const kept = bytes.readUInt16BE(2) & (Flag.operation | Flag.recursionDesired);
  const head = header(bytes.readUInt16BE(0), Flag.response | kept | code, question ? 1 : 0);
  return question ? Buffer.concat([head, question]) : head;
}

/** The question as it is passed on: no option of the client's goes with it (RFC 6891 6.1.1: they are for one hop). */
export function buildUpstreamQuery(query: Query, id: number): Buffer {
  const flags = Flag.recursionDesired | (query.checkingDisabled ? Flag.checkingDisabled : 0);
  const head = header(id, flags, 1);
  if (!query.edns) return Buffer.concat([head, query.question.bytes]);
  head.writeUInt16BE(1, 10);
  return Buffer.concat([head, query.question.bytes, optRecord(UPSTREAM_PAYLOAD, query.edns.dnssec)]);
}

/** Another server's answer made ours to this client: its id, its spelling of the question, TTLs less `age` seconds, an OPT
 * only if it sent one, and cut to `limit` bytes. */
export function adaptAnswer(answer: UpstreamAnswer, query: Query, age: number, limit: number): Buffer {
  const { question, edns } = query;
  const { records } = answer;
  const last = records.at(-1);
  // Taken away only where it is the last record, which it is: others could hold pointers past it.
  const removed = !edns && last?.type === Type.OPT ? last : undefined;
  const end = removed?.start ?? last?.end ?? HEADER_BYTES + question.bytes.length;
  const desired = query.recursionDesired ? Flag.recursionDesired : 0;
  const whole = answer.bytes.readUInt16BE(4) === 1;
  if (!whole || end > limit || answer.truncated) {
    const cut = buildAnswer(query, answer.code, [], limit);
    if (whole) cut.writeUInt16BE(cut.readUInt16BE(2) | Flag.truncated, 2);
    return cut;
  }
  const bytes = Buffer.from(answer.bytes.subarray(0, end));
  bytes.writeUInt16BE(query.id, 0);
  const flags = bytes.readUInt16BE(2) & ~Flag.recursionDesired & (age > 0 ? ~Flag.authoritative : ~0);
  bytes.writeUInt16BE((flags | desired) & 0xffff, 2);
  if (removed) bytes.writeUInt16BE(bytes.readUInt16BE(10) - 1, 10);
  question.bytes.copy(bytes, HEADER_BYTES);
  for (const { type, fields, start } of records) {
    if (start >= end) continue;
    if (type === Type.OPT) bytes.writeUInt16BE(OWN_PAYLOAD, fields + 2);
    else if (age > 0) bytes.writeUInt32BE(Math.max(0, timeToLive(bytes, fields) - age), fields + 4);
  }
  return bytes;
}
