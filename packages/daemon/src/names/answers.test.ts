// Messages that are written: read by a library.
import { describe, expect, it } from "vitest";
import { adaptAnswer, buildAnswer, buildUpstreamQuery, refuse } from "./answers.ts";
import { localRecords } from "./local.ts";
import { readQuery, readUpstreamAnswer } from "./message.ts";
import { answerBytes, query, queryBytes, read, upstreamAnswer } from "./samples.ts";

const directory = {
  lookup: () => ({ ipv4: Array.from({ length: 40 }, (_, index) => `10.0.0.${index}`), ipv6: [] }),
  reverse: () => undefined,
  resolvers: () => ({ servers: [], forward: true }),
};
const records = (asked: ReturnType<typeof query>): Buffer[] =>
  localRecords(directory, "c", asked.question) ?? [];

describe("an answer of our own", () => {
  it("has the question in its spelling, the client's id, and says that it recurses", () => {
    const asked = query("WeB.", { id: 0xabcd });
    const answer = read(buildAnswer(asked, 0, records(asked).slice(0, 2), 512));
    expect(answer).toMatchObject({
      id: 0xabcd,
      rcode: "NOERROR",
      flag_rd: true,
      flag_ra: true,
      flag_tc: false,
    });
    expect(answer.questions).toEqual([{ name: "WeB", type: "A", class: "IN" }]);
    expect(answer.answers?.[0]).toMatchObject({ name: "WeB", ttl: 600, type: "A" });
    expect(answer.additionals).toEqual([]);
  });

  it("holds as much as fits and says that it was cut", () => {
    const asked = query("web");
    const bytes = buildAnswer(asked, 0, records(asked), 512);
    expect(bytes.length).toBeLessThanOrEqual(512);
    expect(read(bytes).flag_tc).toBe(true);
    expect(read(bytes).answers).toHaveLength(30);
    expect(read(buildAnswer(asked, 0, records(asked), 1232)).answers).toHaveLength(40);
  });

  it("has an OPT with our size, for who sent one, and it counts", () => {
    const asked = query("web", { edns: 700, dnssec: true });
    const bytes = buildAnswer(asked, 0, records(asked), 700);
    expect(bytes.length).toBeLessThanOrEqual(700);
    expect(read(bytes).additionals?.[0]).toMatchObject({ type: "OPT", udpPayloadSize: 4096, flag_do: true });
  });

  it("to a version of EDNS that is not there yet says so", () => {
    const bytes = queryBytes("web", { edns: 1232 });
    bytes.writeUInt8(1, bytes.length - 5);
    const reading = readQuery(bytes);
    if (!reading || !("query" in reading)) throw new Error("not read");
    const answer = read(buildAnswer(reading.query, 0, [], 512));
    expect(answer.rcode).toBe("NOERROR");
    expect(answer.additionals?.[0]).toMatchObject({ extendedRcode: 1, ednsVersion: 0 });
  });

  it("to what could not be read keeps id and kind", () => {
    const bytes = queryBytes("web", { id: 99 });
    bytes.writeUInt8(0x29, 2);
    const answer = read(refuse(bytes, 4, undefined));
    expect(answer).toMatchObject({ id: 99, rcode: "NOTIMP", opcode: "UPDATE", questions: [] });
  });
});

describe("a question that is passed on", () => {
  it("has an id of its own, and of the client's options only that it knows EDNS", () => {
    const plain = read(buildUpstreamQuery(query("Web.Example"), 0x1234));
    expect(plain).toMatchObject({ id: 0x1234, type: "query", flag_rd: true, additionals: [] });
    expect(plain.questions?.[0]?.name).toBe("Web.Example");
    const edns = read(buildUpstreamQuery(query("a.b", { edns: 4096, dnssec: true }), 1));
    expect(edns.additionals).toMatchObject([{ udpPayloadSize: 1232, flag_do: true, options: [] }]);
  });
});

describe("another server's answer", () => {
  it("gets the client's id and spelling, and is older by its age", () => {
    const answer = read(adaptAnswer(upstreamAnswer("web.example"), query("WEB.example", { id: 5 }), 20, 512));
    expect(answer).toMatchObject({ id: 5, rcode: "NOERROR", flag_tc: false });
    expect(answer.questions?.[0]?.name).toBe("WEB.example");
    expect(answer.answers?.[0]).toMatchObject({ ttl: 40, data: "192.0.2.1" });
  });

  it("has an OPT only for who sent one, with our size", () => {
    const answer = upstreamAnswer("x", { edns: true });
    expect(read(adaptAnswer(answer, query("x"), 0, 512)).additionals).toEqual([]);
    const kept = read(adaptAnswer(answer, query("x", { edns: 1232 }), 9, 512));
    expect(kept.additionals).toMatchObject([{ type: "OPT", udpPayloadSize: 4096 }]);
  });

  it("that does not fit is cut to its question", () => {
    const answers = Array.from({ length: 40 }, (_, index) => ({
      type: "A" as const,
      name: "x",
      ttl: 1,
      data: `10.0.0.${index}`,
    }));
    const answer = upstreamAnswer("x", { answers });
    const cut = read(adaptAnswer(answer, query("x"), 0, 512));
    expect([cut.flag_tc, cut.answers?.length, cut.questions?.length]).toEqual([true, 0, 1]);
    expect(read(adaptAnswer(answer, query("x"), 0, 65535)).answers).toHaveLength(40);
  });

  it("without a question is told with it", () => {
    const bytes = answerBytes("x").subarray(0, 12);
    bytes.writeUInt16BE(0x8181, 2);
    for (const at of [4, 6, 8, 10]) bytes.writeUInt16BE(0, at);
    const answer = readUpstreamAnswer(bytes, 7, query("x").question.bytes);
    if (!answer) throw new Error("not read");
    const told = read(adaptAnswer(answer, query("x"), 0, 512));
    expect([told.rcode, told.flag_tc, told.questions?.length]).toEqual(["FORMERR", false, 1]);
  });
});
