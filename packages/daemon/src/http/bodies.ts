// Reads what clients send: JSON bodies, whole and in time.
import type { IncomingMessage } from "node:http";
import type { FastifyInstance } from "fastify";
import { EngineError, invalid } from "../engine/errors.ts";
import { parseBody } from "./json.ts";

const MAXIMUM_JSON_BODY = 16 << 20;
const BODY_MILLISECONDS = 30_000;
/** Bytes of bodies that are not whole yet, of all clients together. */
const MAXIMUM_PENDING = 128 << 20;

const refusal = (statusCode: number, message: string): Error =>
  Object.assign(new Error(message), { statusCode });

const tooMuch = (): Error =>
  new EngineError("unavailable", "too many requests with large bodies at one time");

/** Throws unless a header says that the body is JSON: what a browser's form could send from anywhere is not taken. */
export function requireJson(type: string | undefined): void {
  const [media = ""] = (type ?? "").split(";");
  if (!media.trim()) throw invalid(`malformed Content-Type header (${type ?? ""}): mime: no media type`);
  if (media.trim().toLowerCase() !== "application/json")
    throw invalid(`unsupported Content-Type header (${type}): must be 'application/json'`);
}

/** Bodies that routes read are JSON, and say so; others may be anything; archives are left as streams. */
export function readJsonBodies(app: FastifyInstance): void {
  let pending = 0;
  /** Requests whose bodies are more than is kept, and on their way. */
  const stillSent = new WeakSet<IncomingMessage>();
  app.removeAllContentTypeParsers();
  // Before the framework looks at the header, to be refused in the API's words.
  app.addHook("preParsing", ({ headers, routeOptions }, _reply, payload, done) => {
    try {
      const sent = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
      if (sent && routeOptions.config.jsonBody) requireJson(headers["content-type"]);
      done(null, payload);
    } catch (error) {
      done(error as Error);
    }
  });
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
      pending -= size;
      chunks.length = 0;
      done(error, body);
    };
    // Clients that send a byte now and then would keep what they sent in our memory.
    const late = setTimeout(
      () => settle(refusal(408, "the request's body took too long")),
      BODY_MILLISECONDS,
    );
    payload.on("data", (chunk: Buffer) => {
      if (settled) return;
      size += chunk.length;
      pending += chunk.length;
      chunks.push(chunk);
      if (size <= MAXIMUM_JSON_BODY && pending <= MAXIMUM_PENDING) return;
      stillSent.add(request.raw);
      settle(size > MAXIMUM_JSON_BODY ? refusal(413, "http: request body too large") : tooMuch());
    });
    // The only thing that goes wrong with a request's stream is its client.
    payload.on("error", (error: Error) =>
      settle(refusal(400, `the request's body broke off: ${error.message}`)),
    );
    payload.on("close", () => settle(refusal(400, "the request's body broke off")));
    payload.on("end", () => {
      try {
        settle(null, request.routeOptions.config.jsonBody ? parseBody(Buffer.concat(chunks)) : undefined);
      } catch (error) {
        settle(error as Error);
      }
    });
  });
  // Hung up on, as the framework would have it, clients that still send lose the answer: their next write fails before they read.
  app.addHook("onSend", ({ raw }, reply, payload, done) => {
    if (stillSent.has(raw)) reply.removeHeader("connection");
    done(null, payload);
  });
  // Whoever was answered before its body was whole may send the rest, but not for ever.
  app.addHook("onResponse", ({ raw }, _reply, done) => {
    if (!raw.complete && !raw.destroyed) {
      const { socket } = raw;
      const late = setTimeout(() => socket.destroy(), BODY_MILLISECONDS);
      for (const event of ["end", "close"]) raw.once(event, () => clearTimeout(late));
    }
    done();
  });
}
