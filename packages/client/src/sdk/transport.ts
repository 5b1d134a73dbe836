// Requests to an engine over a Unix socket or plain TCP.
import { connect, type Socket } from "node:net";
import { PassThrough, type Readable } from "node:stream";
import { drained } from "./drain.ts";
import { type ResponseHead, ResponseParser } from "./response-parser.ts";

/** Where an engine listens. */
export type Target = { path: string } | { host: string; port: number };

/** Reads unix:///PATH and tcp://HOST:PORT. Throws for anything else. */
export function parseHost(text: string): Target {
  const unix = /^unix:\/\/(\/.+)$/.exec(text);
  if (unix?.[1]) return { path: unix[1] };
  const tcp = /^(?:tcp|http):\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(text);
  if (tcp?.[1]) return { host: tcp[1].replace(/^\[|\]$/g, ""), port: Number(tcp[2] ?? 2375) };
  throw new Error(`unable to parse docker host \`${text}\``);
}

/** An engine's refusal; `message` is its words. */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/** The engine could not be reached. */
export class ConnectionError extends Error {}

export interface RequestOptions {
  method?: string;
  path: string;
  /** Sent as JSON, or streamed with chunked encoding. */
  body?: unknown;
  stream?: Readable;
  /** Asks for the connection itself (attach, exec). */
  upgrade?: boolean;
}

export interface Answer {
  head: ResponseHead;
  /** The body, or the raw stream of a hijacked connection. */
  body: Readable;
  socket: Socket;
}

function requestHead(target: Target, options: RequestOptions, content: Buffer | undefined): string {
  const host = "path" in target ? "localhost" : `${target.host}:${target.port}`;
  const lines = [
    `${options.method ?? "GET"} /v1.51${options.path} HTTP/1.1`,
    `Host: ${host}`,
    "User-Agent: tsctl",
  ];
  if (content) lines.push("Content-Type: application/json", `Content-Length: ${content.length}`);
  else if (options.stream) lines.push("Content-Type: application/x-tar", "Transfer-Encoding: chunked");
  else if (options.method === "POST") lines.push("Content-Length: 0");
  lines.push(...(options.upgrade ? ["Connection: Upgrade", "Upgrade: tcp"] : ["Connection: close"]));
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Sends a stream in chunks, no faster than it is taken. */
async function sendChunks(socket: Socket, stream: Readable): Promise<void> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (chunk.length === 0) continue;
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`);
    socket.write(chunk);
    const more = socket.write("\r\n");
    socket.uncork();
    if (!more) await drained(socket);
    if (socket.destroyed) return;
  }
  socket.write("0\r\n\r\n");
}

function unreachable(target: Target, error: NodeJS.ErrnoException): ConnectionError {
  const where = "path" in target ? `unix://${target.path}` : `tcp://${target.host}:${target.port}`;
  if (error.code === "EACCES")
    return new ConnectionError(
      `permission denied while trying to connect to the tsd daemon socket at ${where}`,
    );
  return new ConnectionError(`Cannot connect to the tsd daemon at ${where}. Is the tsd daemon running?`);
}

/** Sends one request on a connection of its own; resolves with the head of a good answer, rejects with ApiError for
 * any other. */
export function request(target: Target, options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const content = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    const socket = connect({ ...target, allowHalfOpen: true } as { path: string; allowHalfOpen: boolean });
    const body = new PassThrough({ highWaterMark: 1 << 16 });
    let settled = false;
    const fail = (error: Error): void => {
      if (settled) body.destroy(error);
      else reject(error);
      settled = true;
      socket.destroy();
    };
    const parser = new ResponseParser(
      {
        head: (head) => {
          if (head.status >= 400 || (head.status === 304 && options.method === "POST")) {
            collect(body).then((bytes) => fail(refusal(head, bytes)), fail);
            return;
          }
          if (options.upgrade) parser.becomeRaw();
          settled = true;
          resolve({ head, body, socket });
        },
        data: (chunk) => {
          if (body.write(chunk)) return;
          socket.pause();
          body.once("drain", () => socket.resume());
        },
        end: () => {
          body.end();
          socket.end();
        },
      },
      options.method === "HEAD",
    );
    socket.on("data", (chunk: Buffer) => {
      try {
        parser.push(chunk);
      } catch (error) {
        fail(error as Error);
      }
    });
    socket.on("end", () => {
      try {
        parser.close();
        body.end();
      } catch (error) {
        fail(error as Error);
      }
      if (!options.upgrade) socket.end();
    });
    socket.on("error", (error) => fail(settled ? error : unreachable(target, error)));
    socket.write(requestHead(target, options, content));
    if (content) socket.write(content);
    else if (options.stream) sendChunks(socket, options.stream).catch(fail);
  });
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
