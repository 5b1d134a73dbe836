// tsctl import, load, save: archives to the engine and from it, streamed.
import { createReadStream, createWriteStream, renameSync, rmSync } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import type { Answer } from "../sdk/transport.ts";

/** A file, or our stdin for "-". */
export async function archive(path: string): Promise<Readable> {
  if (path === "-") return process.stdin;
  const stream = createReadStream(path, { highWaterMark: 1 << 18 });
  await new Promise((resolve, reject) => {
    stream.once("open", resolve);
    stream.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" ? new Error(`open ${path}: no such file or directory`) : error),
    );
  });
  return stream;
}

interface Progress {
  status?: string;
  stream?: string;
  error?: string;
}

/** Prints an answer's lines of progress; throws for one that tells of an error. */
async function printProgress({ body }: Answer, quiet: boolean): Promise<void> {
  let rest = "";
  const show = async (line: string): Promise<void> => {
    if (!line.trim()) return;
    const { status, stream, error } = JSON.parse(line) as Progress;
    if (error) throw new Error(error);
    const text = status ?? stream ?? "";
    if (text && !quiet) await print(text);
  };
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString("utf8")).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) await show(line);
  }
  await show(rest);
}

export const importImage: Command = async (words, context) => {
  const flags = parseFlags(words, { change: ["list", "c"], message: ["text", "m"], platform: ["text"] });
  expectArguments(flags, "import", 1, 2);
  const [source = "", reference = ""] = flags.args;
  if (/^https?:\/\//.test(source)) throw new UsageError("import from a URL is not built yet");
  const match = /^(.*?)(?::([^:/]+))?$/.exec(reference);
  const answer = await context.client.images.import(await archive(source), {
    repo: match?.[1] ?? "",
    tag: match?.[2] ?? "",
    message: flags.text("message") ?? "",
    changes: flags.list("change"),
  });
  await printProgress(answer, false);
  return 0;
};

export const load: Command = async (words, context) => {
  const flags = parseFlags(words, { input: ["text", "i"], quiet: ["bool", "q"], platform: ["text"] });
  expectArguments(flags, "load", 0, 0);
  const input = flags.text("input");
  if (!input && process.stdin.isTTY) throw new UsageError("requested load from stdin, but stdin is empty");
  await printProgress(await context.client.images.load(await archive(input ?? "-")), false);
  return 0;
};

export const save: Command = async (words, context) => {
  const flags = parseFlags(words, { output: ["text", "o"], platform: ["text"] });
  expectArguments(flags, "save", 1);
  const path = flags.text("output");
  if (!path && process.stdout.isTTY)
    throw new UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect", 1);
  const [os, architecture, variant] = (flags.text("platform") ?? "").split("/");
  const platform = architecture ? JSON.stringify({ os, architecture, variant }) : "";
  const archive = await context.client.images.save(flags.args, platform);
  if (!path) {
    await pipeline(archive, process.stdout, { end: false });
    return 0;
  }
  // In its place when it is whole.
  const temporary = `${path}.${process.pid}.part`;
  try {
    await pipeline(archive, createWriteStream(temporary, { mode: 0o600 }));
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  return 0;
};
