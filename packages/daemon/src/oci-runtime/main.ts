// tsd-runtime: the command line of an OCI runtime over our plans, for podman, containerd and others to drive.
import { appendFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { OciRuntime, readExecProcess } from "./commands.ts";
import { launchMessage } from "./message.ts";
import { BundleError } from "./specify.ts";

const VERSION_TEXT = "tsd-runtime 0.1.0\nspec: 1.1.0\n";
const globals = {
  root: { type: "string", default: "/run/tsd-runtime" },
  log: { type: "string" },
  "log-format": { type: "string", default: "text" },
  "systemd-cgroup": { type: "boolean", default: false },
  debug: { type: "boolean", default: false },
  version: { type: "boolean", short: "v", default: false },
} as const;
const takesValue = new Set(["--root", "--log", "--log-format"]);

const processFlags = {
  bundle: { type: "string", short: "b", default: "." },
  "pid-file": { type: "string" },
  "console-socket": { type: "string" },
  "preserve-fds": { type: "string", default: "0" },
  "no-pivot": { type: "boolean" },
  "no-new-keyring": { type: "boolean" },
  detach: { type: "boolean", short: "d", default: false },
  keep: { type: "boolean" },
} as const;
const execFlags = {
  process: { type: "string", short: "p" },
  tty: { type: "boolean", short: "t", default: false },
  cwd: { type: "string" },
  env: { type: "string", short: "e", multiple: true },
} as const;

/** Where the global flags end and the command begins. */
function commandAt(words: readonly string[]): number {
  let at = 0;
  while (at < words.length && words[at]?.startsWith("-")) at += takesValue.has(words[at] ?? "") ? 2 : 1;
  return at;
}

/** Flags before the first word only: what follows it may be a command of the container's. */
function untilWord(words: string[], valued: ReadonlySet<string>): number {
  let at = 0;
  while (at < words.length && words[at]?.startsWith("-")) at += valued.has(words[at] ?? "") ? 2 : 1;
  return at;
}
const execValued = new Set([
  ...["--process", "-p", "--cwd", "--env", "-e", "--pid-file", "--console-socket", "--preserve-fds"],
]);

const one = (positionals: readonly string[], name: string): string => {
  const [id] = positionals;
  if (!id || positionals.length > (name === "kill" ? 2 : 1))
    throw new BundleError(`${name}: one container is needed`);
  return id;
};

async function run(runtime: OciRuntime, command: string, rest: string[]): Promise<number> {
  if (command === "create" || command === "run") {
    const { values, positionals } = parseArgs({ args: rest, options: processFlags, allowPositionals: true });
    if (values["preserve-fds"] !== "0") throw new BundleError("--preserve-fds: not built");
    const options = {
      bundle: values.bundle,
      pidFile: values["pid-file"],
      console: values["console-socket"],
      leave: command === "create" || values.detach,
    };
    const id = one(positionals, command);
    if (command === "run") return runtime.run(id, options);
    await runtime.create(id, options);
    return 0;
  }
  if (command === "exec") {
    const at = untilWord(rest, execValued);
    const { values } = parseArgs({ args: rest.slice(0, at), options: { ...processFlags, ...execFlags } });
    if (values["preserve-fds"] !== "0") throw new BundleError("--preserve-fds: not built");
    const [id = "", ...words] = rest.slice(at);
    return runtime.exec(
      id,
      {
        process: readExecProcess(values.process),
        words,
        terminal: values.tty,
        cwd: values.cwd,
        env: values.env ?? [],
      },
      { pidFile: values["pid-file"], console: values["console-socket"], leave: values.detach },
    );
  }
  const { values, positionals } = parseArgs({
    args: rest,
    options: {
      force: { type: "boolean", short: "f", default: false },
      all: { type: "boolean", short: "a", default: false },
      format: { type: "string", default: "table" },
      quiet: { type: "boolean", short: "q" },
    },
    allowPositionals: true,
  });
  if (command === "list") runtime.list(values.format);
  else if (command === "features") runtime.features();
  else if (command === "start") await runtime.start(one(positionals, command));
  else if (command === "state") runtime.state(one(positionals, command));
  else if (command === "kill") runtime.kill(one(positionals, command), positionals[1] ?? "TERM", values.all);
  else if (command === "delete") await runtime.delete(one(positionals, command), values.force);
  else throw new BundleError(`unknown command: ${command}`);
  return 0;
}

async function main(words: string[]): Promise<number> {
  const at = commandAt(words);
  const { values } = parseArgs({ args: words.slice(0, at), options: globals });
  if (values.version) {
    writeSync(1, VERSION_TEXT);
    return 0;
  }
  if (values.log) writeFileSync(values.log, "", { flag: "a" });
  try {
    if (values["systemd-cgroup"])
      throw new BundleError("--systemd-cgroup: not built; use the cgroupfs manager");
    const [command = "", ...rest] = words.slice(at);
    const launcher = join(import.meta.dirname, "../../kernel-bindings/launcher/build/tsd-launcher");
    return await run(new OciRuntime(values.root, launcher), command, rest);
  } catch (error) {
    const message = launchMessage(error);
    const entry =
      values["log-format"] === "json"
        ? JSON.stringify({ level: "error", msg: message, time: new Date().toISOString() })
        : `time="${new Date().toISOString()}" level=error msg=${JSON.stringify(message)}`;
    if (values.log) appendFileSync(values.log, `${entry}\n`);
    writeSync(2, `tsd-runtime: ${message}\n`);
    return 1;
  }
}

void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
