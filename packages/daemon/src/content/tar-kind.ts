// Whether a file is a tar, compressed or not.
import { createReadStream } from "node:fs";
import { decompress } from "./decompress.ts";

const BLOCK = 512;
const CHECKSUM = 148;
const CHECKSUM_LENGTH = 8;

/** The sum of a header's bytes, its own checksum counted as blanks (POSIX.1-1988 ustar). */
function isHeader(block: Buffer): boolean {
  const field = block.subarray(CHECKSUM, CHECKSUM + CHECKSUM_LENGTH).toString("latin1");
  const wanted = Number.parseInt(field.replace(/[\0 ]/g, ""), 8);
  let sum = 0;
  for (const [index, byte] of block.entries())
    sum += index >= CHECKSUM && index < CHECKSUM + CHECKSUM_LENGTH ? 0x20 : byte;
  return sum === wanted;
}

/** Reads no further than the first header. */
export async function isTar(path: string): Promise<boolean> {
  const file = createReadStream(path);
  try {
    const contents = await decompress(file);
    let start: Buffer = Buffer.alloc(0);
    for await (const chunk of contents as AsyncIterable<Buffer>) {
      start = Buffer.concat([start, chunk]);
      if (start.length >= BLOCK) break;
    }
    return start.length >= BLOCK && isHeader(start.subarray(0, BLOCK));
  } catch {
    return false; // begins like something compressed, and is not
  } finally {
    file.destroy();
  }
}
