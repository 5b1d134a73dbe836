// tsctl attach.
import type { Command } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { interact } from "../interact.ts";
import { followWindow, proxySignals, rawTerminal } from "../terminal.ts";

export const attach: Command = async (words, context) => {
  const flags = parseFlags(words, { "no-stdin": ["bool"], "detach-keys": ["text"], "sig-proxy": ["bool"] });
  expectArguments(flags, "attach", 1, 1);
  const [id = ""] = flags.args;
  const { containers } = context.client;
  const { State, Config } = await containers.inspect(id);
  if (!State.Running) {
    context.fail("cannot attach to a stopped container, start it first");
    return 1;
  }
  const stdin = !flags.bool("no-stdin") && Config.OpenStdin;
  if (Config.Tty && stdin && !process.stdin.isTTY) throw new UsageError("the input device is not a TTY", 1);
  const waiting = await containers.wait(id, "next-exit");
  const stream = await containers.attach(id, {
    stdin,
    stdout: true,
    stderr: true,
    detachKeys: flags.text("detach-keys"),
  });
  const restore = Config.Tty && stdin ? rawTerminal() : () => undefined;
  const proxied = !Config.Tty && (flags.has("sig-proxy") ? flags.bool("sig-proxy") : true);
  const stopSignals = proxied ? proxySignals((signal) => containers.kill(id, signal)) : () => undefined;
  const stopWindow = Config.Tty
    ? followWindow((rows, columns) => containers.resize(id, rows, columns))
    : () => undefined;
  try {
    await interact(stream, { terminal: Config.Tty, stdin });
  } finally {
    stopSignals();
    stopWindow();
    restore();
  }
  const running = await containers.inspect(id).then(
    (container) => container.State.Running,
    () => false,
  );
  return running ? 0 : waiting.exit;
};
