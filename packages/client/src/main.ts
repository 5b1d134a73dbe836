// tsctl: finds the command, loads only that, and exits with its status.
import { type Command, errorText, makeContext } from "./context.ts";
import { HelpRequest, UsageError } from "./flags.ts";

const VERSION = "0.1.0";

type Loader = () => Promise<Command>;

const commands: Readonly<Record<string, Loader>> = {
  run: async () => (await import("./commands/run.ts")).run,
  create: async () => (await import("./commands/run.ts")).create,
  start: async () => (await import("./commands/start.ts")).start,
  stop: async () => (await import("./commands/lifecycle.ts")).stop,
  restart: async () => (await import("./commands/lifecycle.ts")).restart,
  kill: async () => (await import("./commands/lifecycle.ts")).kill,
  rm: async () => (await import("./commands/lifecycle.ts")).rm,
  wait: async () => (await import("./commands/lifecycle.ts")).wait,
  rename: async () => (await import("./commands/operations.ts")).rename,
  update: async () => (await import("./commands/operations.ts")).update,
  pause: async () => (await import("./commands/operations.ts")).pause,
  unpause: async () => (await import("./commands/operations.ts")).unpause,
  top: async () => (await import("./commands/operations.ts")).top,
  diff: async () => (await import("./commands/operations.ts")).diff,
  export: async () => (await import("./commands/operations.ts")).exportContainer,
  commit: async () => (await import("./commands/operations.ts")).commit,
  "container prune": async () => (await import("./commands/operations.ts")).prune,
  "system shutdown": async () => (await import("./commands/operations.ts")).shutdown,
  stats: async () => (await import("./commands/stats.ts")).stats,
  cp: async () => (await import("./commands/cp.ts")).cp,
  ps: async () => (await import("./commands/ps.ts")).ps,
  logs: async () => (await import("./commands/logs.ts")).logs,
  attach: async () => (await import("./commands/attach.ts")).attach,
  exec: async () => (await import("./commands/exec.ts")).exec,
  inspect: async () => (await import("./commands/inspect.ts")).inspect,
  images: async () => (await import("./commands/images.ts")).images,
  history: async () => (await import("./commands/images.ts")).history,
  tag: async () => (await import("./commands/images.ts")).tag,
  rmi: async () => (await import("./commands/images.ts")).rmi,
  import: async () => (await import("./commands/archives.ts")).importImage,
  load: async () => (await import("./commands/archives.ts")).load,
  events: async () => (await import("./commands/events.ts")).events,
  version: async () => (await import("./commands/system.ts")).version,
  info: async () => (await import("./commands/system.ts")).info,
};

/** docker's long forms, by their group. */
const groups: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  container: {
    ...Object.fromEntries(
      [
        "run",
        "create",
        "start",
        "stop",
        "restart",
        "kill",
        "rm",
        "wait",
        "logs",
        "attach",
        "exec",
        "inspect",
        "rename",
        "update",
        "pause",
        "unpause",
        "top",
        "diff",
        "export",
        "commit",
        "stats",
        "cp",
      ].map((name) => [name, name]),
    ),
    ls: "ps",
    list: "ps",
    ps: "ps",
    remove: "rm",
    prune: "container prune",
  },
  image: {
    ls: "images",
    list: "images",
    history: "history",
    tag: "tag",
    rm: "rmi",
    remove: "rmi",
    import: "import",
    load: "load",
    inspect: "inspect",
  },
  system: { events: "events", info: "info", shutdown: "system shutdown" },
};

/** docker's commands that are still to come. */
const later = new Set(
  "build compose context login logout network node plugin port pull push save search secret service stack swarm volume builder buildx checkpoint config manifest trust".split(
    " ",
  ),
);

const usage = `Usage:  tsctl [OPTIONS] COMMAND

A client of the tsd container engine

Commands:
  ${Object.keys(commands).sort().join(", ")}
  container COMMAND, image COMMAND, system COMMAND

Global Options:
  -H, --host string   Daemon socket to connect to (unix://PATH, tcp://HOST:PORT)
  -v, --version       Print version information and quit
`;

interface Start {
  host: string;
  words: string[];
}

/** Global flags stand before the command. */
function readGlobal(argv: readonly string[]): Start | { text: string; status: number } {
  let host = process.env.TSD_HOST || process.env.DOCKER_HOST || "unix:///run/tsd.sock";
  let index = 0;
  for (; index < argv.length; index++) {
    const word = argv[index] ?? "";
    const value = /^(?:--host=|-H=?)(.+)$/.exec(word)?.[1];
    if (value) host = value;
    else if (word === "-H" || word === "--host") host = argv[++index] ?? "";
    else if (word === "-v" || word === "--version") return { text: `tsctl version ${VERSION}\n`, status: 0 };
    else if (word === "-h" || word === "--help") return { text: usage, status: 0 };
    else if (
      /^--?(tls|config|context|debug|log-level)/.test(word) ||
      word === "-D" ||
      word === "-c" ||
      word === "-l"
    )
      throw new UsageError(`${word} is not built yet`);
    else if (word.startsWith("-")) throw new UsageError(`unknown flag: ${word}`);
    else break;
  }
  const words = argv.slice(index);
  return words.length === 0 ? { text: usage, status: 0 } : { host, words };
}

function findCommand(words: string[]): { name: string; rest: string[] } {
  const [first = "", ...rest] = words;
  const group = groups[first];
  if (!group) return { name: first, rest };
  const [second = "", ...others] = rest;
  const name = group[second];
  if (!name) throw new UsageError(`unknown command: tsctl ${first} ${second}`, 1);
  return { name, rest: name === "inspect" ? ["--type", first, ...others] : others };
}

async function main(): Promise<number> {
  const start = readGlobal(process.argv.slice(2));
  if ("text" in start) {
    process.stdout.write(start.text);
    return start.status;
  }
  const { name, rest } = findCommand(start.words);
  const load = commands[name];
  if (!load)
    throw new UsageError(
      later.has(name) ? `'${name}' is not built yet` : `unknown command: tsctl ${name}`,
      1,
    );
  return (await load())(rest, makeContext(start.host));
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
    process.stdout.write(
      `Usage:  tsctl ${process.argv.slice(2, 3).join(" ")} [OPTIONS] …\n\nOptions:\n${flags.join("")}`,
    );
    leave(0);
    return;
  }
  const hint = error instanceof UsageError ? "\n\nRun 'tsctl --help' for more information" : "";
  process.stderr.write(
    `${error instanceof UsageError && error.status === 1 ? "tsctl: " : ""}${errorText(error)}${hint}\n`,
  );
  leave(error instanceof UsageError ? error.status : 1);
});
