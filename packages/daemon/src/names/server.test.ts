// The whole name server on sockets of the loopback, with other servers played by the test.
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { boundAddress, listenAt } from "@tsd/kernel-bindings";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Resolvers } from "./directory.ts";
import type { Ask } from "./exchange.ts";
import { readUpstreamAnswer } from "./message.ts";
import { answerBytes, queryBytes, type Reply, read } from "./samples.ts";
import { NameServer } from "./server.ts";

let resolvers: Resolvers;
let reported: [string, number][];
let names: NameServer;
let port: number;
let clock: number;

const directory = {
  lookup: (_id: string, name: string) => {
    if (name === "broken") throw new Error("the directory's fault");
    return name === "web" ? { ipv4: ["10.0.0.2"], ipv6: [] } : undefined;
  },
  reverse: () => undefined,
  resolvers: () => resolvers,
};
/** Every other server knows every name. */
const ask: Ask = (_server, _transport, { question }, _timeout, heard) => {
  const answer = readUpstreamAnswer(answerBytes(question.name), 7, question.bytes);
  const soon = setImmediate(() => heard(answer));
  return () => clearImmediate(soon);
};

beforeEach(() => {
  resolvers = { servers: [{ address: "10.0.0.1", fromHost: false }], forward: true };
  reported = [];
  clock = 0;
  const report = (error: Error, _id: string, times: number): unknown => reported.push([error.message, times]);
  names = new NameServer(directory, { report, ask, now: () => clock });
  const [datagram, stream] = listenAt("127.0.0.11", 20000 + Math.floor(Math.random() * 10000), 8);
  port = boundAddress(datagram)?.port ?? 0;
  names.open("c", { datagram, stream });
});
afterEach(() => names.closeAll());

/** What comes back for a packet, or undefined if nothing does. */
function send(bytes: Buffer, wait = 2000): Promise<Reply | undefined> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    const end = (reply: Reply | undefined): void => {
      clearTimeout(timer);
      socket.close();
      resolve(reply);
    };
    const timer = setTimeout(() => end(undefined), wait);
    socket.on("message", (answer) => end(read(answer)));
    socket.send(bytes, port, "127.0.0.11");
  });
}

describe("a packet", () => {
  it("about a name of ours, or another's, is answered", async () => {
    expect((await send(queryBytes("WEB.", { id: 3 })))?.answers).toMatchObject([{ data: "10.0.0.2" }]);
    expect(await send(queryBytes("web", { type: "AAAA" }))).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect((await send(queryBytes("other")))?.answers).toMatchObject([{ data: "192.0.2.1" }]);
    expect(names.statistics).toMatchObject({ local: 2, forwarded: 1 });
  });

  it("that nothing may come of gets what Docker gives", async () => {
    resolvers = { ...resolvers, forward: false };
    expect((await send(queryBytes("other")))?.rcode).toBe("SERVFAIL");
    resolvers = { servers: [], forward: true };
    expect((await send(queryBytes("other")))?.rcode).toBe("SERVFAIL");
    resolvers = { ...resolvers, forwardSingleLabels: false };
    expect(await send(queryBytes("other"))).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect(names.statistics.refused).toBe(2);
  });

  it("that is on its way when its container ends is in nobody's way", async () => {
    // Given up while it waits for another server: the answer has no socket any more.
    const hanging: Ask = () => () => undefined;
    const others = new NameServer(directory, {
      report: (error) => reported.push([error.message, 1]),
      ask: hanging,
      now: () => clock,
    });
    const [datagram, stream] = listenAt("127.0.0.11", port + 1, 8);
    others.open("d", { datagram, stream });
    const socket = createSocket("udp4");
    socket.send(queryBytes("other"), port + 1, "127.0.0.11");
    while (others.statistics.forwarded === 0) await new Promise(setImmediate);
    expect(() => others.close("d")).not.toThrow();
    await new Promise(setImmediate);
    expect(reported).toEqual([]);
    socket.close();
  });

  it("of nonsense is told so, or dropped, and does no harm", async () => {
    expect(await send(Buffer.from("hello"), 100)).toBeUndefined();
    expect(await send(answerBytes("web"), 100)).toBeUndefined();
    const malformed = queryBytes("web");
    malformed.writeUInt16BE(3, 4);
    expect((await send(malformed))?.rcode).toBe("FORMERR");
    expect((await send(queryBytes("web")))?.rcode).toBe("NOERROR");
  });

  it("that the directory fails at is answered, and reported once a minute", async () => {
    for (let round = 0; round < 3; round++)
      expect((await send(queryBytes("broken")))?.rcode).toBe("SERVFAIL");
    expect(reported).toEqual([["the directory's fault", 1]]);
    clock += 60_000;
    await send(queryBytes("broken"));
    expect(reported.at(-1)).toEqual(["the directory's fault", 3]);
  });
});

describe("a connection", () => {
  const framed = (bytes: Buffer): Buffer => {
    const size = Buffer.alloc(2);
    size.writeUInt16BE(bytes.length);
    return Buffer.concat([size, bytes]);
  };

  it("takes several questions, in pieces of any size", async () => {
    const socket = connect(port, "127.0.0.11");
    const bytes = Buffer.concat([
      framed(queryBytes("web", { id: 1 })),
      framed(queryBytes("other", { id: 2 })),
    ]);
    const ids = new Promise<(number | undefined)[]>((resolve) => {
      let received: Buffer = Buffer.alloc(0);
      const found: (number | undefined)[] = [];
      socket.on("data", (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
          const end = 2 + received.readUInt16BE(0);
          found.push(read(received.subarray(2, end)).id);
          received = received.subarray(end);
        }
        if (found.length === 2) resolve(found);
      });
    });
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    expect((await ids).toSorted()).toEqual([1, 2]);
    socket.destroy();
  });

  it("that asks without end and is never answered is closed", async () => {
    const socket = connect(port, "127.0.0.11");
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("error", () => undefined);
    socket.write(Buffer.concat(Array.from({ length: 100 }, () => framed(Buffer.from("nonsense")))));
    await closed;
  });

  it("ends with the container", async () => {
    const socket = connect(port, "127.0.0.11");
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("error", () => undefined);
    socket.write(framed(queryBytes("web")));
    await new Promise((resolve) => socket.once("data", resolve));
    names.close("c");
    await closed;
    expect(names.isOpen("c")).toBe(false);
    expect(await send(queryBytes("web"), 100)).toBeUndefined();
  });
});
