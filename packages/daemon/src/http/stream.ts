// Answers that are streams: their head goes out before there is anything to say, so that whoever listens knows it is heard.
import type { Readable } from "node:stream";
import type { FastifyReply } from "fastify";

/** Takes the answer out of the framework's hands and sends its head. */
export function beginStream(
  reply: FastifyReply,
  contentType: string,
  headers: Readonly<Record<string, string>> = {},
): FastifyReply["raw"] {
  reply.type(contentType);
  reply.server.record(reply.request, 200);
  reply.raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), ...headers });
  reply.raw.flushHeaders();
  reply.hijack();
  return reply.raw;
}

/** A signal that the client has gone. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.on("close", () => gone.abort());
  return gone.signal;
}

/** Sends a stream as an answer, no faster than it is taken; a stream that fails breaks the answer off, so that it shows. */
export function sendStream(
  reply: FastifyReply,
  contentType: string,
  lines: Readable,
  report: (error: Error) => void,
): void {
  const raw = beginStream(reply, contentType);
  // A client that goes while it is waited for leaves the source in the middle of a line: what that holds open ends here.
  raw.on("close", () => lines.destroy());
  lines
    .on("error", (error) => {
      report(error);
      raw.destroy();
    })
    .pipe(raw);
}
