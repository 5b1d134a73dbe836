// Which executables a container wrote itself: files of its own layer that are not the image's, and all of a tmpfs.
import { closeSync, constants, fstatSync, openSync, read as readAt } from "node:fs";
import { promisify } from "node:util";
import {
  type Execution,
  KernelError,
  O_PATH,
  openat2,
  processMounts,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "@tsd/kernel-bindings";
import { openLayers } from "../../runtime/rootview.ts";

const read = promisify(readAt);
const INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const DELETED = " (deleted)";
const CHUNK = 1 << 20;

/** Opens what is at a path below a directory, without following links; undefined where there is nothing. */
function openBelow(directory: number, path: string, flags: number): number | undefined {
  try {
    return openat2(directory, path, flags, INSIDE);
  } catch (error) {
    if (error instanceof KernelError && ["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes(error.code))
      return undefined;
    throw error;
  }
}

/** Begins to watch the mounts of a container from which something can be executed that it wrote: its root, and each tmpfs that
 * allows it. Returns their ids, and which is the root. */
export function watchedMounts(pid: number, watch: (path: string) => void): { id: number; image: boolean }[] {
  const root = openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY);
  try {
    const watched: { id: number; image: boolean }[] = [];
    for (const { id, mountPoint, type, options, source } of processMounts(pid) ?? []) {
      const image = mountPoint === "/";
      if (!image && (type !== "tmpfs" || options.has("noexec") || options.has("ro") || source === "none"))
        continue;
      const place = openBelow(root, mountPoint, O_PATH);
      if (place === undefined) continue;
      try {
        watch(`/proc/self/fd/${place}`);
        watched.push({ id, image });
      } finally {
        closeSync(place);
      }
    }
    return watched;
  } finally {
    closeSync(root);
  }
}

/** Whether two open files hold the same. Their own offsets are left alone. */
async function sameContent(a: number, b: number, size: number): Promise<boolean> {
  const [left, right] = [Buffer.alloc(Math.min(CHUNK, size)), Buffer.alloc(Math.min(CHUNK, size))];
  for (let at = 0; at < size; ) {
    const [one, two] = await Promise.all([
      read(a, left, 0, left.length, at),
      read(b, right, 0, right.length, at),
    ]);
    if (one.bytesRead !== two.bytesRead || one.bytesRead === 0) return false;
    if (!left.subarray(0, one.bytesRead).equals(right.subarray(0, one.bytesRead))) return false;
    at += one.bytesRead;
  }
  return true;
}

/** Whether a file that was executed was written in the container: it is in its own layer, and the image has none there that
 * holds the same (a change of mode or owner alone copies a file, too). `known` remembers those. */
export async function wroteItself(
  { descriptor, path }: Execution,
  layers: { upper: string; below: readonly string[] },
  known: Set<string>,
): Promise<boolean> {
  if (path.endsWith(DELETED)) return true;
  const upper = openSync(layers.upper, O_PATH | constants.O_DIRECTORY);
  try {
    const there = openBelow(upper, path, O_PATH);
    if (there === undefined) return false;
    closeSync(there);
  } finally {
    closeSync(upper);
  }
  const { size, ctimeMs, mtimeMs } = fstatSync(descriptor);
  const key = [path, size, ctimeMs, mtimeMs].join("\n");
  if (known.has(key)) return false;
  const image = openLayers(layers.below);
  let original: number | undefined;
  try {
    original = openBelow(image, path, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally {
    closeSync(image);
  }
  if (original === undefined) return true;
  try {
    const status = fstatSync(original);
    if (!status.isFile() || status.size !== size || !(await sameContent(descriptor, original, size)))
      return true;
    known.add(key);
    return false;
  } finally {
    closeSync(original);
  }
}
