// Reads what clients send: JSON bodies, whole and in time.
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
    const late = setTimeout(
      () => settle(refusal(408, "the request's body took too long")),
      BODY_MILLISECONDS,
    );
    payload.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAXIMUM_JSON_BODY) chunks.push(chunk);
      else settle(refusal(413, "http: request body too large"));
    });
    // The only thing that goes wrong with a request's stream is its client.
    payload.on("error", (error: Error) =>
      settle(refusal(400, `the request's body broke off: ${error.message}`)),
    );
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
