// tsctl run, tsctl create.
import { existsSync, writeFileSync } from "node:fs";
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import type { Command, Context } from "../context.ts";
import { errorText, print } from "../context.ts";
import { createFlags } from "../create/flags.ts";
import { attachedStreams, createRequest } from "../create/request.ts";
import { expectArguments, type FlagTable, type ParsedFlags, parseFlags, UsageError } from "../flags.ts";
import { interact } from "../interact.ts";
import { ApiError } from "../sdk/errors.ts";
import { followWindow, proxySignals, rawTerminal, windowSize } from "../terminal.ts";
import { pullImage } from "./registry.ts";

type HostConfigRequest = NonNullable<ContainerCreateRequest["HostConfig"]>;

export const runFlags: FlagTable = {
  ...createFlags,
  detach: ["bool", "d"],
  "detach-keys": ["text"],
  "sig-proxy": ["bool"],
};

/** The daemon refused: 125, but for what is not there or may not be used, by the same words as the docker CLI. */
function startStatus(error: unknown): number {
  if (!(error instanceof ApiError)) return 125;
  const { message } = error;
  if (/executable file not found|no such file or directory|system cannot find the file/i.test(message))
    return 127;
  return /permission denied|is a directory/i.test(message) ? 126 : 125;
}

/** Creates, with the image pulled before that or when it is found missing, as --pull says. */
async function createPulling<T>(
  flags: ParsedFlags,
  context: Context,
  image: string,
  make: () => Promise<T>,
): Promise<T> {
  const when = flags.text("pull") ?? "missing";
  if (!["always", "missing", "never"].includes(when))
    throw new UsageError(`invalid pull option: '${when}': must be one of "always", "missing" or "never"`);
  const options = { platform: flags.text("platform"), quiet: flags.bool("quiet"), stream: process.stderr };
  if (when === "always") await pullImage(image, context, options);
  try {
    return await make();
  } catch (error) {
    const missing =
      error instanceof ApiError && error.status === 404 && error.message.startsWith("No such image");
    if (!missing || when !== "missing") throw error;
    const tagged = /[:@][^/]*$/.test(image) ? image : `${image}:latest`;
    if (!options.quiet) context.fail(`Unable to find image '${tagged}' locally`);
    await pullImage(image, context, options);
    return make();
  }
}

async function createContainer(
  flags: ParsedFlags,
  context: Context,
  attached: { stdin: boolean; stdout: boolean; stderr: boolean },
  extra: Partial<HostConfigRequest> = {},
): Promise<string> {
  const [image = "", ...command] = flags.args;
  const cidFile = flags.text("cidfile");
  if (cidFile && existsSync(cidFile))
    throw new UsageError(
      `container ID file found, make sure the other container isn't running or delete ${cidFile}`,
    );
  const body = createRequest(flags, image, command, attached, windowSize());
  if (body.HostConfig) Object.assign(body.HostConfig, extra);
  const { Id, Warnings } = await createPulling(flags, context, image, () =>
    context.client.containers.create(body, flags.text("name"), flags.text("platform")),
  );
  for (const warning of Warnings ?? []) context.fail(`WARNING: ${warning}`);
  if (cidFile) writeFileSync(cidFile, Id, { flag: "wx" });
  return Id;
}

export const create: Command = async (words, context) => {
  const flags = parseFlags(words, createFlags, true);
  expectArguments(flags, "create", 1);
  await print(await createContainer(flags, context, attachedStreams(flags, false)));
  return 0;
};

export const run: Command = async (words, context) => {
  const flags = parseFlags(words, runFlags, true);
  expectArguments(flags, "run", 1);
  return runWithFlags(flags, context);
};

/** Runs a container as its flags say; `made` hears its id before it starts. */
export async function runWithFlags(
  flags: ParsedFlags,
  context: Context,
  extra: Partial<HostConfigRequest> = {},
  made: (id: string) => void = () => undefined,
): Promise<number> {
  const detached = flags.bool("detach");
  if (detached && flags.has("attach"))
    throw new UsageError("conflicting options: cannot specify both --attach and --detach", 1);
  const attached = attachedStreams(flags, detached);
  const terminal = flags.bool("tty") || flags.text("type") === "system";
  if (terminal && attached.stdin && !process.stdin.isTTY)
    throw new UsageError("the input device is not a TTY", 1);
  let id: string;
  try {
    id = await createContainer(flags, context, attached, extra);
    made(id);
  } catch (error) {
    context.fail(`tsctl: ${errorText(error)}\n\nRun 'tsctl --help' for more information`);
    return 125;
  }
  return detached ? runDetached(id, context) : runAttached(id, flags, context, attached, terminal);
}

async function runDetached(id: string, context: Context): Promise<number> {
  try {
    await context.client.containers.start(id);
    await print(id);
    return 0;
  } catch (error) {
    await print(id);
    context.fail(`tsctl: ${errorText(error)}\n\nRun 'tsctl --help' for more information`);
    return startStatus(error);
  }
}

async function runAttached(
  id: string,
  flags: ParsedFlags,
  context: Context,
  attached: { stdin: boolean; stdout: boolean; stderr: boolean },
  terminal: boolean,
): Promise<number> {
  const { containers } = context.client;
  // Both must stand before the start, and neither waits for the other.
  const [stream, waiting] = await Promise.all([
    containers.attach(id, { ...attached, detachKeys: flags.text("detach-keys") }),
    containers.wait(id, flags.bool("rm") ? "removed" : "next-exit"),
  ]);
  const restore = terminal && attached.stdin ? rawTerminal() : () => undefined;
  const streaming = interact(stream, { terminal, stdin: attached.stdin });
  streaming.catch(() => undefined);
  try {
    await containers.start(id);
  } catch (error) {
    restore();
    stream.input.destroy();
    context.fail(`tsctl: ${errorText(error)}\n\nRun 'tsctl --help' for more information`);
    return startStatus(error);
  }
  const proxied = flags.has("sig-proxy") ? flags.bool("sig-proxy") : true;
  const stopSignals =
    proxied && !terminal ? proxySignals((signal) => containers.kill(id, signal)) : () => undefined;
  const stopWindow = terminal
    ? followWindow((rows, columns) => containers.resize(id, rows, columns))
    : () => undefined;
  try {
    await streaming;
  } finally {
    stopSignals();
    stopWindow();
    restore();
  }
  // After a detach the container goes on: its exit is nobody's status then.
  if (terminal && attached.stdin) {
    const running = await containers.inspect(id).then(
      ({ State }) => State.Running,
      () => false,
    );
    if (running) return 0;
  }
  return waiting.exit;
}
