// tsctl exec.
import type { Command } from "../context.ts";
import { expectArguments, type FlagTable, parseFlags, UsageError } from "../flags.ts";
import { interact } from "../interact.ts";
import { followWindow, rawTerminal, windowSize } from "../terminal.ts";

const table: FlagTable = {
  detach: ["bool", "d"],
  "detach-keys": ["text"],
  env: ["list", "e"],
  interactive: ["bool", "i"],
  privileged: ["bool"],
  tty: ["bool", "t"],
  user: ["text", "u"],
  workdir: ["text", "w"],
};

export const exec: Command = async (words, context) => {
  const flags = parseFlags(words, table, true);
  expectArguments(flags, "exec", 2);
  const [container = "", ...command] = flags.args;
  const terminal = flags.bool("tty");
  const detached = flags.bool("detach");
  const stdin = flags.bool("interactive") && !detached;
  if (terminal && stdin && !process.stdin.isTTY) throw new UsageError("the input device is not a TTY", 1);
  const { execs } = context.client;
  const size = windowSize();
  const { Id } = await execs.create(container, {
    AttachStdin: stdin,
    AttachStdout: !detached,
    AttachStderr: !detached,
    Tty: terminal,
    DetachKeys: flags.text("detach-keys") ?? "",
    Env: flags.list("env"),
    Cmd: command,
    Privileged: flags.bool("privileged"),
    User: flags.text("user") ?? "",
    WorkingDir: flags.text("workdir") ?? "",
    ...(terminal && size[0] > 0 ? { ConsoleSize: size } : {}),
  });
  if (detached) {
    await execs.startDetached(Id);
    return 0;
  }
  const stream = await execs.start(Id, {
    Tty: terminal,
    ...(terminal && size[0] > 0 ? { ConsoleSize: size } : {}),
  });
  const restore = terminal && stdin ? rawTerminal() : () => undefined;
  const stopWindow = terminal
    ? followWindow((rows, columns) => execs.resize(Id, rows, columns))
    : () => undefined;
  try {
    await interact(stream, { terminal, stdin });
  } finally {
    stopWindow();
    restore();
  }
  return (await execs.inspect(Id)).ExitCode ?? 0;
};
