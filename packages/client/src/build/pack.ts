// A build's context as a tar: what .dockerignore leaves of a directory, streamed by the tar program.
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { IgnoreRules } from "@tsd/daemon/api/build-ignore";
import { fileError } from "../file-error.ts";
import { drained } from "../sdk/drain.ts";

/** A context on its way. */
export interface PackedContext {
  stream: Readable;
  /** The Dockerfile's path in it. */
  dockerfile: string;
  /** Rejects when something could not be read; to be awaited once the stream has ended. */
  done: Promise<void>;
}

interface OwnFile {
  name: string;
  content: string | Buffer;
}

/** Every path of a directory that the rules do not leave out, directories before what is in them. */
async function* paths(root: string, rules: IgnoreRules, directory = ""): AsyncGenerator<string> {
  const entries = await readdir(join(root, directory), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = directory ? `${directory}/${entry.name}` : entry.name;
    const excluded = rules.excludes(path);
    if (!excluded) yield path;
    if (!entry.isDirectory() || (excluded && !rules.hasExceptions)) continue;
    let isNamed = !excluded;
    for await (const child of paths(root, rules, path)) {
      if (!isNamed) yield path;
      isNamed = true;
      yield child;
    }
  }
}

async function feed(input: Writable, names: AsyncIterable<string>): Promise<void> {
  for await (const name of names) if (!input.write(`./${name}\0`)) await drained(input);
  input.end();
}

async function ended(child: ChildProcess): Promise<void> {
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    errors += chunk.toString("utf8");
  });
  const code = await new Promise<number | null>((resolveCode, reject) => {
    child.on("error", (error) => reject(new Error(`tar can't be run: ${error.message}`)));
    child.on("close", resolveCode);
  });
  if (code !== 0) throw new Error(`packing the build context: ${errors.trim() || `tar ended with ${code}`}`);
}

const options = [
  "-c",
  "--format=pax",
  "--pax-option=delete=atime,delete=ctime",
  "--numeric-owner",
  "--owner=0",
  "--group=0",
];

/** Packs files of ours, and paths of a directory. */
function pack(
  own: readonly OwnFile[],
  root: string | undefined,
  names: AsyncIterable<string>,
): Omit<PackedContext, "dockerfile"> {
  const directory = own.length > 0 ? mkdtempSync(join(tmpdir(), "tsctl-build-")) : undefined;
  const remove = (): void => {
    if (directory) rmSync(directory, { recursive: true, force: true });
  };
  try {
    if (directory)
      for (const { name, content } of own) writeFileSync(join(directory, name), content, { mode: 0o644 });
    const words = [
      ...options,
      "-f",
      "-",
      ...(directory ? ["-C", directory, ...own.map(({ name }) => `./${name}`)] : []),
      ...(root === undefined
        ? []
        : ["-C", root, "--no-recursion", "--null", "--verbatim-files-from", "-T", "-"]),
    ];
    const child = spawn("tar", words, { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => undefined); // tar's own words say why it ended
    const stream = new PassThrough({ highWaterMark: 1 << 18 });
    pipeline(child.stdout, stream).catch((error: Error) => stream.destroy(error));
    const done = Promise.all([feed(child.stdin, names), ended(child)])
      .then(() => undefined)
      .finally(remove);
    done.catch((error: Error) => stream.destroy(error));
    return { stream, done };
  } catch (error) {
    remove();
    throw error;
  }
}

async function* nothing(): AsyncGenerator<string> {
  // no paths
}

/** A context of nothing but a Dockerfile. */
export const packDockerfile = (content: Buffer): PackedContext => ({
  ...pack([{ name: "Dockerfile", content }], undefined, nothing()),
  dockerfile: "Dockerfile",
});

function ignoreText(root: string, dockerfile: string): string {
  for (const name of [`${dockerfile}.dockerignore`, join(root, ".dockerignore")]) {
    try {
      return readFileSync(name, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw fileError(error, name);
    }
  }
  return "";
}

/** Docker takes the name in lower case too. */
function ownDockerfile(root: string): string {
  const [usual = "", lower = ""] = ["Dockerfile", "dockerfile"].map((name) => join(root, name));
  return !existsSync(usual) && existsSync(lower) ? lower : usual;
}

/** Packs a directory. `file` is the Dockerfile's path, or its contents where it comes from elsewhere. */
export function packDirectory(path: string, file: string | Buffer | undefined): PackedContext {
  const root = resolve(path);
  try {
    if (!statSync(root).isDirectory())
      throw new Error(`unable to prepare context: context must be a directory: ${path}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new Error(`unable to prepare context: path ${JSON.stringify(path)} not found`);
    throw error;
  }
  const given = typeof file === "string" ? resolve(file) : ownDockerfile(root);
  if (!Buffer.isBuffer(file) && !existsSync(given))
    throw new Error(
      `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${given}: no such file or directory`,
    );
  const inside = relative(root, given);
  const isInside = !Buffer.isBuffer(file) && !inside.startsWith("..");
  const text = ignoreText(root, given);
  if (isInside) {
    // Both are sent in any case: the engine needs them, and leaves them out itself.
    const rules = new IgnoreRules(`${text}\n!${inside}\n!.dockerignore\n`);
    return { ...pack([], root, paths(root, rules)), dockerfile: inside };
  }
  let content: Buffer;
  try {
    content = Buffer.isBuffer(file) ? file : readFileSync(given);
  } catch (error) {
    throw fileError(error, given);
  }
  const name = `.dockerfile.${randomBytes(10).toString("hex")}`;
  const rules = new IgnoreRules(`${text}\n.dockerignore\n`);
  const own = [
    { name, content },
    { name: ".dockerignore", content: `${text}\n${name}\n.dockerignore\n` },
  ];
  return { ...pack(own, root, paths(root, rules)), dockerfile: name };
}
