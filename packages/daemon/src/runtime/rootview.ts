// Reads small files of a container's root by descriptor, whether it runs or not: nothing is mounted in anybody's sight.
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import {
  fsconfigString,
  fsmount,
  fsopen,
  KernelError,
  O_PATH,
  openat2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "@tsd/kernel-bindings";

const MAXIMUM_SIZE = 4 << 20;

/** A read-only overlay of directories (topmost first), mounted nowhere; gone when the descriptor is closed. */
export function openLayers(layers: readonly string[]): number {
  const [only] = layers;
  if (layers.length === 1 && only) return openSync(only, O_PATH | constants.O_DIRECTORY);
  const fs = fsopen("overlay");
  try {
    for (const layer of layers) fsconfigString(fs, "lowerdir+", layer);
    return fsmount(fs);
  } finally {
    closeSync(fs);
  }
}

/** The root's file as text; "" when it is missing or no regular file. Links are followed inside the root only. */
export function readInside(root: number, path: string): string {
  let file: number;
  try {
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    file = openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  } catch (error) {
    if (error instanceof KernelError && ["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes(error.code))
      return "";
    throw error;
  }
  try {
    const status = fstatSync(file);
    if (!status.isFile() || status.size > MAXIMUM_SIZE) return "";
    const bytes = Buffer.alloc(status.size);
    let length = 0;
    while (length < bytes.length) {
      const size = readSync(file, bytes, length, bytes.length - length, null);
      if (size === 0) break;
      length += size;
    }
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(file);
  }
}

/** The user files of a root that is given by its layers, by a running process's pid, or by a descriptor. */
export function readUserFiles(
  root: { layers: readonly string[] } | { pid: number } | { descriptor: number },
): {
  passwd: string;
  group: string;
} {
  const filesIn = (descriptor: number): { passwd: string; group: string } => ({
    passwd: readInside(descriptor, "/etc/passwd"),
    group: readInside(descriptor, "/etc/group"),
  });
  if ("descriptor" in root) return filesIn(root.descriptor);
  const descriptor =
    "pid" in root
      ? openSync(`/proc/${root.pid}/root`, O_PATH | constants.O_DIRECTORY)
      : openLayers(root.layers);
  try {
    return filesIn(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
