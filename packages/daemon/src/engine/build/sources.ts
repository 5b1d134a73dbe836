// What COPY and ADD name: found in a root by path or pattern, and summed up by content, names, permissions and owners,
// never by times.
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  createReadStream,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
} from "node:fs";
import { readdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { KernelError, O_PATH } from "@tsd/kernel-bindings";
import { followLinks, type Located, locate, openDirectory } from "../../runtime/path.ts";
import { EngineError } from "../errors.ts";

export interface Source {
  /** The root it is in; whoever opened that closes it. */
  root: number;
  /** A path of the root with no link at its end. */
  path: string;
  /** What its copy is called in a directory. */
  name: string;
  isDirectory: boolean;
  /** "file:…" or "dir:…". */
  digest: string;
}

/** Bytes of a file that takes less time to read than the ways to another thread and back do. */
const SMALL = 1 << 17;
/** Things, and bytes of small files, that are looked at between two turns of the event loop. */
const AT_ONCE = 32;
const BYTES_AT_ONCE = 1 << 20;
const isPattern = (path: string): boolean => /(?<!\\)[*?[]/.test(path);

/** Go's path patterns: * and ? within one part, classes, and a backslash that takes the next character as it is. */
function globExpression(pattern: string): RegExp {
  let text = "";
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern.charAt(at);
    if (character === "*") text += "[^/]*";
    else if (character === "?") text += "[^/]";
    else if (character === "[") {
      const end = pattern.indexOf("]", at + 2);
      if (end < 0) throw new EngineError("system", "syntax error in pattern");
      text += pattern.slice(at, end + 1).replaceAll("\\", "\\\\");
      at = end;
    } else if (character === "\\") text += pattern.charAt(++at).replace(/\W/g, "\\$&");
    else text += character.replace(/[.+^${}()|\]]/g, "\\$&");
  }
  return new RegExp(`^${text}$`, "s");
}

/** Runs `work` with the path of a directory of the root, in which nothing moves meanwhile. */
async function inDirectory<T>(
  root: number,
  path: string,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const descriptor = openDirectory(root, path);
  try {
    return await work(`/proc/self/fd/${descriptor}`);
  } finally {
    closeSync(descriptor);
  }
}

async function fileDigest(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>)
    hash.update(chunk);
  return hash.digest("hex");
}

interface Described {
  isDirectory: boolean;
  /** To be waited for where it is a large file. */
  line: string | Promise<string>;
  /** Bytes that were read to describe it. */
  read: number;
}

/** Looks at one thing, which is called `name` in a summary. */
function describe(path: string, name: string): Described {
  const { mode, uid, gid, size, rdev } = lstatSync(path);
  const kind = mode & constants.S_IFMT;
  const lineOf = (content: string): string => JSON.stringify([name, mode, uid, gid, content]);
  const isDirectory = kind === constants.S_IFDIR;
  if (isDirectory) return { isDirectory, line: lineOf(""), read: 0 };
  if (kind === constants.S_IFLNK) return { isDirectory, line: lineOf(readlinkSync(path)), read: 0 };
  if (kind !== constants.S_IFREG) return { isDirectory, line: lineOf(String(rdev)), read: 0 };
  if (size > SMALL) {
    const line = fileDigest(path).then(lineOf);
    line.catch(() => undefined); // heard of when its turn comes
    return { isDirectory, line, read: 0 };
  }
  const line = lineOf(createHash("sha256").update(readFileSync(path)).digest("hex"));
  return { isDirectory, line, read: size };
}

async function treeDigest(directory: string): Promise<string> {
  const hash = createHash("sha256");
  const walk = async (path: string): Promise<void> => {
    const names = (await readdir(join(directory, path))).sort();
    const children = names.map((name) => (path ? `${path}/${name}` : name));
    for (let at = 0; at < children.length; ) {
      const described: (Described & { child: string })[] = [];
      for (let read = 0; described.length < AT_ONCE && read < BYTES_AT_ONCE && at < children.length; at++) {
        const child = children[at] ?? "";
        const one = describe(join(directory, child), child);
        described.push({ ...one, child });
        read += one.read;
      }
      for (const { child, line, isDirectory } of described) {
        hash.update(`${await line}\n`);
        if (isDirectory) await walk(child);
      }
      await nextTurn();
    }
  };
  await walk("");
  return `dir:${hash.digest("hex")}`;
}

/** Looks at what a path stands for, and hands it on with its directory open. */
export function useLocated<T>(root: number, path: string, work: (located: Located) => T): T {
  const located = locate(root, path);
  try {
    return work(located);
  } finally {
    closeSync(located.directory);
  }
}

async function summarise(root: number, path: string, name: string): Promise<Source> {
  const resolved = followLinks(root, posix.join("/", path));
  const { isDirectory, base } = useLocated(root, resolved, ({ status, base }) => ({
    isDirectory: status.isDirectory(),
    base,
  }));
  if (isDirectory)
    return { root, path: resolved, name, isDirectory, digest: await inDirectory(root, resolved, treeDigest) };
  const digest = await inDirectory(root, posix.dirname(resolved), async (directory) => {
    const { line } = describe(join(directory, base), name);
    return `file:${createHash("sha256")
      .update(await line)
      .digest("hex")}`;
  });
  return { root, path: resolved, name, isDirectory, digest };
}

/** Every path of a root that a pattern fits. */
function matching(root: number, pattern: string): Promise<string[]> {
  const expression = globExpression(pattern);
  const depth = pattern.split("/").length;
  return inDirectory(root, "/", async (top) => {
    const found: string[] = [];
    const walk = async (path: string, level: number): Promise<void> => {
      const entries = await readdir(join(top, path), { withFileTypes: true });
      for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
        const child = path ? `${path}/${entry.name}` : entry.name;
        if (level === depth && expression.test(child)) found.push(child);
        if (level < depth && entry.isDirectory()) await walk(child, level + 1);
      }
    };
    await walk("", 1);
    return found;
  });
}

/** Finds what a word of COPY or ADD names. `instruction` and the words of errors are Docker's. */
export async function findSources(root: number, word: string, instruction: string): Promise<Source[]> {
  const path = posix.normalize(word).replace(/^\/+/, "");
  if (path === ".." || path.startsWith("../"))
    throw new EngineError(
      "invalid",
      `${instruction} failed: forbidden path outside the build context: ${word} ()`,
    );
  if (isPattern(path)) {
    const found: Source[] = [];
    for (const one of await matching(root, path)) found.push(await summarise(root, one, posix.basename(one)));
    return found;
  }
  try {
    const plain = path.replace(/\\(.)/g, "$1");
    return [await summarise(root, plain, posix.basename(plain))];
  } catch (error) {
    if (error instanceof KernelError && ["ENOENT", "ENOTDIR"].includes(error.code))
      throw new EngineError(
        "not-found",
        `${instruction} failed: file not found in build context or excluded by .dockerignore: stat ${path.replace(/\/$/, "")}: file does not exist`,
      );
    throw error;
  }
}

/** The digest of several sources together. */
export function digestOf(sources: readonly { digest: string }[]): string {
  const [only] = sources;
  if (sources.length === 1 && only) return only.digest;
  return `multi:${createHash("sha256")
    .update(sources.map(({ digest }) => digest).join(","))
    .digest("hex")}`;
}

/** Opens a directory of the host's as a root. The caller closes it. */
export const openRoot = (path: string): number => openSync(path, O_PATH | constants.O_DIRECTORY);
