// Messages are read with every bound checked: what is malformed is told apart from what may not be answered, and what does
// not belong to a question is no answer.
import { describe, expect, it } from "vitest";
import { lifetime, readQuery, readUpstreamAnswer } from "./message.ts";
import { answerBytes, query, queryBytes, soa, upstreamAnswer } from "./samples.ts";

const changed = (bytes: Buffer, change: (copy: Buffer) => void): Buffer => {
  const copy = Buffer.from(bytes);
  change(copy);
  return copy;
};

describe("a query", () => {
  it("is read without regard to case and the last dot", () => {
    const asked = query("Web.Example.", { type: "AAAA", edns: 1400, dnssec: true });
    expect(asked.question).toMatchObject({ name: "web.example", type: 28, class: 1 });
    expect(asked.edns).toEqual({ payload: 1400, version: 0, dnssec: true });
    expect(asked).toMatchObject({ id: 7, recursionDesired: true, checkingDisabled: false });
    expect(query(".").question.name).toBe("");
  });

  it("that is an answer, or too short for one, is not answered", () => {
    expect(readQuery(Buffer.alloc(0))).toBeUndefined();
    expect(readQuery(Buffer.alloc(11))).toBeUndefined();
    expect(readQuery(answerBytes("web"))).toBeUndefined();
  });

  it("of another kind, or without exactly one question, is refused by code", () => {
    const plain = queryBytes("web");
    expect(readQuery(changed(plain, (copy) => copy.writeUInt8(0x28, 2)))).toMatchObject({ code: 4 });
    expect(readQuery(changed(plain, (copy) => copy.writeUInt16BE(0, 4)))).toMatchObject({ code: 1 });
    expect(readQuery(changed(plain, (copy) => copy.writeUInt16BE(2, 4)))).toMatchObject({ code: 1 });
    // Records that the header promises and that are not there, or could not be.
    expect(readQuery(changed(plain, (copy) => copy.writeUInt16BE(1, 10)))).toMatchObject({ code: 1 });
    expect(readQuery(changed(plain, (copy) => copy.writeUInt16BE(65535, 6)))).toMatchObject({ code: 1 });
  });

  it("with a pointer or too long a name in its question is malformed", () => {
    const head = queryBytes("web").subarray(0, 12);
    const type = Buffer.from([0, 1, 0, 1]);
    const pointer = Buffer.concat([head, Buffer.from([0xc0, 12]), type]);
    expect(readQuery(pointer)).toMatchObject({ code: 1 });
    const half = Buffer.concat([head, Buffer.from([1, 97, 0xc0, 12]), type]);
    expect(readQuery(half)).toMatchObject({ code: 1 });
    const label = Buffer.concat([Buffer.from([63]), Buffer.alloc(63, 97)]);
    const longest = Buffer.concat([head, label, label, label, label, Buffer.from([0]), type]);
    expect(readQuery(longest)).toMatchObject({ code: 1 });
    const reserved = Buffer.concat([head, Buffer.from([0x40, 0]), type]);
    expect(readQuery(reserved)).toMatchObject({ code: 1 });
  });

  it("cannot make a dot within a label look like one between labels", () => {
    const head = queryBytes("a").subarray(0, 12);
    const dotted = Buffer.concat([head, Buffer.from([3, 97, 46, 98, 0, 0, 1, 0, 1])]);
    expect(readQuery(dotted)).toMatchObject({ query: { question: { name: "a\\.b" } } });
  });

  it("cut or changed anywhere never throws", () => {
    const whole = queryBytes("web.example", { edns: 1232 });
    for (let length = 0; length < whole.length; length++) {
      const reading = readQuery(whole.subarray(0, length));
      expect(reading && "query" in reading).toBeFalsy();
    }
    for (let at = 0; at < whole.length; at++)
      for (let value = 0; value < 256; value += 3)
        expect(() => readQuery(changed(whole, (copy) => copy.writeUInt8(value, at)))).not.toThrow();
  });
});

describe("another server's answer", () => {
  const asked = query("web.example").question.bytes;
  const answer = answerBytes("web.example", { edns: true });

  it("belongs to its question, whatever case it comes back in", () => {
    expect(readUpstreamAnswer(answer, 7, asked)?.records).toHaveLength(2);
    expect(readUpstreamAnswer(answerBytes("WEB.example"), 7, asked)).toBeDefined();
  });

  it("is none with another id, name, type, or as a question", () => {
    expect(readUpstreamAnswer(answer, 8, asked)).toBeUndefined();
    expect(readUpstreamAnswer(answerBytes("wec.example"), 7, asked)).toBeUndefined();
    expect(readUpstreamAnswer(answerBytes("web.example", { type: "AAAA" }), 7, asked)).toBeUndefined();
    expect(readUpstreamAnswer(queryBytes("web.example"), 7, asked)).toBeUndefined();
    // The type's byte differs by the bit that letters of another case differ by.
    const type = changed(answer, (copy) => copy.writeUInt8(0x21, 12 + asked.length - 3));
    expect(readUpstreamAnswer(type, 7, asked)).toBeUndefined();
  });

  it("may leave the question out only when it says that it could not read it", () => {
    const refusal = Buffer.alloc(12);
    refusal.writeUInt16BE(7, 0);
    refusal.writeUInt16BE(0x8001, 2);
    expect(readUpstreamAnswer(refusal, 7, asked)?.code).toBe(1);
    refusal.writeUInt16BE(0x8000, 2);
    expect(readUpstreamAnswer(refusal, 7, asked)).toBeUndefined();
  });

  it("cut or changed anywhere never throws, and is none where its records do not fit", () => {
    for (let length = 0; length < answer.length; length++)
      expect(readUpstreamAnswer(answer.subarray(0, length), 7, asked)).toBeUndefined();
    for (let at = 0; at < answer.length; at++)
      for (let value = 0; value < 256; value += 3) {
        const bytes = changed(answer, (copy) => copy.writeUInt8(value, at));
        expect(() => readUpstreamAnswer(bytes, 7, asked)).not.toThrow();
      }
  });
});

describe("how long an answer may be kept", () => {
  const seconds = (answered: Parameters<typeof upstreamAnswer>[1]): number =>
    lifetime(upstreamAnswer("x", answered), 3600, 300);

  it("is as long as its shortest record, within bounds", () => {
    expect(seconds({})).toBe(60);
    const long = { type: "A", name: "x", ttl: 100_000, data: "192.0.2.1" } as const;
    expect(seconds({ answers: [long] })).toBe(3600);
    expect(seconds({ answers: [long, { ...long, ttl: 5 }], edns: true })).toBe(5);
    expect(seconds({ answers: [{ ...long, ttl: 0xffffffff }] })).toBe(0);
  });

  it("is what the zone says for what is not there", () => {
    expect(seconds({ code: 3, answers: [], authorities: [soa("x", 100, 50)] })).toBe(50);
    expect(seconds({ answers: [], authorities: [soa("x", 20, 50)] })).toBe(20);
    expect(seconds({ code: 3, answers: [], authorities: [soa("x", 9999, 9999)] })).toBe(300);
    expect(seconds({ code: 3, answers: [] })).toBe(0);
  });

  it("is no time for failures and for what was cut", () => {
    expect(seconds({ code: 2 })).toBe(0);
    expect(seconds({ truncated: true })).toBe(0);
  });
});
