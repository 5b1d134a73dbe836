// The load generator, a process of its own and the same for every engine: so many connections that send one request each,
// read the answer to its end, and send the next. As cheap as can be, so that it is the engine that is measured.
//
// Its argument is an order as JSON; it prints what it found as JSON.
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";

export interface LoadOrder {
  path?: string;
  host?: string;
  port?: number;
  /** The directory of a client's certificate: ca.pem, cert.pem, key.pem. */
  certificates?: string;
  request: string;
  connections: number;
  seconds: number;
}

export interface Load {
  requestsPerSecond: number;
  /** Milliseconds. */
  median: number;
  p99: number;
  bytes: number;
}

const CR_LF_CR_LF = Buffer.from("\r\n\r\n");
const LAST_CHUNK = Buffer.from("\r\n0\r\n\r\n");

function dial({ path, host, port, certificates }: LoadOrder): { socket: Socket; ready: string } {
  if (path) return { socket: connect(path), ready: "connect" };
  const read = (name: string): Buffer => readFileSync(join(certificates ?? "", name));
  const material = { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
  return {
    socket: connectTls({ host: host ?? "", port: port ?? 0, ...material }),
    ready: "secureConnect",
  };
}

/** Bytes of an answer that are still to come; counts down as they do. */
class Answer {
  #left = 0;
  #chunked = false;
  #head: Buffer | undefined;
  #tail: Buffer = Buffer.alloc(0);

  /** Whether the answer is whole with these bytes. Throws for one that is not 200. */
  take(data: Buffer): boolean {
    if (this.#chunked) return this.#chunk(data);
    if (this.#left > 0) {
      this.#left -= data.length;
      return this.#left <= 0;
    }
    const bytes = this.#head ? Buffer.concat([this.#head, data]) : data;
    const end = bytes.indexOf(CR_LF_CR_LF);
    if (end < 0) {
      this.#head = bytes;
      return false;
    }
    this.#head = undefined;
    const head = bytes.toString("latin1", 0, end);
    if (!head.startsWith("HTTP/1.1 200")) throw new Error(bytes.toString("latin1", 0, 500));
    const rest = bytes.subarray(end + 2);
    const length = /content-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) {
      this.#chunked = true;
      return this.#chunk(rest);
    }
    this.#left = Number(length) - (rest.length - 2);
    return this.#left <= 0;
  }

  #chunk(data: Buffer): boolean {
    const end = data.length >= LAST_CHUNK.length ? data : Buffer.concat([this.#tail, data]);
    this.#tail = Buffer.from(end.subarray(-LAST_CHUNK.length));
    if (!this.#tail.equals(LAST_CHUNK)) return false;
    this.#chunked = false;
    this.#tail = Buffer.alloc(0);
    return true;
  }
}

async function run(order: LoadOrder): Promise<Load> {
  const times: number[] = [];
  let bytes = 0;
  const request = Buffer.from(order.request);
  const sockets: Socket[] = [];
  for (let index = 0; index < order.connections; index++) {
    const { socket, ready } = dial(order);
    await new Promise((resolve, reject) => socket.once(ready, resolve).once("error", reject));
    socket.setNoDelay(true);
    sockets.push(socket);
  }
  const begun = performance.now();
  const end = begun + order.seconds * 1000;
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise<void>((resolve, reject) => {
          const answer = new Answer();
          let sent = performance.now();
          socket.on("error", reject).on("end", () => reject(new Error("the connection was closed")));
          socket.on("data", (data: Buffer) => {
            bytes += data.length;
            if (!answer.take(data)) return;
            const now = performance.now();
            times.push(now - sent);
            if (now >= end) return resolve();
            sent = now;
            socket.write(request);
          });
          socket.write(request);
        }),
    ),
  );
  const seconds = (performance.now() - begun) / 1000;
  for (const socket of sockets) socket.destroy();
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.floor(times.length * part)] ?? Number.NaN;
  return { requestsPerSecond: times.length / seconds, median: at(0.5), p99: at(0.99), bytes };
}

console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? "") as LoadOrder)));
