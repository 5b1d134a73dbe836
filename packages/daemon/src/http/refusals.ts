// The last word to what never becomes a request of ours: bytes that are no HTTP, paths that can't be read, expectations and
// upgrades that can't be met. Clients get the API's own kind of error there too.
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

/** Whoever does not read its answer is not waited for. */
const READING_MILLISECONDS = 1000;

/** Answers over a connection that no more requests are read from, and ends it. */
export function endWith(socket: Duplex, status: number, message: string): void {
  const body = JSON.stringify({ message });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  setTimeout(() => socket.destroy(), READING_MILLISECONDS).unref();
}

const brokenStatuses: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Bytes that are no HTTP request, or one that was never finished. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const status = brokenStatuses[error.code ?? ""] ?? 400;
  endWith(socket, status, (STATUS_CODES[status] ?? "").toLowerCase());
}

function answer(response: ServerResponse, status: number, message: string): void {
  const body = JSON.stringify({ message });
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    Connection: "close",
  });
  // Node reads no more requests from a connection that was to be upgraded, and does not close it either.
  if (response.req.headers.upgrade !== undefined) response.on("finish", () => response.req.socket.end());
  response.end(body);
}

/** A path that the router can't read: the framework's own answer has fields that no client knows. */
export function answerUnreadablePath(
  error: FastifyError,
  _request: FastifyRequest,
  reply: FastifyReply,
): void {
  const tooLong = error.statusCode === 414;
  answer(
    reply.raw,
    tooLong ? 414 : 400,
    tooLong ? "a part of the path is too long" : "the path is not a valid one",
  );
}

/** Node's and the WebSocket library's own refusals, in our words. */
export function refuseInOurWords(app: FastifyInstance): void {
  app.server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) =>
    answer(response, 417, "only 100-continue can be expected"),
  );
  app.websocketServer.on("wsClientError", (error: Error, socket: Duplex) =>
    endWith(socket, 400, error.message),
  );
}
