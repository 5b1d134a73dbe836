// Reads what clients send: JSON bodies, whole and in time; and answers what is no request at all.
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { parseBody } from "./json.ts";

const MAXIMUM_JSON_BODY = 16 << 20;
const BODY_MILLISECONDS = 30_000;

const refusal = (statusCode: number, message: string): Error =>
  Object.assign(new Error(message), { statusCode });

/** JSON comes with all sorts of content types, or with none; archives are left as streams. */
export function readJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request, payload, done) => {
    if (request.routeOptions.config.rawBody) {
      done(null, payload);
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    let settled = false;
    const settle = (error: Error | null, body?: unknown): void => {
      if (settled) return;
      settled = true;
      clearTimeout(late);
      done(error, body);
    };
    // Clients that send a byte now and then would keep what they sent in our memory.
    const late = setTimeout(() => settle(refusal(408, "the request's body took too long")), BODY_MILLISECONDS);
    payload.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAXIMUM_JSON_BODY) chunks.push(chunk);
      else settle(refusal(413, "http: request body too large"));
    });
    payload.on("error", (error: Error) => settle(error));
    payload.on("close", () => settle(refusal(400, "the request's body broke off")));
    payload.on("end", () => {
      try {
        settle(null, parseBody(Buffer.concat(chunks)));
      } catch (error) {
        settle(error as Error);
      }
    });
  });
}

const brokenStatuses: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** The last word to a client whose bytes are no HTTP request, or that never finished one. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const status = brokenStatuses[error.code ?? ""] ?? "400 Bad Request";
  const body = JSON.stringify({ message: status.slice(4).toLowerCase() });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  // Whoever does not read its answer is not waited for.
  setTimeout(() => socket.destroy(), 1000).unref();
}
