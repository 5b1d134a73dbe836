// Connections that become raw streams: attach and exec. The one place that decides about upgrades.
import { IncomingMessage, type Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { endWith } from "./refusals.ts";

const MAXIMUM_BODY = 1 << 20;
const BODY_MILLISECONDS = 30_000;

/** How long a body in chunks is waited for: a client that means to send none until it is answered sends none. */
const FIRST_CHUNK_MILLISECONDS = 50;

/** The next bytes of a socket; null at its end, or when there are none in time. */
function nextBytes(socket: Duplex, milliseconds: number): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const onData = (data: Buffer): void => settle(data);
    const onEnd = (): void => settle(null);
    const timer = setTimeout(onEnd, milliseconds);
    const settle = (data: Buffer | null): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      resolve(data);
    };
    socket.on("data", onData).on("end", onEnd).on("close", onEnd);
    socket.resume();
  });
}

/** A body in chunks (RFC 9112, 7.1) at the start of some bytes: what it holds and where it ends, or undefined while it is
 * not whole. Throws for what is none. */
export function parseChunks(bytes: Buffer): { body: Buffer; end: number } | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const size = /^([0-9a-f]{1,6})(?:;.*)?$/i.exec(bytes.toString("latin1", at, line))?.[1];
    if (size === undefined) throw new Error("malformed chunk");
    const begin = line + 2;
    const end = begin + Number.parseInt(size, 16);
    if (bytes.length < end + 2) return undefined;
    if (end === begin) return { body: Buffer.concat(parts), end: end + 2 };
    parts.push(bytes.subarray(begin, end));
    at = end + 2;
  }
}

/** Reads the body of an upgrade request from its socket; what follows goes back to the socket, as the stream's start.
 * Undefined when there is something wrong with it. */
async function readBody(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<Buffer | undefined> {
  const chunked = request.headers["transfer-encoding"]?.toLowerCase() === "chunked";
  const length = Number(request.headers["content-length"] ?? 0);
  if (!Number.isInteger(length) || length < 0 || length > MAXIMUM_BODY) return undefined;
  const end = Date.now() + BODY_MILLISECONDS;
  let bytes = head;
  if (chunked && bytes.length === 0) {
    const first = await nextBytes(socket, FIRST_CHUNK_MILLISECONDS);
    if (!first) return Buffer.alloc(0);
    bytes = first;
  }
  const whole = (): { body: Buffer; end: number } | undefined =>
    chunked
      ? parseChunks(bytes)
      : bytes.length >= length
        ? { body: bytes.subarray(0, length), end: length }
        : undefined;
  let found = whole();
  while (!found) {
    const left = end - Date.now();
    const more = bytes.length > MAXIMUM_BODY || left <= 0 ? null : await nextBytes(socket, left);
    if (!more) return undefined;
    bytes = Buffer.concat([bytes, more]);
    found = whole();
  }
  if (bytes.length > found.end) socket.unshift(bytes.subarray(found.end));
  return found.body;
}

/** Requests whose connection Node's parser has let go of. */
const released = new WeakSet<IncomingMessage>();

/** The request again, with its body: Node ends the first one at its headers. */
function requestWithBody(request: IncomingMessage, socket: Socket, body: Buffer): IncomingMessage {
  const whole = new IncomingMessage(socket);
  const { method, url, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor } = request;
  Object.assign(whole, {
    method,
    url,
    rawHeaders,
    httpVersion,
    httpVersionMajor,
    httpVersionMinor,
    complete: true,
  });
  // `headers` is computed from the raw ones on first use; these were, and are the same.
  Object.assign(whole.headers, headers);
  delete whole.headers["transfer-encoding"];
  if (body.length > 0) whole.push(body);
  whole.push(null);
  released.add(whole);
  return whole;
}

type UpgradeListener = (request: IncomingMessage, socket: Socket, head: Buffer) => void;

const isWebSocket = (request: IncomingMessage): boolean =>
  request.headers.upgrade?.toLowerCase() === "websocket";

/** Sends requests that ask for an upgrade through the app like any other, so that they are checked and refused alike;
 * only a handler that calls openStream changes the protocol. WebSockets are left to their plugin, whose listener would
 * otherwise take every upgrade. */
export function handleUpgrades(server: Server, app: FastifyInstance): void {
  app.addHook("onReady", async () => {
    const webSockets = server.listeners("upgrade") as UpgradeListener[];
    server.removeAllListeners("upgrade");
    server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
      if (isWebSocket(request)) for (const listener of webSockets) listener(request, socket, head);
      else upgrade(request, socket, head);
    });
  });
  // A WebSocket that is refused: Node reads no more requests from a connection that was to be upgraded.
  app.addHook("onSend", (request, reply, payload, done) => {
    if (isWebSocket(request.raw)) {
      reply.header("connection", "close");
      reply.raw.on("finish", () => request.raw.socket.end());
    }
    done(null, payload);
  });
  const upgrade: UpgradeListener = (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    readBody(request, socket, head)
      .then((body) => {
        if (!body) {
          endWith(socket, 400, "the request's body is broken, too big or too late");
          return;
        }
        const whole = requestWithBody(request, socket, body);
        const response = new ServerResponse(whole);
        response.shouldKeepAlive = false;
        response.assignSocket(socket);
        response.on("finish", () => socket.end());
        app.routing(whole, response);
      })
      .catch((error: Error) => endWith(socket, 400, error.message));
  };
}

/** Turns the request's connection into a raw stream of `contentType`, for clients that upgrade and for those who just
 * begin to read and write. Half-closes go through. */
export function openStream(request: FastifyRequest, reply: FastifyReply, contentType: string): Duplex {
  const { raw } = request;
  const { socket } = raw;
  const upgrading = raw.headers.upgrade !== undefined;
  request.server.record(request, upgrading ? 101 : 200);
  reply.hijack();
  if (reply.raw.socket) reply.raw.detachSocket(socket);
  // A request may name an upgrade without having its connection upgraded.
  if (!released.has(raw)) {
    // Adding and removing data listeners makes Node's parser let go of the handle (http's socketOnWrap).
    for (const event of ["data", "end", "timeout", "drain", "error", "close"])
      socket.removeAllListeners(event);
    socket.on("data", () => undefined);
    socket.removeAllListeners("data");
    socket.pause();
  }
  // A client may be gone before anybody else listens: an error that nobody hears ends the daemon.
  socket.on("error", () => socket.destroy());
  request.server.streamBegins(socket);
  socket.setTimeout(0);
  socket.setNoDelay(true);
  const head = upgrading
    ? "HTTP/1.1 101 UPGRADED\r\nContent-Type: {}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    : "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nConnection: close\r\n\r\n";
  socket.write(head.replace("{}", contentType));
  return socket;
}
