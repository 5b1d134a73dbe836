// Requests and connections: answers that come too early, half-closed streams, kept connections, and hosts that are none.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Issued, TestAuthority } from "../testing/certificates.ts";
import {
  answerJson,
  plainServer,
  received,
  refuseEarly,
  type TestServer,
  tlsServer,
} from "../testing/servers.ts";
import { ApiError, type ClientOptions, ConnectionError, collect, TsdClient } from "./index.ts";

const authority = new TestAuthority();
let server: Issued;
const open: TestServer[] = [];
beforeAll(() => {
  server = authority.issue("server", { names: "IP:127.0.0.1" });
});
afterAll(() => {
  for (const one of open) one.close();
  authority.remove();
});

type Serve = Parameters<typeof plainServer>[0];

async function plain(serve: Serve): Promise<TestServer> {
  const started = await plainServer(serve);
  open.push(started);
  return started;
}

async function encrypted(serve: Serve, options?: Parameters<typeof tlsServer>[2]): Promise<TestServer> {
  const started = await tlsServer(server, serve as (socket: TLSSocket) => void, options);
  open.push(started);
  return started;
}

const ca = (): string => authority.path("ca.pem");
const plainOptions = ({ port }: TestServer): ClientOptions => ({ host: `tcp://127.0.0.1:${port}` });
const tlsOptions = ({ port }: TestServer): ClientOptions => ({
  host: `tcp://127.0.0.1:${port}`,
  tls: { ca: ca() },
});

/** What a call that must fail fails with. */
async function failure(options: ClientOptions): Promise<Error> {
  const error: unknown = await new TsdClient(options).version().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

const upgrade = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/** Upgrades, and then does what it is told with the socket. */
const hijacked =
  (then: Serve): Serve =>
  (socket) => {
    socket.once("data", () => {
      socket.write(upgrade);
      then(socket);
    });
  };

const kinds = [
  ["plain", plain, plainOptions],
  ["TLS 1.3", (serve: Serve) => encrypted(serve, { minVersion: "TLSv1.3" }), tlsOptions],
  ["TLS 1.2", (serve: Serve) => encrypted(serve, { maxVersion: "TLSv1.2" }), tlsOptions],
] as const;

describe.each(kinds)("half-close over %s", (_, start, options) => {
  it("the end of the input leaves the output open", async () => {
    const running = await start(
      hijacked((socket) => {
        // Only what knows of the end can answer after it.
        void received(socket).then((bytes) => setTimeout(() => socket.end(`after the end: ${bytes}`), 20));
      }),
    );
    const stream = await new TsdClient(options(running)).containers.attach("x", { stdin: true });
    stream.input.end("x\n");
    expect((await collect(stream.output)).toString()).toBe("after the end: x\n");
  });
  it("the end of the output leaves the input open", async () => {
    const heard = new Promise<string>((resolve) => {
      void start(
        hijacked((socket) => {
          socket.end("done");
          received(socket).then((bytes) => resolve(bytes.toString()), resolve);
        }),
      ).then(async (running) => {
        const stream = await new TsdClient(options(running)).containers.attach("x", { stdin: true });
        expect((await collect(stream.output)).toString()).toBe("done");
        stream.input.write("late ");
        setTimeout(() => stream.input.end("words"), 20);
      });
    });
    expect(await heard).toBe("late words");
  });
  it("nothing is lost while both ends write and one of them ends", async () => {
    const down = randomBytes(3_000_000);
    const up = randomBytes(1_000_000);
    const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
    const running = await start(
      hijacked((socket) => {
        socket.write(down);
        void received(socket).then((bytes) => socket.end(hash(bytes)));
      }),
    );
    const stream = await new TsdClient(options(running)).containers.attach("x", { stdin: true });
    let isEnded = false;
    const chunks: Buffer[] = [];
    for await (const chunk of stream.output as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (!isEnded) stream.input.end(up);
      isEnded = true;
    }
    const all = Buffer.concat(chunks);
    expect(all.subarray(0, down.length).equals(down)).toBe(true);
    expect(all.subarray(down.length).toString()).toBe(hash(up));
  });
});

/** Bytes without end, no faster than they are taken. */
const endless = (): Readable =>
  Readable.from(
    (async function* () {
      for (;;) {
        yield Buffer.alloc(65536);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })(),
  );

describe.each(kinds)("an answer that does not wait for the request (%s)", (_, start, options) => {
  // Many times: whether the broken pipe or the answer is seen first is chance.
  it("is heard, though the pipe is broken", { timeout: 30_000 }, async () => {
    const running = await start(refuseEarly("client certificate refused: not yours"));
    const refused = { name: "ApiError", status: 403, message: "client certificate refused: not yours" };
    for (let round = 0; round < 40; round++) {
      const client = new TsdClient(options(running));
      await expect(client.version()).rejects.toMatchObject(refused);
      await expect(client.containers.statPath("x", "/")).rejects.toMatchObject(refused);
      await expect(client.containers.copyIn("x", endless(), { path: "/" })).rejects.toMatchObject(refused);
      await expect(client.containers.attach("x", { stdin: true })).rejects.toMatchObject(refused);
      await expect(client.containers.create({ Image: "x".repeat(1_000_000) })).rejects.toMatchObject(refused);
    }
  });
  it("a source that fails is the error, not the connection", async () => {
    const running = await start((socket) => socket.resume());
    const source = new Readable({
      read() {
        this.destroy(new Error("the disk is gone"));
      },
    });
    await expect(new TsdClient(options(running)).images.load(source)).rejects.toThrow("the disk is gone");
  });
});

it("a refusal whose connection is reset behind it is heard", async () => {
  const running = await plain((socket) => {
    socket.once("data", () => {
      socket.write('HTTP/1.1 403 Forbidden\r\n\r\n{"message":"not you"}');
      setTimeout(() => socket.resetAndDestroy(), 20);
    });
  });
  expect(await failure(plainOptions(running))).toMatchObject({ name: "ApiError", message: "not you" });
});

describe("a host that cannot be reached", () => {
  it("plain HTTP at a TLS port", async () => {
    const running = await encrypted(answerJson({}));
    const error = await failure(plainOptions(running));
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.message).toMatch(
      /Is it a TLS port\? Then use --tlsverify|speaks TLS, and this connection is without/,
    );
  });
  it("plain HTTP at a TLS port that says so by an alert, or in HTTP", async () => {
    const alert = await plain((socket) =>
      socket.once("data", () => socket.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 70]))),
    );
    expect((await failure(plainOptions(alert))).message).toContain(
      "speaks TLS, and this connection is without",
    );
    const words = "Client sent an HTTP request to an HTTPS server.";
    const go = await plain((socket) =>
      socket.once("data", () => socket.end(`HTTP/1.0 400 Bad Request\r\n\r\n${words}\n`)),
    );
    expect(await failure(plainOptions(go))).toMatchObject({ name: "ApiError", status: 400, message: words });
  });
  it("TLS at a plain port", async () => {
    const answering = await plain((socket) =>
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
    );
    expect((await failure(tlsOptions(answering))).message).toContain("does not speak TLS");
    const silent = await plain((socket) => socket.once("data", () => socket.destroy()));
    expect((await failure(tlsOptions(silent))).message).toContain(
      "closed the connection during the TLS handshake",
    );
  });
  it("nobody listens", async () => {
    const gone = await plain(() => undefined);
    gone.close();
    for (const options of [plainOptions(gone), tlsOptions(gone)]) {
      const error = (await failure(options)) as ConnectionError;
      expect(error.message).toBe(
        `Cannot connect to the tsd daemon at tcp://127.0.0.1:${gone.port}: connection refused. Is the tsd daemon running?`,
      );
      expect(error.code).toBe("ECONNREFUSED");
    }
  });
  it("no such name, no such socket", async () => {
    for (const tls of [undefined, { ca: ca() }]) {
      const { message } = await failure({ host: "tcp://nosuch.invalid:1", tls });
      expect(message).toMatch(
        /^Cannot connect to the tsd daemon at tcp:\/\/nosuch\.invalid:1: (no such host name|the host name cannot be resolved)/,
      );
    }
    expect((await failure({ host: "unix:///nosuch.sock" })).message).toBe(
      "Cannot connect to the tsd daemon at unix:///nosuch.sock. Is the tsd daemon running?",
    );
  });
  it("nobody answers in time", async () => {
    const silent = await plain(() => undefined);
    const { message, code } = (await failure({ ...tlsOptions(silent), timeout: 100 })) as ConnectionError;
    expect([message, code]).toEqual([expect.stringContaining("no answer in time"), "ETIMEDOUT"]);
    // A network that is for documentation only: packets to it come to nothing, or are sent back.
    const lost = await failure({ host: "tcp://192.0.2.1:1", timeout: 200 });
    expect(lost.message).toMatch(/no answer in time|no way to|connection refused|closed the connection/);
  });
  it("a socket that closes without a word", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tsd-transport-"));
    const path = join(directory, "x.sock");
    const listening = createServer((socket) => socket.destroy()).listen(path);
    expect((await failure({ host: `unix://${path}` })).message).toMatch(
      /closed the connection without an answer/,
    );
    listening.close();
    rmSync(directory, { recursive: true });
  });
  it("what is no HTTP is named", async () => {
    const other = await plain((socket) => socket.once("data", () => socket.end("SSH-2.0-x\r\n\r\n")));
    expect((await failure(plainOptions(other))).message).toContain('not an HTTP response: "SSH-2.0-x"');
    const half = await plain((socket) =>
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")),
    );
    expect((await failure(plainOptions(half))).message).toContain("in the middle of a response");
  });
});

describe("connections that are kept", () => {
  it.each(kinds)("carry one request after another (%s)", async (_, start, options) => {
    const running = await start(answerJson({ Version: "x" }));
    const kept = new TsdClient({ ...options(running), keepAlive: true });
    for (let round = 0; round < 5; round++) expect(await kept.version()).toEqual({ Version: "x" });
    expect(running.connections).toBe(1);
    await Promise.all([kept.version(), kept.version()]);
    expect(running.connections).toBe(2);
    kept.close();
    await kept.version();
    expect(running.connections).toBe(3);
    kept.close();
    const single = new TsdClient(options(running));
    for (let round = 0; round < 3; round++) await single.version();
    expect(running.connections).toBe(6);
  });
  it("that were closed meanwhile cost a second one, and no error", async () => {
    let answers = 0;
    const running = await plain((socket) => {
      let isUsed = false;
      socket.on("data", () => {
        // The second request on a connection meets a closed door.
        if (isUsed) {
          socket.destroy();
          return;
        }
        isUsed = true;
        answers++;
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
      });
    });
    const kept = new TsdClient({ ...plainOptions(running), keepAlive: true });
    await kept.version();
    await kept.version();
    expect([answers, running.connections]).toEqual([2, 2]);
    // What changes something is not sent twice by itself.
    await expect(kept.containers.kill("x")).rejects.toThrow("the connection was closed while it waited");
    kept.close();
  });
  it("refusals leave them open, unread answers do not", async () => {
    const running = await plain((socket) => {
      socket.on("data", (chunk: Buffer) => {
        if (chunk.toString().includes("/events")) {
          socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}\n\n\r\n");
          return;
        }
        socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\n{"message":"x"}');
      });
    });
    const kept = new TsdClient({ ...plainOptions(running), keepAlive: true });
    for (let round = 0; round < 3; round++) await expect(kept.version()).rejects.toBeInstanceOf(ApiError);
    expect(running.connections).toBe(1);
    for await (const event of kept.events()) {
      expect(event).toEqual({});
      break;
    }
    await expect(kept.version()).rejects.toBeInstanceOf(ApiError);
    expect(running.connections).toBe(2);
    kept.close();
  });
});
