// Bodies that are large, many, or without an end: the daemon keeps so much of them and no more.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { residentKilobytes } from "./metrics.ts";
import { type Outcome, RawClient } from "./wire.ts";

const MEBIBYTE = 1 << 20;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("bodies");
});
afterAll(() => daemon?.stop());

/** A create with a body of a size, of which so much is sent. */
function send(size: number, sent: number): { client: RawClient; outcome: Promise<Outcome> } {
  const client = new RawClient(daemon.socket);
  const head = `POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${size}\r\n\r\n`;
  const bytes = Buffer.concat([Buffer.from(head), Buffer.alloc(sent, " ")]);
  return { client, outcome: client.send({ bytes, method: "POST", whole: true, patient: false }) };
}

describe("bodies", () => {
  it("over 16 MiB are refused as soon as they are", async () => {
    const { client, outcome } = send(1 << 30, 17 * MEBIBYTE);
    const { answers } = await outcome;
    expect(answers[0]?.status).toBe(413);
    expect(JSON.parse(answers[0]?.body ?? "")).toEqual({ message: "http: request body too large" });
    client.close();
  });

  it("that are refused may be sent to their end, and the connection lives on", async () => {
    const { client, outcome } = send(18 * MEBIBYTE, 17 * MEBIBYTE);
    expect((await outcome).answers[0]?.status).toBe(413);
    const bytes = Buffer.concat([
      Buffer.alloc(MEBIBYTE, " "),
      Buffer.from("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]);
    const next = await client.send({ bytes, method: "GET", whole: true, patient: false });
    expect(next.answers.map(({ status, body }) => [status, body])).toEqual([[200, "OK"]]);
    client.close();
  });

  it("of many clients together take so much memory and no more", async () => {
    const before = residentKilobytes(daemon.pid);
    const sending = Array.from({ length: 40 }, () => send(16 * MEBIBYTE, 15 * MEBIBYTE));
    const outcomes: Outcome[] = [];
    // Those that are taken are waited for, and hear nothing.
    for (const { outcome } of sending)
      void outcome.then((found) => {
        if (!found.silent) outcomes.push(found);
      });
    await eventually("some are refused", () => outcomes.length >= 25);
    for (const { answers } of outcomes) {
      expect(answers[0]?.status).toBe(503);
      expect(JSON.parse(answers[0]?.body ?? "")).toEqual({
        message: "too many requests with large bodies at one time",
      });
    }
    expect(residentKilobytes(daemon.pid) - before).toBeLessThan(300_000);
    expect((await daemon.api("GET", "/_ping")).text).toBe("OK");
    for (const { client } of sending) client.close();
    await eventually("others are taken again", async () => {
      const { status } = await daemon.api("POST", "/containers/create", { Image: "none" });
      return status === 404;
    });
  });
});
