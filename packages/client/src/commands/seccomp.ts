// tsctl seccomp: records the calls that a workload makes, and writes the tightest profile that lets it run.
import { writeFileSync } from "node:fs";
import type { SeccompTrace } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { renderTable } from "../output/table.ts";
import { runFlags, runWithFlags } from "./run.ts";

const table = ({ Calls }: SeccompTrace): string =>
  renderTable([
    ["CALL", "COUNT", "ARCHITECTURE"],
    ...Calls.map(({ Name, Number: number, Count, Architecture }) => [
      Name || `(${number})`,
      String(Count),
      Architecture.replace(/^SCMP_ARCH_/, "").toLowerCase(),
    ]),
  ]);

const profileText = ({ Profile }: SeccompTrace): string => `${JSON.stringify(Profile, null, 2)}\n`;

/** What no profile can name, told on standard error. */
function warn({ Calls }: SeccompTrace, fail: (text: string) => void): void {
  for (const { Name, Number: number, Architecture } of Calls)
    if (Name === "") fail(`WARNING: call ${number} of ${Architecture} has no name and is not in the profile`);
}

/** Runs a container as `run` does, then writes its profile; ends with the container's status. */
export const trace: Command = async (words, context) => {
  const flags = parseFlags(words, { ...runFlags, output: ["text", "o"] }, true);
  expectArguments(flags, "seccomp trace", 1);
  for (const name of ["rm", "detach"])
    if (flags.bool(name)) throw new UsageError(`--${name} does not go with seccomp trace`, 1);
  let id = "";
  try {
    const status = await runWithFlags(flags, context, { SeccompTrace: true }, (made) => {
      id = made;
    });
    if (id === "" || status === 125) return status;
    const found = await context.client.containers.seccompTrace(id);
    warn(found, context.fail);
    const output = flags.text("output");
    if (output) {
      writeFileSync(output, profileText(found));
      context.fail(`${found.Calls.length} calls; profile written to ${output}`);
    } else await print(profileText(found).trimEnd());
    return status;
  } finally {
    if (id !== "") await context.client.containers.remove(id, { force: true, v: true });
  }
};

/** Of a container that was run with --seccomp-trace: its profile, or the calls. */
export const profile: Command = async (words, context) => {
  const flags = parseFlags(words, { calls: ["bool"], format: ["text", "f"] });
  expectArguments(flags, "seccomp profile", 1, 1);
  const found = await context.client.containers.seccompTrace(flags.args[0] ?? "");
  if (flags.text("format") === "json") await print(JSON.stringify(found));
  else if (flags.bool("calls")) await print(table(found));
  else {
    warn(found, context.fail);
    await print(profileText(found).trimEnd());
  }
  return 0;
};
