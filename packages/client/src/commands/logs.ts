// tsctl logs.
import type { Command } from "../context.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { copy, demultiplex } from "../sdk/multiplex.ts";

export const logs: Command = async (words, context) => {
  const flags = parseFlags(words, {
    details: ["bool"],
    follow: ["bool", "f"],
    since: ["text"],
    until: ["text"],
    tail: ["text", "n"],
    timestamps: ["bool", "t"],
  });
  expectArguments(flags, "logs", 1, 1);
  const [id = ""] = flags.args;
  const { containers } = context.client;
  const { Config } = await containers.inspect(id);
  const stream = await containers.logs(id, {
    stdout: true,
    stderr: true,
    follow: flags.bool("follow"),
    timestamps: flags.bool("timestamps"),
    details: flags.bool("details"),
    since: flags.text("since"),
    until: flags.text("until"),
    tail: flags.text("tail") ?? "all",
  });
  if (Config.Tty) await copy(stream, process.stdout);
  else await demultiplex(stream, process.stdout, process.stderr);
  return 0;
};
