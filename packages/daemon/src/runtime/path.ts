// Paths inside a root, resolved by descriptor: links stay inside, magic links lead nowhere, and nobody can move things
// between the look and the use.
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  mkdirSync,
  readlinkSync,
  type Stats,
} from "node:fs";
import { posix } from "node:path";
import { KernelError, O_PATH, openat2, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "@tsd/kernel-bindings";

const INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
const MAXIMUM_LINKS = 40;

/** Opens a directory of the root, following links. Throws KernelError. The caller closes it. */
export const openDirectory = (root: number, path: string): number =>
  openat2(root, path, O_PATH | constants.O_DIRECTORY, INSIDE);

/** Opens whatever a path of the root leads to, without reading it. Throws KernelError. The caller closes it. */
export const openInside = (root: number, path: string): number => openat2(root, path, O_PATH, INSIDE);

/** What a path stands for: `directory` (to be closed by the caller) and the name in it; "." for the directory itself. */
export interface Located {
  directory: number;
  base: string;
  /** What the last part of the path was. */
  name: string;
  status: Stats;
  /** Where a link leads to, as a path of the root. */
  linkTarget: string;
}

/** Finds a path; its last part is not followed unless a slash or "/." says that it is a directory. */
export function locate(root: number, path: string): Located {
  const absolute = posix.join("/", path);
  const asDirectory = /\/\.?$/.test(path) || absolute === "/";
  const name = /(?:^|\/)\.\/*$/.test(path) ? "." : posix.basename(absolute) || "/";
  const parentPath = asDirectory ? absolute : posix.dirname(absolute);
  const directory = openDirectory(root, parentPath);
  try {
    if (asDirectory) return { directory, base: ".", name, status: fstatSync(directory), linkTarget: "" };
    const { status, target } = look(directory, posix.basename(absolute));
    const linkTarget = target === undefined ? "" : followLinks(root, posix.resolve(parentPath, target));
    return { directory, base: posix.basename(absolute), name, status, linkTarget };
  } catch (error) {
    closeSync(directory);
    throw error;
  }
}

/** The status of a name in a directory, and a link's text. */
function look(directory: number, name: string): { status: Stats; target: string | undefined } {
  const node = openat2(directory, name, O_PATH | constants.O_NOFOLLOW, INSIDE);
  try {
    const status = fstatSync(node);
    return {
      status,
      target: status.isSymbolicLink() ? readlinkSync(`/proc/self/fd/${directory}/${name}`) : undefined,
    };
  } finally {
    closeSync(node);
  }
}

/** Where a path leads when links at its end are followed; a link to nothing leads to that nothing. */
export function followLinks(root: number, path: string): string {
  let present = path;
  for (let count = 0; count < MAXIMUM_LINKS; count++) {
    let directory: number;
    try {
      directory = openDirectory(root, posix.dirname(present));
    } catch (error) {
      if (error instanceof KernelError) return present;
      throw error;
    }
    try {
      const { target } = look(directory, posix.basename(present) || ".");
      if (target === undefined) return present;
      present = posix.resolve(posix.dirname(present), target);
    } catch (error) {
      if (error instanceof KernelError) return present;
      throw error;
    } finally {
      closeSync(directory);
    }
  }
  return present;
}

/** Opens a directory of the root, making it and what is missing on the way with mode 755; links are followed inside.
 * Throws KernelError, ENOTDIR for a file in the way. The caller closes it. */
export function makeDirectory(root: number, path: string, owner: { uid: number; gid: number }): number {
  try {
    return openDirectory(root, path);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== "ENOENT") throw error;
  }
  const whole = followLinks(root, path);
  const parent = makeDirectory(root, posix.dirname(whole), owner);
  try {
    const made = `/proc/self/fd/${parent}/${posix.basename(whole)}`;
    mkdirSync(made, { mode: 0o755 });
    chmodSync(made, 0o755); // whatever the umask
    lchownSync(made, owner.uid, owner.gid);
  } finally {
    closeSync(parent);
  }
  return openDirectory(root, whole);
}

const goTypes: readonly [(status: Stats) => boolean, number][] = [
  [(status) => status.isDirectory(), 2 ** 31],
  [(status) => status.isSymbolicLink(), 2 ** 27],
  [(status) => status.isBlockDevice(), 2 ** 26],
  [(status) => status.isCharacterDevice(), 2 ** 26 + 2 ** 21],
  [(status) => status.isFIFO(), 2 ** 25],
  [(status) => status.isSocket(), 2 ** 24],
];
const goBits: readonly [bit: number, go: number][] = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
];

/** A mode as Go's FileMode has it, which is what Docker's clients read. */
export function goFileMode(status: Stats): number {
  const type = goTypes.find(([test]) => test(status))?.[1] ?? 0;
  const special = goBits.reduce((sum, [bit, go]) => sum + (status.mode & bit ? go : 0), 0);
  return (status.mode & 0o777) + type + special;
}
