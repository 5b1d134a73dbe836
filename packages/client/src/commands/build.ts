// tsctl build, builder prune.
import { writeFileSync } from "node:fs";
import { Readable } from "node:stream";
import type { BuildLine } from "@tsd/daemon/api";
import { buildFlags, buildQuery, buildSecrets } from "../build/flags.ts";
import { type PackedContext, packDirectory, packDockerfile } from "../build/pack.ts";
import { type Command, print } from "../context.ts";
import { fileError } from "../file-error.ts";
import { expectArguments, filtersJson, parseFlags, UsageError } from "../flags.ts";
import { humanSize } from "../output/units.ts";
import { CredentialStore } from "../registry/credentials.ts";
import { collect } from "../sdk/transport.ts";
import { confirmed } from "./operations.ts";

const isRemote = (text: string): boolean =>
  /^(?:https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/)/.test(text);

/** Whether bytes begin like an archive: a tar's header, or a compressed one's. */
const looksPacked = (bytes: Buffer): boolean =>
  bytes.subarray(257, 262).toString("latin1") === "ustar" ||
  [
    [0x1f, 0x8b],
    [0x42, 0x5a, 0x68],
    [0xfd, 0x37, 0x7a, 0x58, 0x5a],
    [0x28, 0xb5, 0x2f, 0xfd],
  ].some((magic) => magic.every((byte, index) => bytes[index] === byte));

const FIRST_BYTES = 512;

/** Standard input: a context in an archive, or a Dockerfile. */
async function packInput(file: string | undefined): Promise<PackedContext> {
  const chunks: Buffer[] = [];
  let size = 0;
  const input = process.stdin[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  while (size < FIRST_BYTES) {
    const { value, done } = await input.next();
    if (done) break;
    chunks.push(value);
    size += value.length;
  }
  const first = Buffer.concat(chunks);
  async function* rest(): AsyncGenerator<Buffer> {
    yield first;
    for (;;) {
      const { value, done } = await input.next();
      if (done) return;
      yield value;
    }
  }
  const stream = Readable.from(rest());
  if (looksPacked(first)) return { stream, dockerfile: file ?? "Dockerfile", done: Promise.resolve() };
  return packDockerfile(await collect(stream));
}

async function packContext(path: string, file: string | undefined): Promise<PackedContext> {
  if (path === "-") {
    if (file === "-")
      throw new UsageError("invalid argument: can't use stdin for both build context and dockerfile", 1);
    return packInput(file);
  }
  return packDirectory(path, file === "-" ? await collect(process.stdin) : file);
}

interface Outcome {
  id: string;
  status: number;
}

/** Prints what the engine tells; the status is that of the command that failed. */
async function follow(lines: AsyncIterable<BuildLine>, context: Parameters<Command>[1]): Promise<Outcome> {
  let id = "";
  for await (const line of lines) {
    if (line.error !== undefined) {
      context.fail(line.error);
      return { id, status: line.errorDetail?.code ?? 1 };
    }
    if (line.aux?.ID) id = line.aux.ID;
    // Pieces of lines, as they come.
    const text = line.stream ?? (line.status ? `${line.id ? `${line.id}: ` : ""}${line.status}\n` : "");
    if (text && !process.stdout.write(text))
      await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
    if (/^sha256:[0-9a-f]{64}\n$/.test(line.stream ?? "")) id = (line.stream ?? "").trim();
  }
  return { id, status: 0 };
}

export const build: Command = async (words, context) => {
  const flags = parseFlags(words, buildFlags);
  expectArguments(flags, "build", 1, 1);
  const [path = ""] = flags.args;
  const file = flags.text("file");
  const query = buildQuery(flags);
  const secrets = buildSecrets(flags.list("secret"));
  const { images } = context.client;
  const credentials = await new CredentialStore(context.settings).all();
  const packed = isRemote(path) ? undefined : await packContext(path, file);
  const lines = packed
    ? images.build(packed.stream, { ...query, dockerfile: packed.dockerfile }, secrets, credentials)
    : images.build(undefined, { ...query, remote: path, dockerfile: file }, secrets, credentials);
  const { id, status } = await follow(lines, context);
  if (status !== 0) return status;
  await packed?.done;
  const idFile = flags.text("iidfile");
  if (idFile === undefined) return 0;
  try {
    writeFileSync(idFile, id);
  } catch (error) {
    throw fileError(error, idFile);
  }
  return 0;
};

export const prune: Command = async (words, context) => {
  const flags = parseFlags(words, { all: ["bool", "a"], filter: ["list"], force: ["bool", "f"] });
  expectArguments(flags, "builder prune", 0, 0);
  const question = "WARNING! This will remove all that only builds need.";
  if (!flags.bool("force") && !(await confirmed(question))) return 1;
  const report = await context.client.images.pruneBuilds({
    all: flags.bool("all"),
    filters: filtersJson(flags.list("filter")),
  });
  if (report.CachesDeleted?.length)
    await print(`Deleted build cache objects:\n${report.CachesDeleted.join("\n")}\n`);
  await print(`Total reclaimed space: ${humanSize(report.SpaceReclaimed)}`);
  return 0;
};
