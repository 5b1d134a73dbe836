// What the tests of this folder ask and answer with: a library makes and reads the messages, so that ours are not their own
// measure.
import { type Answer, type DecodedPacket, decode, encode } from "dns-packet";
import { type Query, readQuery, readUpstreamAnswer, type UpstreamAnswer } from "./message.ts";

/** A decoded message, with the response code that the library's types leave out. */
export type Reply = DecodedPacket & { rcode: string };
export const read = (bytes: Buffer): Reply => decode(bytes) as Reply;

interface Asked {
  id?: number;
  type?: "A" | "AAAA" | "PTR" | "TXT" | "MX" | "ANY";
  edns?: number;
  dnssec?: boolean;
}

export const queryBytes = (name: string, { id = 7, type = "A", edns, dnssec = false }: Asked = {}): Buffer =>
  encode({
    type: "query",
    id,
    flags: 0x100,
    questions: [{ type: type as "A", name }],
    additionals: edns
      ? [
          {
            type: "OPT",
            name: ".",
            udpPayloadSize: edns,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: dnssec ? 0x8000 : 0,
            flag_do: dnssec,
            options: [],
          },
        ]
      : [],
  });

export function query(name: string, asked: Asked = {}): Query {
  const reading = readQuery(queryBytes(name, asked));
  if (!reading || !("query" in reading)) throw new Error(`not a query: ${name}`);
  return reading.query;
}

interface Answered {
  id?: number;
  name?: string;
  type?: "A" | "AAAA";
  /** NOERROR 0, SERVFAIL 2, NXDOMAIN 3, REFUSED 5. */
  code?: number;
  truncated?: boolean;
  answers?: Answer[];
  authorities?: Answer[];
  edns?: boolean;
}

/** Another server's message. */
export const answerBytes = (name: string, answered: Answered = {}): Buffer =>
  encode({
    type: "response",
    id: answered.id ?? 7,
    flags: 0x180 | (answered.code ?? 0) | (answered.truncated ? 0x200 : 0),
    questions: [{ type: answered.type ?? "A", name }],
    answers: answered.answers ?? [{ type: "A", name, ttl: 60, data: "192.0.2.1" }],
    authorities: answered.authorities ?? [],
    additionals: answered.edns
      ? [
          {
            type: "OPT",
            name: ".",
            udpPayloadSize: 1232,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ]
      : [],
  });

/** The same, read as the answer to a question. */
export function upstreamAnswer(name: string, answered: Answered = {}): UpstreamAnswer {
  const bytes = answerBytes(name, answered);
  const answer = readUpstreamAnswer(
    bytes,
    answered.id ?? 7,
    query(name, { type: answered.type ?? "A" }).question.bytes,
  );
  if (!answer) throw new Error(`not an answer: ${name}`);
  return answer;
}

export const soa = (name: string, ttl: number, minimum: number): Answer => ({
  type: "SOA",
  name,
  ttl,
  data: { mname: "ns", rname: "root", serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
});
