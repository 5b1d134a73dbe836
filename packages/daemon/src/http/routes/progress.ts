// Answers of progress lines: JSON, a line each. What goes wrong before the first is an answer of its own.
import type { FastifyReply } from "fastify";
import { errorAnswer } from "../errors.ts";
import { beginStream, clientGone } from "../stream.ts";

/** Does the work, and sends the lines that it tells. A slow client misses some of those that say how far things are. */
export async function sendProgress(
  reply: FastifyReply,
  work: (tell: (line: object) => void, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  let raw: FastifyReply["raw"] | undefined;
  const signal = clientGone(reply);
  const tell = (line: object): void => {
    raw ??= beginStream(reply, "application/json");
    const { progressDetail } = line as { progressDetail?: { current?: number } };
    if (raw.writableNeedDrain && progressDetail?.current !== undefined) return;
    raw.write(`${JSON.stringify(line)}\r\n`);
  };
  try {
    await work(tell, signal);
    raw ??= beginStream(reply, "application/json");
  } catch (error) {
    if (!raw) throw error;
    if (signal.aborted) return;
    const { message } = errorAnswer(error as Error);
    reply.request.log.info({ message }, "failed after its first line");
    tell({ errorDetail: { message }, error: message });
  }
  raw.end();
}
