// tsctl nsenter: a command of this machine in some of a container's namespaces, such as a host's tool in its network. It is this
// program, run as root on the container's own machine, that starts it, by nsenter(1) of util-linux: the engine starts no process
// of the host's for anybody, so that no role of its API is worth the host's root.
import { spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { constants } from "node:os";
import type { Command, Context } from "../context.ts";
import { expectArguments, type FlagTable, parseFlags } from "../flags.ts";

/** Flags as nsenter(1) has them, and the names in /proc/PID/ns. */
const kinds = {
  mount: "mnt",
  uts: "uts",
  ipc: "ipc",
  net: "net",
  pid: "pid",
  cgroup: "cgroup",
  user: "user",
  time: "time",
} as const;
const table: FlagTable = {
  mount: ["bool", "m"],
  uts: ["bool", "u"],
  ipc: ["bool", "i"],
  net: ["bool", "n"],
  pid: ["bool", "p"],
  cgroup: ["bool", "C"],
  user: ["bool", "U"],
  time: ["bool", "T"],
  all: ["bool", "a"],
};
const FIRST_DESCRIPTOR = 3;

/** The container's process 1, made sure to be its own, on this machine. */
async function processOf(name: string, context: Context): Promise<number> {
  const { Id, State } = await context.client.containers.inspect(name);
  if (!State.Running) throw new Error(`container ${name} is not running`);
  const groups = ((): string => {
    try {
      return readFileSync(`/proc/${State.Pid}/cgroup`, "utf8");
    } catch {
      return "";
    }
  })();
  if (!groups.includes(Id)) throw new Error(`container ${name} does not run on this machine`);
  return State.Pid;
}

function wait(words: readonly string[], descriptors: readonly number[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn("nsenter", words, { stdio: ["inherit", "inherit", "inherit", ...descriptors] });
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" ? new Error("nsenter (of util-linux) is not installed") : error),
    );
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
  });
}

export const nsenter: Command = async (words, context) => {
  const flags = parseFlags(words, table, true);
  expectArguments(flags, "nsenter", 1);
  // Flags may stand behind the container, too.
  const [name = "", ...rest] = flags.args;
  const more = parseFlags(rest, table, true);
  const asked = (Object.keys(kinds) as (keyof typeof kinds)[]).filter((kind) =>
    [flags, more].some((given) => given.bool(kind) || given.bool("all")),
  );
  if (asked.length === 0)
    throw new Error(
      `tell which namespaces: ${Object.keys(kinds)
        .map((kind) => `--${kind}`)
        .join(", ")} or --all`,
    );
  if (process.getuid?.() !== 0) throw new Error("tsctl nsenter needs root on the container's machine");
  const pid = await processOf(name, context);
  // Open descriptors stay the container's, whatever becomes of the number of its process.
  const opened: { kind: string; descriptor: number }[] = [];
  try {
    for (const kind of asked) {
      const descriptor = openSync(`/proc/${pid}/ns/${kinds[kind]}`, "r");
      opened.push({ kind, descriptor });
    }
    if ((await processOf(name, context)) !== pid) throw new Error(`container ${name} was started anew`);
    // One that is in the host's user namespace need not enter it, and may not.
    const entered = opened.filter(({ kind, descriptor }) => kind !== "user" || !isOwn(descriptor));
    const words = entered.map(({ kind }, index) => `--${kind}=/proc/self/fd/${FIRST_DESCRIPTOR + index}`);
    const command = more.args.length > 0 ? more.args : [process.env.SHELL ?? "/bin/sh"];
    return await wait(
      [...words, "--", ...command],
      entered.map(({ descriptor }) => descriptor),
    );
  } finally {
    for (const { descriptor } of opened) closeSync(descriptor);
  }
};

/** Whether an open user namespace is this program's own. */
const isOwn = (descriptor: number): boolean =>
  fstatSync(descriptor).ino === statSync("/proc/self/ns/user").ino;
