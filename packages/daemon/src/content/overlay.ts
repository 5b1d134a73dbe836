// A root to write into, made of layers, that is mounted in nobody's sight.
import { closeSync, constants, openSync } from "node:fs";
import { fsconfigString, fsmount, fsopen, O_PATH } from "@tsd/kernel-bindings";

/** An overlay of `upper` on `lower` (topmost first), or just `upper` where there is nothing below it; gone when the
 * descriptor is closed. */
export function openWritable(lower: readonly string[], upper: string, work: string): number {
  if (lower.length === 0) return openSync(upper, O_PATH | constants.O_DIRECTORY);
  const fs = fsopen("overlay");
  try {
    for (const layer of lower) fsconfigString(fs, "lowerdir+", layer);
    fsconfigString(fs, "upperdir", upper);
    fsconfigString(fs, "workdir", work);
    return fsmount(fs);
  } finally {
    closeSync(fs);
  }
}
