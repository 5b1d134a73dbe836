// HostConfig.StorageOpt: what it may hold, and what that means.
import { parseSize } from "../../api/sizes.ts";
import { invalid } from "../errors.ts";

const FIELD = "HostConfig.StorageOpt";

/** The size that is asked for, in bytes; undefined for none. Throws for other options, and for what is no size. */
export function requestedSize(
  options: Readonly<Record<string, string>> | null | undefined,
): number | undefined {
  let size: number | undefined;
  for (const [key, value] of Object.entries(options ?? {})) {
    if (key.toLowerCase() !== "size") throw invalid(`invalid ${FIELD}: unknown option ${key}`);
    size = parseSize(value);
    if (size === undefined) throw invalid(`invalid ${FIELD}.${key}: invalid size: '${value}'`);
  }
  return size;
}

/** Throws for a size that is too small to be of any use. */
export function checkSize(size: number, minimum: number): void {
  if (size < minimum) throw invalid(`invalid ${FIELD}.size: ${size} bytes, must be ${minimum} at least`);
}
