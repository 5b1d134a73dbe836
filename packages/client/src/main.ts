// tsctl: finds the command, loads only that, and exits with its status.
import { commands, groups, later } from "./command-table.ts";
import { errorText, makeContext } from "./context.ts";
import { HelpRequest, UsageError } from "./flags.ts";
import { globalFlagsUsage, readGlobalFlags } from "./global-flags.ts";

const VERSION = "0.1.0";

const usage = (): string => `Usage:  tsctl [OPTIONS] COMMAND

A client of the tsd container engine

Commands:
  ${Object.keys(commands)
    .filter((name) => !name.includes(" "))
    .sort()
    .join(", ")}
  ${Object.keys(groups)
    .map((name) => `${name} COMMAND`)
    .join(", ")}

${globalFlagsUsage}`;

const groupUsage = (name: string): string =>
  `Usage:  tsctl ${name} COMMAND\n\nCommands:\n  ${Object.keys(groups[name] ?? {})
    .sort()
    .join(", ")}\n`;

/** What was called, for messages. */
let called = "";

type Found = { name: string; rest: string[] } | { help: string };

function findCommand(words: readonly string[]): Found {
  const [first = "", ...rest] = words;
  const group = Object.hasOwn(groups, first) ? groups[first] : undefined;
  if (!group) return { name: first, rest };
  const [second = "", ...others] = rest;
  const name = Object.hasOwn(group, second) ? group[second] : undefined;
  if (name) return { name, rest: name === "inspect" ? ["--type", first, ...others] : others };
  // A group that is a command too (audit, port).
  if (commands[first] && (second === "" || second.startsWith("-") || first === "port"))
    return { name: first, rest };
  if (second === "" || second === "--help" || second === "-h") return { help: groupUsage(first) };
  throw new UsageError(`unknown command: tsctl ${first} ${second}`, 1);
}

async function print(text: string): Promise<number> {
  process.stdout.write(text);
  return 0;
}

let debug = false;

async function main(): Promise<number> {
  const global = readGlobalFlags(process.argv.slice(2));
  debug = global.debug;
  if (global.version) return print(`tsctl version ${VERSION}\n`);
  if (global.help || global.words.length === 0) return print(usage());
  const found = findCommand(global.words);
  if ("help" in found) return print(found.help);
  const { name, rest } = found;
  called = name;
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!load)
    throw new UsageError(
      later.has(name) ? `'${name}' is not built yet` : `unknown command: tsctl ${name}`,
      1,
    );
  return (await load())(rest, makeContext(global.settings));
}

/** Ends at once, but not before the output is out. */
function leave(status: number): void {
  process.exitCode = status;
  if (process.stdout.writableLength === 0 && process.stderr.writableLength === 0) process.exit(status);
  process.stdout.end(() => process.exit(status));
}

// A reader that went away (tsctl … | head) is no error.
process.stdout.on("error", () => process.exit(0));

main().then(leave, (error: unknown) => {
  if (error instanceof HelpRequest) {
    const flags = Object.entries(error.table).map(([name, [kind, short]]) => {
      const letter = short ? `-${short}, ` : "    ";
      return `  ${letter}--${name}${kind === "bool" ? "" : ` ${kind === "list" ? "list" : "string"}`}\n`;
    });
    process.stdout.write(`Usage:  tsctl ${called} [OPTIONS] …\n\nOptions:\n${flags.join("")}`);
    leave(0);
    return;
  }
  const hint = error instanceof UsageError ? "\n\nRun 'tsctl --help' for more information" : "";
  process.stderr.write(
    `${error instanceof UsageError && error.status === 1 ? "tsctl: " : ""}${errorText(error)}${hint}\n`,
  );
  if (debug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  leave(error instanceof UsageError ? error.status : 1);
});
