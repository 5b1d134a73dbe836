// Starts what plans describe and takes away what they made: the engine's one way to the kernel.
import { existsSync, mkdirSync, openSync, rmSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import {
  type AttachStreams,
  attachToMonitor,
  type Cgroups,
  detectCgroups,
  type Launch,
  Monitor,
  type Plan,
  type PlanLauncher,
  type ProcessExit,
  parseExitRecord,
  type RealtimeShare,
  removeCgroup,
} from "@tsd/kernel-bindings";
import { SecurityModules } from "./modules.ts";
import { type ForeignRuntime, ForeignRuntimes } from "./oci/foreign.ts";
import { probePlan, rootPlan } from "./plan.ts";
import { SeccompCompiler } from "./seccomp/profile.ts";
import type { RootedSpec } from "./spec.ts";
import type { IdMaps } from "./user-namespace.ts";

/** Where a container's traces are, all named after its id. */
export interface ContainerPlaces {
  /** In the exec root: the monitors' sockets and exit records. */
  directory: string;
  socket: string;
  exitRecord: string;
  cgroup: string;
  /** The directory with its OCI configuration, for hooks, which may run as the container's root: others can't look into it. */
  bundle: string;
}

export interface RuntimeSettings {
  execRoot: string;
  cgroupParent: string;
  /** What containers may have of real-time scheduling together; undefined: what is in their groups already. */
  realtime: RealtimeShare | undefined;
  /** The init program that --init puts in front of a command. */
  initPath: string;
  /** The program that compresses rotated logs. */
  compressorPath: string;
  /** Where specifications of devices by name are (CDI). */
  cdiDirectories: readonly string[];
  /** OCI runtimes that containers can name. */
  runtimes: readonly ForeignRuntime[];
  /** For containers that ask for nothing else. */
  defaults: {
    pids: number | undefined;
    ulimits: readonly { Name: string; Soft: number; Hard: number }[];
    /** Bytes. */
    shmSize: number;
  };
}

export class Runtime {
  readonly cgroups: Cgroups;
  readonly seccomp = new SeccompCompiler();
  readonly settings: RuntimeSettings;
  readonly modules: SecurityModules;
  readonly foreign: ForeignRuntimes;
  /** The directory roots are mounted on, each in a mount namespace of its own. */
  readonly staging: string;
  readonly #launcher: PlanLauncher;
  /** Tests put faults into plans here. */
  readonly #transform: (plan: Plan) => Plan;

  constructor(
    launcher: PlanLauncher,
    settings: RuntimeSettings,
    transform: (plan: Plan) => Plan = (plan) => plan,
    modules = new SecurityModules(),
  ) {
    this.modules = modules;
    this.#launcher = launcher;
    this.settings = settings;
    this.foreign = new ForeignRuntimes(settings.runtimes);
    this.#transform = transform;
    this.cgroups = detectCgroups(settings.realtime);
    if (settings.realtime && !this.cgroups.realtimeBelow("/"))
      throw new Error(
        "--cpu-rt-runtime: this host's control groups have no real-time scheduling of their own",
      );
    this.staging = join(settings.execRoot, "rootfs");
    mkdirSync(this.staging, { recursive: true, mode: 0o700 });
    mkdirSync(join(settings.execRoot, "c"), { recursive: true, mode: 0o700 });
    mkdirSync(join(settings.execRoot, "bundles"), { recursive: true, mode: 0o711 });
  }

  /** Socket paths are limited to 107 bytes, so the id is cut to 64 bits there; the cgroup carries it whole. */
  places(id: string, cgroupParent = ""): ContainerPlaces {
    const directory = join(this.settings.execRoot, "c", id.slice(0, 16));
    return {
      directory,
      socket: join(directory, "monitor.sock"),
      exitRecord: join(directory, "exit"),
      cgroup: this.cgroupOf(id, cgroupParent),
      bundle: join(this.settings.execRoot, "bundles", id.slice(0, 16)),
    };
  }

  /** A container's place in each hierarchy. */
  cgroupOf(id: string, cgroupParent: string): string {
    return join("/", cgroupParent || this.settings.cgroupParent, id);
  }

  execPlaces(containerId: string, execId: string): { socket: string; exitRecord: string } {
    const { directory } = this.places(containerId);
    return {
      socket: join(directory, `${execId.slice(0, 16)}.sock`),
      exitRecord: join(directory, `${execId.slice(0, 16)}.exit`),
    };
  }

  /** Starts carrying a plan out; also returns the plan as it was launched, which failures refer to by step. */
  launch(plan: Plan, clients: readonly AttachStreams[]): Launch & { plan: Plan } {
    const launched = this.#transform(plan);
    return { ...this.#launcher.launch(launched, clients), plan: launched };
  }

  /** Shows the root of a container that does not run, until it is closed; gone with this daemon at the latest. */
  async holdRoot(spec: RootedSpec): Promise<{ pid: number; close: () => Promise<void> }> {
    return this.#hold(rootPlan(spec));
  }

  /** Throws with the reason when no root can be made in a user namespace here: what is wanted is an empty directory. Returns a
   * descriptor of the user namespace. */
  async probeUserNamespaces(base: string, layer: string, maps: IdMaps): Promise<number> {
    for (const name of ["diff", "work"]) mkdirSync(join(base, name), { recursive: true });
    const root = { staging: this.staging, layers: [layer], base, readOnly: false };
    const spec = { root, files: [], mounts: [], init: undefined };
    const { pid, close } = await this.#hold(probePlan(spec, maps));
    try {
      return openSync(`/proc/${pid}/ns/user`, "r");
    } finally {
      await close();
    }
  }

  async #hold(plan: Plan): Promise<{ pid: number; close: () => Promise<void> }> {
    const { monitor } = this.launch(plan, []);
    const { pid } = await monitor.started;
    const close = async (): Promise<void> => {
      monitor.signal(9);
      await monitor.exited;
      monitor.release();
    };
    return { pid, close };
  }

  attach(socket: string, streams: AttachStreams): Socket {
    return attachToMonitor(socket, streams);
  }

  adopt(socket: string): Monitor {
    return Monitor.adopt(socket);
  }

  /** What a monitor wrote down about its process's end, or undefined if it has not (or the host was restarted). */
  async exitRecord(path: string): Promise<ProcessExit | undefined> {
    try {
      return parseExitRecord(await readFile(path, "utf8"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Ends every process in the container's group, and waits until they are gone. */
  async killAll(cgroup: string): Promise<void> {
    // Nobody dies frozen.
    if (this.cgroups.isFrozen(cgroup)) this.cgroups.freeze(cgroup, false);
    for (let attempt = 0; attempt < 200; attempt++) {
      const pids = this.cgroups.processes(cgroup);
      if (pids.length === 0) return;
      for (const pid of pids) {
        try {
          process.kill(pid, "SIGKILL");
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
        }
      }
      await delay(Math.min(5 * (attempt + 1), 50));
    }
    throw new Error(`processes in ${cgroup} do not end`);
  }

  /** Takes away all that a start made outside the container's own namespaces, but for what its monitor wrote down. May
   * be called at any time, and twice. */
  async release(places: ContainerPlaces): Promise<void> {
    await this.killAll(places.cgroup);
    for (let attempt = 0; !removeCgroup(this.cgroups, places.cgroup); attempt++) {
      if (attempt >= 200) throw new Error(`control group ${places.cgroup} stays busy`);
      await (attempt < 20 ? nextTurn() : delay(10));
    }
  }

  /** Takes away what monitors wrote down, once it is known. */
  forget(places: ContainerPlaces): void {
    rmSync(places.directory, { recursive: true, force: true });
    rmSync(places.bundle, { recursive: true, force: true });
  }

  /** Whether a start has left anything that release and forget would take away. */
  hasTraces(places: ContainerPlaces): boolean {
    return existsSync(places.directory);
  }

  /** Ends and removes whatever belongs to no container that `isKnown` knows; returns how much that was. */
  async sweep(isKnown: (prefix: string) => boolean): Promise<number> {
    const parent = this.settings.cgroupParent;
    const groups = this.cgroups.children(parent).filter((name) => /^[0-9a-f]{64}$/.test(name));
    const directories = await readdir(join(this.settings.execRoot, "c"));
    const strays = new Set([...groups, ...directories].filter((name) => !isKnown(name.slice(0, 16))));
    for (const name of strays) {
      const places = this.places(name);
      await this.release(places);
      this.forget(places);
    }
    return strays.size;
  }
}
