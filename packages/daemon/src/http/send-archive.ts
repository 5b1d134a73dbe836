// Sends an archive as a response that may break off.
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyReply } from "fastify";
import { beginStream } from "./stream.ts";

/** Sends an archive as it comes; the headers go out with its first bytes, so that what fails before is an error. */
export async function sendArchive(
  reply: FastifyReply,
  archive: Readable,
  headers: Record<string, string>,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    archive.once("readable", resolve).once("end", resolve).once("error", reject);
  });
  const raw = beginStream(reply, "application/x-tar", headers);
  // A client that goes away is its own business; an archive that breaks off ends the connection, so that it shows.
  await pipeline(archive, raw).catch(() => raw.destroy());
}
