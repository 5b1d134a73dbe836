// tsctl start: in the background, or attached with -a and -i.
import { type Command, type Context, forEachArgument } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { interact } from "../interact.ts";
import { followWindow, proxySignals, rawTerminal } from "../terminal.ts";

/** Starts each, and names at the end those that would not. */
async function startAll(ids: readonly string[], context: Context): Promise<number> {
  const failed: string[] = [];
  const status = await forEachArgument(ids, context, async (id) => {
    await context.client.containers.start(id).catch((error: Error & { status?: number }) => {
      if (error.status === 304) return; // it runs already
      failed.push(id);
      throw error;
    });
    return id;
  });
  if (failed.length > 0) context.fail(`Error: failed to start containers: ${failed.join(", ")}`);
  return status;
}

export const start: Command = async (words, context) => {
  const flags = parseFlags(words, {
    attach: ["bool", "a"],
    interactive: ["bool", "i"],
    "detach-keys": ["text"],
    checkpoint: ["text"],
  });
  expectArguments(flags, "start", 1);
  const { containers } = context.client;
  if (!flags.bool("attach") && !flags.bool("interactive")) return startAll(flags.args, context);
  const [id = ""] = flags.args;
  if (flags.args.length > 1)
    throw new UsageError("you cannot start and attach multiple containers at once", 1);
  const { Config } = await containers.inspect(id);
  const stdin = flags.bool("interactive") && Config.OpenStdin;
  const [stream, waiting] = await Promise.all([
    containers.attach(id, { stdin, stdout: true, stderr: true, detachKeys: flags.text("detach-keys") }),
    containers.wait(id, "next-exit"),
  ]);
  const restore = Config.Tty && stdin ? rawTerminal() : () => undefined;
  const streaming = interact(stream, { terminal: Config.Tty, stdin });
  try {
    await containers.start(id);
    const stopSignals = Config.Tty ? () => undefined : proxySignals((signal) => containers.kill(id, signal));
    const stopWindow = Config.Tty
      ? followWindow((rows, columns) => containers.resize(id, rows, columns))
      : () => undefined;
    await streaming;
    stopSignals();
    stopWindow();
  } finally {
    restore();
  }
  if (Config.Tty && (await containers.inspect(id)).State.Running) return 0;
  return waiting.exit;
};
