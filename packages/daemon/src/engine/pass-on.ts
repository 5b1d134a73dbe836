// Hands an archive that is being made on to whoever asked for it.
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Packing } from "@tsd/kernel-bindings";

/** Hands an archive on; if it turns out not to be whole, or is not taken, its stream breaks off. */
export async function passOn(packing: Packing, send: (archive: Readable) => Promise<void>): Promise<void> {
  const archive = new PassThrough({ highWaterMark: 1 << 16 });
  const fed = pipeline(packing.stream, archive, { end: false })
    .then(() => packing.done)
    .then(
      () => archive.end(),
      (error: Error) => archive.destroy(error),
    );
  try {
    await send(archive);
  } finally {
    packing.cancel();
    await fed;
  }
}
