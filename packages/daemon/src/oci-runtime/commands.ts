// What an OCI runtime does: create, start, state, kill, delete, run, exec, list, features.
import { closeSync, constants, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { detectCgroups, launchOnce, type Monitor, removeCgroup } from "@tsd/kernel-bindings";
import { hookKinds, OCI_VERSION, type OciProcess } from "../api/oci-config.ts";
import { signalNumber } from "../engine/signals.ts";
import { execPlan } from "../runtime/plan.ts";
import { checkHooks, runHooks } from "./hooks.ts";
import { bundlePlan } from "./plan.ts";
import { readConfig, readProcess } from "./read.ts";
import { BundleError, cgroupOf, processOf, specifyBundle, streamsOf } from "./specify.ts";
import { ContainerState } from "./state.ts";

export interface CreateOptions {
  bundle: string;
  pidFile?: string | undefined;
  console?: string | undefined;
  /** The caller looks after the process. */
  leave: boolean;
}

const STOP_TRIES = 500;

/** What would be a container's streams must not be touched here before it is there. */
const say = (text: string): void => {
  writeSync(1, `${text}\n`);
};

export class OciRuntime {
  readonly #root: string;
  readonly #launcher: string;

  constructor(root: string, launcher: string) {
    this.#root = root;
    this.#launcher = launcher;
  }

  #find(id: string): ContainerState {
    return new ContainerState(this.#root, id);
  }

  async create(id: string, options: CreateOptions): Promise<Monitor> {
    const bundle = resolve(options.bundle);
    const config = readConfig(join(bundle, "config.json"));
    checkHooks(config);
    const state = this.#find(id);
    const cgroups = detectCgroups();
    const spec = specifyBundle(config, { id, bundle, staging: state.staging, cgroups });
    if (spec.streams.terminal && !options.console)
      throw new BundleError("process.terminal: --console-socket says where the terminal is to go");
    state.make(config);
    try {
      const plan = bundlePlan(spec, config, {
        startPipe: state.startPipe,
        console: spec.streams.terminal ? (options.console ?? "") : "",
        leave: options.leave,
      });
      const monitor = launchOnce(this.#launcher, plan);
      const { pid } = await monitor.started;
      // The process holds the other end until its execve.
      if (options.leave) monitor.release();
      state.save({ bundle, pid, cgroup: spec.cgroup });
      runHooks(config, "prestart", state.view());
      runHooks(config, "createRuntime", state.view());
      if (options.pidFile) writeFileSync(options.pidFile, String(pid));
      return monitor;
    } catch (error) {
      await this.#take(state, spec.cgroup);
      throw error;
    }
  }

  /** Ends whatever is left of a container, and forgets it. */
  async #take(state: ContainerState, cgroup: string): Promise<void> {
    const cgroups = detectCgroups();
    for (let tries = 0; tries < STOP_TRIES; tries++) {
      const pids = cgroups.processes(cgroup);
      for (const pid of pids) signal(pid, 9);
      if (pids.length === 0 && removeCgroup(cgroups, cgroup)) break;
      await delay(10);
    }
    state.remove();
  }

  async start(id: string): Promise<void> {
    const state = this.#find(id);
    const status = state.status();
    if (status !== "created") throw new BundleError(`cannot start a container that is ${status}`);
    const open = (): number | undefined => {
      try {
        return openSync(state.startPipe, constants.O_WRONLY | constants.O_NONBLOCK);
      } catch (error) {
        // Nobody reads it: the process is gone, or on with its command.
        if ((error as NodeJS.ErrnoException).code === "ENXIO") return undefined;
        throw error;
      }
    };
    const pipe = open();
    if (pipe === undefined) throw new BundleError("cannot start a container that is stopped");
    writeSync(pipe, "s");
    closeSync(pipe);
    for (let tries = 0; tries < STOP_TRIES; tries++) {
      const again = open();
      if (again === undefined) break;
      closeSync(again);
      await delay(1);
    }
    rmSync(state.startPipe);
    runHooks(state.config(), "poststart", state.view());
  }

  state(id: string): void {
    say(JSON.stringify(this.#find(id).view(), null, 2));
  }

  kill(id: string, name: string, all: boolean): void {
    const state = this.#find(id);
    const { pid, cgroup } = state.read();
    const number = /^\d+$/.test(name) ? Number(name) : signalNumber(name);
    if (all) {
      for (const one of detectCgroups().processes(cgroup)) signal(one, number);
      return;
    }
    if (state.status() === "stopped") throw new BundleError("container not running");
    signal(pid, number);
  }

  async delete(id: string, force: boolean): Promise<void> {
    const state = this.#find(id);
    if (force && !state.exists) return;
    if (force && state.read().pid === 0) return state.remove();
    const kept = state.read();
    const status = state.status(kept);
    if (status !== "stopped" && !force)
      throw new BundleError(`cannot delete container ${id} that is not stopped: ${status}`);
    const [config, view] = [state.config(), { ...state.view(), status: "stopped", pid: 0 }];
    await this.#take(state, kept.cgroup);
    runHooks(config, "poststop", view);
  }

  /** Create and start in one; in the foreground, the exit code is the container's, which is deleted then. */
  async run(id: string, options: CreateOptions): Promise<number> {
    const monitor = await this.create(id, options);
    await this.start(id);
    if (options.leave) return 0;
    const exit = await monitor.exited;
    await this.delete(id, true);
    return exit?.exitCode ?? 255;
  }

  async exec(
    id: string,
    asked: {
      process: OciProcess | undefined;
      words: string[];
      terminal: boolean;
      cwd: string | undefined;
      env: string[];
    },
    options: Omit<CreateOptions, "bundle">,
  ): Promise<number> {
    const state = this.#find(id);
    const kept = state.read();
    if (state.status(kept) !== "running")
      throw new BundleError("cannot exec in a container that is not running");
    const config = state.config();
    const own = config.process;
    const process =
      asked.process ??
      (own && {
        ...own,
        args: asked.words,
        terminal: asked.terminal,
        cwd: asked.cwd ?? own.cwd,
        env: [...(own.env ?? []), ...asked.env],
      });
    if (!process) throw new BundleError("process: nothing to execute");
    if (process.terminal && !options.console)
      throw new BundleError("process.terminal: --console-socket says where the terminal is to go");
    const cgroups = detectCgroups();
    const { namespaces } = specifyBundle(config, {
      id,
      bundle: kept.bundle,
      staging: state.staging,
      cgroups,
    });
    const plan = execPlan({
      id,
      socket: "",
      exitRecord: "",
      streams: streamsOf(process),
      pid: kept.pid,
      namespaces,
      cgroups,
      cgroup: cgroupOf(config, id),
      process: processOf(process, config.linux ?? {}),
    });
    const console = process.terminal ? (options.console ?? "") : "";
    const monitor = launchOnce(this.#launcher, [
      { op: "streams.inherit", leave: options.leave, console },
      ...plan,
    ]);
    const { pid } = await monitor.started;
    if (options.pidFile) writeFileSync(options.pidFile, String(pid));
    if (options.leave) monitor.release();
    if (options.leave) return 0;
    return (await monitor.exited)?.exitCode ?? 255;
  }

  list(format: string): void {
    const all = ContainerState.list(this.#root).map((one) => one.view());
    if (format === "json") {
      say(JSON.stringify(all));
      return;
    }
    say(["ID", "PID", "STATUS", "BUNDLE", "CREATED"].join("\t"));
    for (const { id, pid, status, bundle, created } of all)
      say([id, pid, status, bundle, created].join("\t"));
  }

  features(): void {
    say(
      JSON.stringify(
        {
          ociVersionMin: "1.0.0",
          ociVersionMax: OCI_VERSION,
          hooks: hookKinds.filter((kind) => !["createContainer", "startContainer"].includes(kind)),
          linux: {
            namespaces: ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            cgroup: { v1: true, v2: true, systemd: false, systemdUser: false },
            seccomp: { enabled: true },
            apparmor: { enabled: false },
            selinux: { enabled: false },
          },
        },
        null,
        2,
      ),
    );
  }
}

export const readExecProcess = (path: string | undefined): OciProcess | undefined =>
  path ? readProcess(path) : undefined;

function signal(pid: number, number: number): void {
  try {
    process.kill(pid, number);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
