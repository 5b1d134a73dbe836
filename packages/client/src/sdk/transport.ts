// Requests to an engine: one at a time on a connection, and what becomes of them.
import { type Duplex, PassThrough, type Readable } from "node:stream";
import { type Connection, type Endpoint, openConnection } from "./connect.ts";
import { drained } from "./drain.ts";
import { ApiError, ConnectionError } from "./errors.ts";
import { hostHeader } from "./hosts.ts";
import type { Pool } from "./pool.ts";
import { type ResponseHead, ResponseParser } from "./response-parser.ts";

export interface RequestOptions {
  method?: string;
  path: string;
  /** Sent as JSON, or streamed with chunked encoding. */
  body?: unknown;
  stream?: Readable;
  headers?: Readonly<Record<string, string>>;
  /** Asks for the connection itself (attach, exec). */
  upgrade?: boolean;
}

export interface Answer {
  head: ResponseHead;
  /** The body, or the raw stream of a hijacked connection. */
  body: Readable;
  /** The connection; what is written to a hijacked one goes to the process. */
  socket: Duplex;
}

function requestHead(endpoint: Endpoint, options: RequestOptions, content: Buffer | undefined): string {
  const { target, keepAlive } = endpoint;
  const prefix = target.kind === "tcp" ? target.prefix : "";
  const lines = [
    `${options.method ?? "GET"} ${prefix}/v1.51${options.path} HTTP/1.1`,
    `Host: ${hostHeader(target)}`,
    "User-Agent: tsctl",
  ];
  for (const [name, value] of Object.entries(options.headers ?? {})) lines.push(`${name}: ${value}`);
  if (content) lines.push("Content-Type: application/json", `Content-Length: ${content.length}`);
  else if (options.stream) lines.push("Content-Type: application/x-tar", "Transfer-Encoding: chunked");
  else if (options.method === "POST") lines.push("Content-Length: 0");
  if (options.upgrade) lines.push("Connection: Upgrade", "Upgrade: tcp");
  else lines.push(`Connection: ${keepAlive ? "keep-alive" : "close"}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Sends a stream in chunks, no faster than it is taken, for as long as anybody wants it. */
async function sendChunks(socket: Duplex, stream: Readable, isWanted: () => boolean): Promise<void> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (!isWanted()) return;
    if (chunk.length === 0) continue;
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`);
    socket.write(chunk);
    const more = socket.write("\r\n");
    socket.uncork();
    if (!more) await drained(socket);
  }
  if (isWanted()) socket.write("0\r\n\r\n");
}

/** No byte of an answer came on a connection that had been used before: it was closed while it waited. */
class StaleConnection extends Error {}

interface Exchange {
  connection: Connection;
  endpoint: Endpoint;
  options: RequestOptions;
  /** The connection has answered before. */
  used: boolean;
  /** Takes the connection back; undefined where it is for one request. */
  giveBack: ((connection: Connection) => void) | undefined;
}

/** One request and its answer. Resolves with the head of a good one, rejects with ApiError for any other. */
function exchange({ connection, endpoint, options, used, giveBack }: Exchange): Promise<Answer> {
  const { stream, outbound } = connection;
  return new Promise((resolve, reject) => {
    const content = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    const body = new PassThrough({ highWaterMark: 1 << 16 });
    /** Nothing (unanswered), a good answer that is being read, a refusal that is, or the end of either. */
    let state: "waiting" | "answered" | "refused" | "complete" = "waiting";
    let isSent = options.stream === undefined;
    let first: Buffer = Buffer.alloc(0);

    const abort = (error: Error): void => {
      if (state === "complete") return;
      const before = state;
      state = "complete";
      detach();
      stream.destroy();
      if (!isSent) options.stream?.destroy();
      // What came of a refusal tells more than that the connection broke after it.
      if (before === "refused") body.end();
      else if (before === "answered") body.destroy(error);
      else reject(error);
    };
    /** The connection broke. */
    const fail = (error: NodeJS.ErrnoException | undefined): void => {
      if (used && state === "waiting" && first.length === 0) abort(new StaleConnection());
      else if (error && state === "answered") abort(error);
      else abort(connection.explain(error ?? outbound.error, first));
    };
    const parser = new ResponseParser(
      {
        head: (head) => {
          if (head.status >= 400 || (head.status === 304 && options.method === "POST")) {
            state = "refused";
            collect(body).then((bytes) => reject(refusal(head, bytes)), reject);
            return;
          }
          if (options.upgrade) parser.becomeRaw();
          state = "answered";
          resolve({ head, body, socket: stream });
        },
        data: (chunk) => {
          if (body.write(chunk)) return;
          stream.pause();
          body.once("drain", () => stream.resume());
        },
        end: () => {
          state = "complete";
          detach();
          body.end();
          stream.resume(); // nobody else would, if this part of the answer is never read
          if (giveBack && isSent && !outbound.error && parser.isReusable) giveBack(connection);
          else if (isSent) stream.end();
          else {
            stream.destroy();
            options.stream?.destroy();
          }
        },
      },
      options.method === "HEAD",
    );
    const onData = (chunk: Buffer): void => {
      if (state === "waiting" && first.length < 8) first = Buffer.concat([first, chunk.subarray(0, 8)]);
      try {
        parser.push(chunk);
      } catch (error) {
        abort(unintelligible(error as Error, connection, first));
      }
    };
    const onEnd = (): void => {
      try {
        parser.close();
      } catch (error) {
        if (state === "waiting") fail(undefined);
        else abort(error as Error);
        return;
      }
      if (state === "complete") return;
      // A raw stream: it has ended in this direction only.
      state = "complete";
      body.end();
      if (!options.upgrade) stream.end();
    };
    // Who leaves an answer unread has no use for its connection.
    body.once("close", () => {
      if (state === "answered" && !options.upgrade) abort(new Error("the answer was left unread"));
    });
    const detach = (): void => {
      stream.off("data", onData).off("end", onEnd).off("error", fail);
      // Whatever happens to it now concerns nobody here.
      stream.off("error", ignore).on("error", ignore);
    };
    stream.on("data", onData).on("end", onEnd).on("error", fail);
    stream.write(requestHead(endpoint, options, content));
    if (content) stream.write(content);
    else if (options.stream)
      sendChunks(stream, options.stream, () => state !== "complete" && !outbound.error && !stream.destroyed)
        .then(() => {
          isSent = true;
        })
        .catch(abort); // the source's error, not the connection's
  });
}

const ignore = (): void => undefined;

/** What came is no HTTP: where it looks like TLS, that is what to say. */
const unintelligible = (error: Error, connection: Connection, first: Buffer): Error =>
  first[0] === 0x15 ? connection.explain(undefined, first) : new ConnectionError(error.message);

/** Requests that change nothing, and may be sent twice. */
const repeatable = (options: RequestOptions): boolean =>
  options.method === undefined || options.method === "GET" || options.method === "HEAD";

/** Sends one request; resolves with the head of a good answer, rejects with ApiError for any other, and with
 * ConnectionError where there is none. */
export async function request(endpoint: Endpoint, options: RequestOptions, pool?: Pool): Promise<Answer> {
  const idle = options.upgrade ? undefined : pool?.take();
  const giveBack = pool && !options.upgrade ? (connection: Connection) => pool.give(connection) : undefined;
  try {
    const connection = idle ?? (await openConnection(endpoint));
    return await exchange({ connection, endpoint, options, used: idle !== undefined, giveBack });
  } catch (error) {
    if (!(error instanceof StaleConnection)) throw error;
    if (!repeatable(options))
      throw new ConnectionError("the connection was closed while it waited", { code: "ECONNRESET" });
    const connection = await openConnection(endpoint);
    return exchange({ connection, endpoint, options, used: false, giveBack });
  }
}

function refusal(head: ResponseHead, bytes: Buffer): ApiError {
  const text = bytes.toString("utf8").trim();
  try {
    const { message } = JSON.parse(text) as { message?: string };
    if (message) return new ApiError(head.status, message);
  } catch {
    // Not JSON: the text itself is the message.
  }
  return new ApiError(head.status, text || head.reason || `status ${head.status}`);
}

/** All of a stream's bytes. */
export async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
