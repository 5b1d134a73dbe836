// Files and directories that appear at once or not at all: staged beside their target, then renamed, all of them or none.
import { randomBytes } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

export const CERTIFICATE_MODE = 0o444;
export const KEY_MODE = 0o400;
export const DIRECTORY_MODE = 0o700;

/** Something complete under a temporary name, waiting to take its target's place. */
export interface Staged {
  readonly target: string;
  readonly path: string;
}

export interface FileContent {
  name: string;
  text: string;
  mode: number;
}

const besides = (target: string, what: "tmp" | "old"): string =>
  join(dirname(target), `.${basename(target)}.${what}-${randomBytes(6).toString("hex")}`);
const besidesPattern = /^\.(.+)\.(tmp|old)-[0-9a-f]{12}$/;

function syncDirectory(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function writeWhole(path: string, text: string, mode: number): void {
  const descriptor = openSync(path, "wx", mode);
  try {
    writeFileSync(descriptor, text);
    // The umask took bits from what open was given.
    fchmodSync(descriptor, mode);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Writes a file, synced, under a temporary name beside its target. */
export function stageFile(target: string, text: string, mode: number): Staged {
  const path = besides(target, "tmp");
  try {
    writeWhole(path, text, mode);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
  return { target, path };
}

/** Writes a directory of files likewise. */
export function stageDirectory(target: string, files: readonly FileContent[]): Staged {
  const path = besides(target, "tmp");
  try {
    mkdirSync(path, { mode: DIRECTORY_MODE });
    for (const file of files) writeWhole(join(path, file.name), file.text, file.mode);
    syncDirectory(path);
  } catch (error) {
    rmSync(path, { recursive: true, force: true });
    throw error;
  }
  return { target, path };
}

/** Removes what was staged and will not be used. */
export function discard(staged: readonly Staged[]): void {
  for (const { path } of staged) rmSync(path, { recursive: true, force: true });
}

interface Placed {
  target: string;
  /** Where its predecessor is, if it had one. */
  old: string | undefined;
}

/** A file is replaced without a moment of absence; a directory with one as short as two renames. */
function place({ target, path }: Staged): Placed {
  if (!existsSync(target)) {
    renameSync(path, target);
    return { target, old: undefined };
  }
  const old = besides(target, "old");
  const isDirectory = lstatSync(target).isDirectory();
  if (isDirectory) renameSync(target, old);
  else copyFileSync(target, old);
  try {
    renameSync(path, target);
  } catch (error) {
    if (isDirectory) renameSync(old, target);
    else rmSync(old, { force: true });
    throw error;
  }
  return { target, old };
}

function putBack({ target, old }: Placed): void {
  if (old === undefined || lstatSync(target).isDirectory()) rmSync(target, { recursive: true, force: true });
  if (old !== undefined) renameSync(old, target);
}

/** Puts everything staged into its place, in order. When one fails the others are put back, and nothing staged is left. */
export function commit(staged: readonly Staged[]): void {
  const placed: Placed[] = [];
  try {
    for (const one of staged) placed.push(place(one));
  } catch (error) {
    for (const one of placed.reverse()) putBack(one);
    discard(staged);
    throw error;
  }
  for (const directory of new Set(staged.map(({ target }) => dirname(target)))) syncDirectory(directory);
  for (const { old } of placed) if (old !== undefined) rmSync(old, { recursive: true, force: true });
}

/** Clears away what a process left that died between staging and committing. Only with the lock. */
export function sweep(directory: string): void {
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory)) {
    const match = besidesPattern.exec(name);
    if (!match) continue;
    const target = join(directory, match[1] ?? "");
    if (match[2] === "old" && !existsSync(target)) renameSync(join(directory, name), target);
    else rmSync(join(directory, name), { recursive: true, force: true });
  }
}
