// Containers that an installed OCI runtime runs: which runtimes there are, and the plans by which our monitors look after them.
import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { CLONE_NEWNET, CLONE_NEWNS, type Plan, type SeccompFilter, type Step } from "@tsd/kernel-bindings";
import { ociText } from "../../api/oci-config.ts";
import { logSteps, serveSteps } from "../contributors/monitor.ts";
import { nameServerSteps } from "../contributors/names.ts";
import { sysctlSteps } from "../contributors/namespaces.ts";
import { hostNetworkSteps, networkSteps } from "../contributors/network.ts";
import { attached, mountSteps, rootSteps, treeSteps } from "../contributors/rootfs.ts";
import { SpecificationError } from "../errors.ts";
import type { ContainerSpec, ExecSpec } from "../spec.ts";
import { ociConfig } from "./bundle.ts";
import { unspeakable } from "./mounts.ts";
import { ociProcess } from "./process.ts";

/** An OCI runtime of this host's. */
export interface ForeignRuntime {
  name: string;
  path: string;
  arguments: readonly string[];
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OURS = ["", "tsd"];
/** Found where they are installed, without being configured. */
const wellKnown = ["runc", "crun"];

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

export class ForeignRuntimes {
  readonly #configured: readonly ForeignRuntime[];

  constructor(configured: readonly ForeignRuntime[]) {
    this.#configured = configured;
  }

  /** Every runtime that a container can name. */
  all(): ForeignRuntime[] {
    const installed = wellKnown.flatMap((name) => {
      if (this.#configured.some((one) => one.name === name)) return [];
      const path = PATH.split(":")
        .map((directory) => join(directory, name))
        .find(isProgram);
      return path ? [{ name, path, arguments: [] }] : [];
    });
    return [...this.#configured, ...installed];
  }

  /** The runtime of this name, or at this path; undefined for our own. Docker always has a runc: where there is none, that is our
   * own too, so that scripts which name it go on. */
  find(name: string): ForeignRuntime | undefined {
    if (OURS.includes(name)) return undefined;
    if (name.startsWith("/") && isProgram(name)) return { name, path: name, arguments: [] };
    const found = this.all().find((one) => one.name === name);
    if (found || name === "runc") return found;
    throw new SpecificationError("invalid", `unknown or invalid runtime name: ${name}`);
  }
}

/** Where a container's, or an exec's, dealings with its runtime are: beside its monitor's socket. */
interface ForeignPlaces {
  pidFile: string;
  console: string;
  log: string;
}

const foreignPlaces = (socket: string): ForeignPlaces => {
  const base = socket.replace(/\.sock$/, "");
  return { pidFile: `${base}.pid`, console: `${base}.tty`, log: `${base}.log` };
};

/** What a runtime keeps of its containers. */
const stateOf = (execRoot: string, { name }: ForeignRuntime): string =>
  join(execRoot, "oci", name.replaceAll("/", "_"));

const globalWords = (runtime: ForeignRuntime, execRoot: string, log: string): string[] => [
  runtime.path,
  ...runtime.arguments,
  "--root",
  stateOf(execRoot, runtime),
  "--log",
  log,
  "--log-format",
  "json",
];

const executing = (words: string[]): Step => ({
  op: "execute",
  file: words[0] ?? "",
  arguments: words,
  environment: [`PATH=${PATH}`],
});

/** Targets of what the runtime finds in the root: all that no file system of its own comes on top of. */
function mountedBefore(spec: ContainerSpec): Set<string> {
  const above = [
    "/proc",
    "/dev",
    "/sys",
    ...spec.mounts.flatMap((mount) => (mount.type === "tmpfs" ? [mount.target] : [])),
  ];
  const free = (target: string): boolean =>
    !above.some((path) => target === path || target.startsWith(`${path}/`));
  return new Set(attached(spec).flatMap(({ target }) => (free(target) ? [target] : [])));
}

/** Kernel parameters of the network, which are ours to set as the network is ours to make, and the others. */
const sysctlsOf = ({ sysctls }: ContainerSpec, network: boolean): Record<string, string> =>
  Object.fromEntries(Object.entries(sysctls).filter(([name]) => name.startsWith("net.") === network));

/** Throws for what no other runtime can be told. */
export function checkForeign(spec: ContainerSpec, { name }: ForeignRuntime): void {
  const refuse = (what: string): never => {
    throw new SpecificationError("invalid", `runtime ${name}: ${what}`);
  };
  if (spec.subtree) refuse("containers of type system are for tsd's own runtime");
  if (spec.namespaces.user.kind !== "host")
    refuse("a user namespace of its own is for tsd's own runtime: use --userns host");
  const [other] = unspeakable(spec).filter(({ target }) => !mountedBefore(spec).has(target));
  if (other) refuse(`${other.target} ${other.why}`);
}

export interface ForeignStart {
  runtime: ForeignRuntime;
  execRoot: string;
  seccomp: SeccompFilter | undefined;
  annotations: Readonly<Record<string, string>>;
}

/** Writes the bundle: its root is made, and gone again, in a mount namespace that only the runtime is in. */
export function writeBundle(spec: ContainerSpec, directory: string, start: ForeignStart): string {
  const bundle = join(directory, "bundle");
  mkdirSync(bundle, { recursive: true, mode: 0o700 });
  mkdirSync(stateOf(start.execRoot, start.runtime), { recursive: true, mode: 0o700 });
  const own = spec.namespaces.network.kind === "private";
  const config = ociConfig(own ? { ...spec, sysctls: sysctlsOf(spec, false) } : spec, {
    root: spec.root.staging,
    seccomp: start.seccomp,
    annotations: start.annotations,
    inheritNetwork: own,
    mounted: mountedBefore(spec),
  });
  writeFileSync(join(bundle, "config.json"), ociText(config, 0), { mode: 0o600 });
  return bundle;
}

/** The plan of a container that another runtime runs: the root and the network are made by us, in namespaces that the runtime is
 * then started in; what it starts is taken over by our monitor. */
export function foreignPlan(spec: ContainerSpec, bundle: string, start: ForeignStart): Plan {
  const { pidFile, console, log } = foreignPlaces(spec.socket);
  const { terminal } = spec.streams;
  const own = spec.namespaces.network.kind === "private";
  const before = mountedBefore(spec);
  return [
    ...serveSteps(spec),
    ...logSteps(spec),
    { op: "adopt", pidFile, console: terminal ? console : "" },
    { op: "clone", flags: CLONE_NEWNS | (own ? CLONE_NEWNET : 0) },
    ...treeSteps(spec, false),
    { op: "hand-over" },
    ...hostNetworkSteps(spec),
    ...rootSteps(spec),
    ...mountSteps(spec).filter((step) => step.op === "bind" && before.has(step.target)),
    ...networkSteps(spec),
    ...nameServerSteps(spec),
    ...(own ? sysctlSteps({ ...spec, sysctls: sysctlsOf(spec, true) }) : []),
    executing([
      ...globalWords(start.runtime, start.execRoot, log),
      "run",
      "--detach",
      ...["--bundle", bundle],
      ...["--pid-file", pidFile],
      ...(terminal ? ["--console-socket", console] : []),
      spec.id,
    ]),
  ];
}

/** The plan of an exec in such a container; the process itself is told in a file. */
export function foreignExecPlan(
  spec: ExecSpec,
  container: string,
  runtime: ForeignRuntime,
  execRoot: string,
): Plan {
  const { pidFile, console, log } = foreignPlaces(spec.socket);
  const { terminal } = spec.streams;
  const file = processFile(spec.socket);
  writeFileSync(file, ociText(ociProcess(spec.process, spec.streams), 0), { mode: 0o600 });
  return [
    ...serveSteps(spec),
    { op: "adopt", pidFile, console: terminal ? console : "" },
    { op: "clone", flags: 0 },
    executing([
      ...globalWords(runtime, execRoot, log),
      "exec",
      "--detach",
      ...["--process", file],
      ...["--pid-file", pidFile],
      ...(terminal ? ["--console-socket", console] : []),
      container,
    ]),
  ];
}

const processFile = (socket: string): string => socket.replace(/\.sock$/, ".process");

/** What an exec leaves beside its monitor's socket. */
export const foreignTraces = (socket: string): string[] => {
  const { pidFile, console, log } = foreignPlaces(socket);
  return [pidFile, console, log, processFile(socket)];
};

/** What a runtime said of its failure; "" where it said nothing. */
export function lastWords(plan: Plan): string {
  const execute = plan.findLast((step) => step.op === "execute");
  const log = execute?.arguments[execute.arguments.indexOf("--log") + 1];
  if (!log || !existsSync(log)) return "";
  const lines = readFileSync(log, "utf8").trim().split("\n");
  const errors = lines.flatMap((line) => {
    try {
      const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
      return level === "error" && typeof msg === "string" ? [msg] : [];
    } catch {
      return line ? [line] : []; // not every runtime keeps to the format
    }
  });
  return errors.at(-1) ?? "";
}

const run = promisify(execFile);
const DELETE_MILLISECONDS = 30_000;

/** Has a runtime take away all that it keeps of a container, which may be nothing. */
export async function deleteForeign(runtime: ForeignRuntime, execRoot: string, id: string): Promise<void> {
  if (!existsSync(join(stateOf(execRoot, runtime), id))) return;
  const [program = "", ...words] = globalWords(runtime, execRoot, "/dev/null");
  await run(program, [...words, "delete", "--force", id], {
    timeout: DELETE_MILLISECONDS,
    env: { PATH },
  });
}
