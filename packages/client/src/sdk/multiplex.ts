// Docker's multiplexed streams: frames of stdout and stderr on one connection.
import type { Readable, Writable } from "node:stream";
import { drained } from "./drain.ts";

const HEADER = 8;

async function write(out: Writable, chunk: Buffer): Promise<void> {
  if (!out.write(chunk)) await drained(out);
}

/** Copies frames to where they belong, with back-pressure. Resolves at the end of the stream. */
export async function demultiplex(source: Readable, stdout: Writable, stderr: Writable): Promise<void> {
  let pending: Buffer = Buffer.alloc(0);
  let left = 0;
  let out = stdout;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    pending = pending.length > 0 ? Buffer.concat([pending, chunk]) : chunk;
    for (;;) {
      if (left > 0) {
        const part = pending.subarray(0, left);
        if (part.length === 0) break;
        left -= part.length;
        pending = pending.subarray(part.length);
        await write(out, part);
        continue;
      }
      if (pending.length < HEADER) break;
      const kind = pending.readUInt8(0);
      if (kind > 2) throw new Error(`Unrecognized input header: ${kind}`);
      out = kind === 2 ? stderr : stdout;
      left = pending.readUInt32BE(4);
      pending = pending.subarray(HEADER);
    }
  }
}

/** Copies a terminal's stream as it is. */
export async function copy(source: Readable, out: Writable): Promise<void> {
  for await (const chunk of source as AsyncIterable<Buffer>) await write(out, chunk);
}
