// tsctl spec: a container, or a would-be run, as an OCI bundle; only its config.json, or all of it in a directory.
import { spawn } from "node:child_process";
import { chmodSync, lchownSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { type OciBundle, ociText } from "@tsd/daemon/api/oci-config";
import { type Command, type Context, print } from "../context.ts";
import { attachedStreams, createRequest } from "../create/request.ts";
import { expectArguments, type ParsedFlags, parseFlags, UsageError } from "../flags.ts";
import { windowSize } from "../terminal.ts";
import { runFlags } from "./run.ts";

/** Unpacks an export with all of its owners and attributes. */
async function unpack(archive: Readable, directory: string): Promise<void> {
  const words = ["-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", directory, "-f", "-"];
  const tar = spawn("tar", words, { stdio: ["pipe", "ignore", "pipe"] });
  let said = "";
  tar.stderr.on("data", (chunk: Buffer) => {
    if (said.length < 4096) said += chunk.toString("utf8");
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    tar.on("close", resolve);
    tar.on("error", reject);
  });
  await pipeline(archive, tar.stdin);
  if ((await ended) !== 0) throw new Error(`tar: ${said.trim()}`);
}

type Mappings = NonNullable<OciBundle["Config"]["linux"]>["uidMappings"];

const mapped = (mappings: Mappings, id: number): number => {
  const range = mappings?.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range ? range.hostID + id - range.containerID : id;
};

/** Gives what is in a root to those who stand behind its owners: a runtime with a user namespace wants it so. */
function giveAway(path: string, uids: Mappings, gids: Mappings): void {
  const status = lstatSync(path);
  lchownSync(path, mapped(uids, status.uid), mapped(gids, status.gid));
  // A change of owner takes these bits away.
  if (!status.isSymbolicLink() && status.mode & 0o6000) chmodSync(path, status.mode & 0o7777);
  if (status.isDirectory()) for (const name of readdirSync(path)) giveAway(join(path, name), uids, gids);
}

/** Writes a file into a root; an image's symbolic link on the way would lead out of it. */
function writeInside(root: string, path: string, text: string): void {
  const names = path.split("/").filter(Boolean);
  const file = names.pop() ?? "";
  let place = root;
  for (const name of names) {
    place = join(place, name);
    const status = lstatSync(place, { throwIfNoEntry: false });
    if (!status) mkdirSync(place);
    else if (!status.isDirectory())
      throw new Error(`${path}: /${place.slice(root.length + 1)} is no directory`);
  }
  rmSync(join(place, file), { force: true });
  writeFileSync(join(place, file), text, { mode: 0o644, flag: "wx" });
}

async function writeBundle(
  id: string,
  bundle: OciBundle,
  directory: string,
  context: Context,
): Promise<void> {
  const root = join(directory, "rootfs");
  mkdirSync(directory, { recursive: true });
  if (readdirSync(directory).length > 0) throw new UsageError(`${directory} is not empty`, 1);
  mkdirSync(root);
  await unpack(await context.client.containers.export(id), root);
  for (const { Path, Text } of bundle.Files) writeInside(root, Path, Text);
  const { uidMappings, gidMappings } = bundle.Config.linux ?? {};
  if (uidMappings) giveAway(root, uidMappings, gidMappings);
  writeFileSync(join(directory, "config.json"), `${ociText(bundle.Config)}\n`);
  for (const note of bundle.Notes) context.fail(`note: ${note}`);
}

function requestOf(words: readonly string[]): { flags: ParsedFlags; request: ContainerCreateRequest } {
  const flags = parseFlags(words, runFlags, true);
  expectArguments(flags, "spec run", 1);
  const [image = "", ...command] = flags.args;
  const attached = attachedStreams(flags, flags.bool("detach"));
  return { flags, request: createRequest(flags, image, command, attached, windowSize()) };
}

export const spec: Command = async (words, context) => {
  const flags = parseFlags(words, { bundle: ["text", "b"], output: ["text", "o"] }, true);
  expectArguments(flags, "spec", 1);
  const directory = flags.text("bundle") ?? flags.text("output");
  const [first = "", ...rest] = flags.args;
  const { client } = context;
  if (first !== "run") {
    expectArguments(flags, "spec", 1, 1);
    const bundle = await client.isolation.bundle(first);
    if (directory) await writeBundle(first, bundle, directory, context);
    else await print(ociText(bundle.Config));
    return 0;
  }
  const { flags: asked, request } = requestOf(rest);
  if (!directory) {
    await print(ociText((await client.isolation.bundleRun(request, asked.text("name"))).Config));
    return 0;
  }
  // A root is only there for a container; this one is never started.
  const { Id } = await client.containers.create(request, asked.text("name"));
  try {
    await writeBundle(Id, await client.isolation.bundle(Id), directory, context);
  } finally {
    await client.containers.remove(Id, { force: true, v: true });
  }
  return 0;
};
