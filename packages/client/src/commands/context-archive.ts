// tsctl context export, import.
import { readFileSync, writeFileSync } from "node:fs";
import { type Command, print } from "../context.ts";
import { packContext, unpackContext } from "../contexts/archive.ts";
import { copiedFrom, materialOf } from "../contexts/endpoint.ts";
import { writeContext } from "../contexts/write.ts";
import { fileError } from "../file-error.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { ENDPOINT, findContext } from "../sdk/contexts.ts";
import { configDirectories, DEFAULT_CONTEXT } from "../sdk/environment.ts";
import { collect } from "../sdk/transport.ts";
import { checkNewName } from "./context.ts";

export const exportContext: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "context export", 1, 2);
  const [name = "", file = `${name}.dockercontext`] = flags.args;
  if (file === "-" && process.stdout.isTTY)
    throw new Error("cowardly refusing to export to a terminal, specify a file path");
  let archive: Buffer;
  if (name === DEFAULT_CONTEXT) {
    const { endpoint, material } = copiedFrom(name, context.settings);
    archive = packContext({ Name: name, Metadata: {}, Endpoints: { [ENDPOINT]: endpoint } }, material);
  } else {
    const found = findContext(configDirectories(context.settings).all, name);
    archive = packContext(found.meta, materialOf(found));
  }
  if (file === "-") {
    process.stdout.write(archive);
    return 0;
  }
  try {
    // It holds the key.
    writeFileSync(file, archive, { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw fileError(error, file);
  }
  context.fail(`Written file "${file}"`);
  return 0;
};

export const importContext: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "context import", 2, 2);
  const [name = "", file = ""] = flags.args;
  const { own } = configDirectories(context.settings);
  checkNewName(name, own);
  let archive: Buffer;
  try {
    archive = file === "-" ? await collect(process.stdin) : readFileSync(file);
  } catch (error) {
    throw fileError(error, file);
  }
  const { meta, material } = unpackContext(archive);
  writeContext(own, { ...meta, Name: name }, material);
  await print(name);
  context.fail(`Successfully imported context "${name}"`);
  return 0;
};
