// tsctl volume snapshot, backup, restore: a volume's contents as a whole.
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { type Command, print } from "../context.ts";
import { keyValues } from "../create/environment.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { archive } from "./archives.ts";

export const snapshot: Command = async (words, context) => {
  const flags = parseFlags(words, { label: ["list"] });
  expectArguments(flags, "volume snapshot", 1, 2);
  const [name = "", copy = ""] = flags.args;
  const labels = flags.list("label");
  const { Name } = await context.client.volumes.snapshot(name, {
    Name: copy,
    ...(labels.length > 0 ? { Labels: keyValues(labels) } : {}),
  });
  await print(Name);
  return 0;
};

export const backup: Command = async (words, context) => {
  const flags = parseFlags(words, { output: ["text", "o"] });
  expectArguments(flags, "volume backup", 1, 1);
  const output = flags.text("output");
  if (!output && process.stdout.isTTY)
    throw new UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect", 1);
  const tar = await context.client.volumes.backup(flags.args[0] ?? "");
  if (output) await pipeline(tar, createWriteStream(output, { mode: 0o600 }));
  else await pipeline(tar, process.stdout, { end: false });
  return 0;
};

export const restore: Command = async (words, context) => {
  const flags = parseFlags(words, { input: ["text", "i"] });
  expectArguments(flags, "volume restore", 1, 1);
  const input = flags.text("input");
  if (!input && process.stdin.isTTY)
    throw new UsageError("requested restore from stdin, but stdin is empty", 1);
  const { Name } = await context.client.volumes.restore(flags.args[0] ?? "", await archive(input ?? "-"));
  await print(Name);
  return 0;
};
