// tsctl cp: files and directories between a container and here, by tar. The system's tar makes and unpacks what is local.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, posix, resolve } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { PathStat } from "@tsd/daemon/api";
import type { Command, Context } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { humanSize } from "../output/units.ts";

interface CopyOptions {
  /** Owners as they are at the source. */
  archive: boolean;
  followLink: boolean;
  quiet: boolean;
}

/** One end of a copy: "CONTAINER:PATH", a local path, or "-" for a tar on stdin or stdout. */
interface Place {
  container: string | undefined;
  path: string;
}

const DIRECTORY = 2 ** 31;
const SYMLINK = 2 ** 27;
const isDirectory = ({ mode }: PathStat): boolean => Math.floor(mode / DIRECTORY) % 2 === 1;
const isLink = ({ mode }: PathStat): boolean => Math.floor(mode / SYMLINK) % 2 === 1;

function parsePlace(text: string): Place {
  const at = text.indexOf(":");
  // A path that begins like one is local, whatever colons it has.
  if (at <= 0 || text.startsWith("/") || text.startsWith(".")) return { container: undefined, path: text };
  return { container: text.slice(0, at), path: text.slice(at + 1) };
}

async function finished(child: ChildProcess): Promise<void> {
  const errors: Buffer[] = [];
  child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk));
  const code = await new Promise<number | null>((done, reject) => {
    child.on("error", reject);
    child.on("close", done);
  });
  if (code !== 0) throw new Error(Buffer.concat(errors).toString("utf8").trim() || `tar ended with ${code}`);
}

/** Takes the tar on stdin apart in a directory. */
async function extract(archive: Readable, directory: string, options: CopyOptions): Promise<void> {
  const owner = options.archive ? "--same-owner" : "--no-same-owner";
  const child = spawn("tar", ["-x", "-p", "-S", "--numeric-owner", owner, "-f", "-", "-C", directory], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  const ended = finished(child);
  await pipeline(archive, child.stdin as NonNullable<ChildProcess["stdin"]>).catch(
    async (error: NodeJS.ErrnoException) => {
      await ended; // tar's own words are the better ones
      if (error.code !== "EPIPE") throw error;
    },
  );
  await ended;
}

const assertDirectory = (path: string): void => {
  if (!existsSync(path) || !statSync(path).isDirectory())
    throw new Error(`invalid output path: directory "${path}" does not exist`);
};

async function copyFrom(
  source: Place,
  target: string,
  options: CopyOptions,
  context: Context,
): Promise<void> {
  const { containers } = context.client;
  const id = source.container ?? "";
  let { path } = source;
  if (options.followLink) {
    const stat = await containers.statPath(id, path).catch(() => undefined);
    if (stat && isLink(stat)) path = stat.linkTarget;
  }
  const { stat, archive } = await containers.copyOut(id, path);
  if (target === "-") {
    await pipeline(archive, process.stdout, { end: false });
    return;
  }
  const destination = resolve(target);
  const there = existsSync(destination);
  const contentsOnly = /\/\.$/.test(path) || path === ".";
  if (contentsOnly) {
    assertDirectory(dirname(destination));
    mkdirSync(destination, { recursive: true });
    await extract(archive, destination, options);
  } else if (there && statSync(destination).isDirectory()) {
    await extract(archive, destination, options);
  } else {
    if (there && isDirectory(stat)) throw new Error("cannot copy directory");
    if (!there && /\/$/.test(target) && !isDirectory(stat))
      throw new Error(`destination directory "${dirname(destination)}/${basename(destination)}/" must exist`);
    await extractAs(archive, stat.name, destination, options);
  }
  if (!options.quiet && process.stderr.isTTY)
    process.stderr.write(`Successfully copied ${humanSize(stat.size)} to ${destination}\n`);
}

/** Unpacks beside the destination, then gives the result its name. */
async function extractAs(
  archive: Readable,
  name: string,
  destination: string,
  options: CopyOptions,
): Promise<void> {
  const parent = dirname(destination);
  assertDirectory(parent);
  const temporary = mkdtempSync(join(parent, ".tsctl-cp-"));
  try {
    await extract(archive, temporary, options);
    renameSync(join(temporary, name), destination);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Special characters of tar's --transform expressions. */
const escaped = (text: string): string => text.replace(/[\\|.*[\]^$&]/g, "\\$&");

/** A tar of a local path, in which it is called `name`. */
function pack(path: string, name: string, options: CopyOptions): ChildProcess {
  const contents = /\/\.$/.test(path) || path === ".";
  const parent = contents ? path : dirname(resolve(path));
  const base = contents ? "." : basename(resolve(path));
  const rename =
    contents || name === base ? [] : [`--transform=flags=r;s|^${escaped(base)}|${escaped(name)}|`];
  const follow = options.followLink && lstatSync(path).isSymbolicLink() ? ["-h"] : [];
  const words = [
    "-c",
    "--numeric-owner",
    "--xattrs",
    ...follow,
    ...rename,
    "-f",
    "-",
    "-C",
    parent,
    "--",
    base,
  ];
  return spawn("tar", words, { stdio: ["ignore", "pipe", "pipe"] });
}

async function statTarget(target: Place, context: Context): Promise<PathStat | undefined> {
  const { containers } = context.client;
  try {
    const stat = await containers.statPath(target.container ?? "", target.path);
    if (!isLink(stat)) return stat;
    target.path = stat.linkTarget;
    return await containers.statPath(target.container ?? "", target.path);
  } catch (error) {
    if ((error as { status?: number }).status !== 404) throw error;
    // Which of the two is missing: a container that is not there must not pass for a new file in it.
    await containers.inspect(target.container ?? "");
    return undefined;
  }
}

async function copyTo(source: string, target: Place, options: CopyOptions, context: Context): Promise<void> {
  const { containers } = context.client;
  const id = target.container ?? "";
  const stat = await statTarget(target, context);
  const query = { noOverwriteDirNonDir: true, copyUIDGID: options.archive };
  if (source === "-") {
    if (stat && !isDirectory(stat)) throw new Error(`destination "${id}:${target.path}" must be a directory`);
    await containers.copyIn(id, process.stdin, { ...query, path: target.path });
    return;
  }
  const local = options.followLink ? statSync(source) : lstatSync(source);
  const contents = /\/\.$/.test(source) || source === ".";
  const absolute = posix.join("/", target.path);
  let directory = absolute;
  let name = basename(resolve(source));
  if (!stat) {
    if (/\/$/.test(target.path) && !local.isDirectory()) throw new Error(`no such directory: ${target.path}`);
    directory = posix.dirname(absolute);
    name = posix.basename(absolute);
  } else if (!isDirectory(stat)) {
    if (local.isDirectory()) throw new Error("cannot copy directory");
    directory = posix.dirname(absolute);
    name = posix.basename(absolute);
  }
  // The contents of a directory into one that is not there yet: it is the directory itself under the new name.
  const path = contents && !stat ? resolve(source) : source;
  const child = pack(path, name, options);
  const ended = finished(child);
  ended.catch(() => undefined);
  await containers.copyIn(id, child.stdout as Readable, { ...query, path: directory });
  await ended;
  if (!options.quiet && process.stderr.isTTY)
    process.stderr.write(`Successfully copied ${humanSize(local.size)} to ${id}:${target.path}\n`);
}

export const cp: Command = async (words, context) => {
  const flags = parseFlags(words, {
    archive: ["bool", "a"],
    "follow-link": ["bool", "L"],
    quiet: ["bool", "q"],
  });
  expectArguments(flags, "cp", 2, 2);
  const [from = "", to = ""] = flags.args;
  if (!from) throw new UsageError("source can not be empty", 1);
  if (!to) throw new UsageError("destination can not be empty", 1);
  const source = parsePlace(from);
  const target = parsePlace(to);
  const options = {
    archive: flags.bool("archive"),
    followLink: flags.bool("follow-link"),
    quiet: flags.bool("quiet"),
  };
  if (source.container !== undefined && target.container !== undefined)
    throw new UsageError("copying between containers is not supported", 1);
  if (source.container === undefined && target.container === undefined)
    throw new UsageError("must specify at least one container source", 1);
  if (source.container !== undefined) await copyFrom(source, to, options, context);
  else await copyTo(from, target, options, context);
  return 0;
};
