// The lowest layers. Of every root: the places that are mounted on, so that mounting leaves nothing in a container's own
// files (they would show up in its changes, and in images made of it). Of other images: an overlay has two layers at least.
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";

const directories = ["dev", "dev/pts", "dev/shm", "dev/mqueue", "etc", "proc", "sys"];
const files = [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/** Makes the layer where it is missing; returns its directory. */
export function ensureSkeleton(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  for (const name of directories) mkdirSync(join(directory, name), { recursive: true, mode: 0o755 });
  for (const name of files) closeSync(openSync(join(directory, name), "a", 0o755));
  return directory;
}

/** Makes the directory where it is missing. */
export function ensureEmpty(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  return directory;
}
