// A daemon for one suite: its own data root, exec root, network namespace, bridge and control group, so that suites run
// side by side; and the check that it leaves nothing behind.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, apiRequest } from "./api.ts";
import { eventually, output, type Result, type RunOptions, run } from "./command.ts";

export const repository = join(import.meta.dirname, "../..");
export const tsctlProgram = join(repository, "packages/client/bin/tsctl");
export const daemonProgram = join(repository, "packages/daemon/bin/tsd");

/** Whether the stock docker client is here; suites that need it skip visibly without. */
export const hasDocker = (process.env.PATH ?? "")
  .split(":")
  .some((directory) => existsSync(join(directory, "docker")));

export class TestDaemon {
  readonly root: string;
  readonly socket: string;
  readonly host: string;
  readonly namespace: string;
  readonly cgroupParent: string;
  readonly dataRoot: string;
  readonly #flags: readonly string[];
  /** The daemon's log so far. */
  log = "";
  #process: ChildProcess | undefined;

  private constructor(name: string, dataRoot: string | undefined, flags: readonly string[]) {
    this.#flags = flags;
    this.root = mkdtempSync(join(tmpdir(), `tsd-${name}-`));
    this.dataRoot = dataRoot ?? join(this.root, "data");
    this.socket = join(this.root, "tsd.sock");
    this.host = `unix://${this.socket}`;
    const id = this.root.split("-").at(-1) ?? "";
    this.namespace = `tsd-${id}`;
    this.cgroupParent = `/tsd-test-${id}`;
  }

  /** Starts a daemon; `program` replaces the ordinary one (the faulty daemon of the fault tests). */
  static async start(
    name: string,
    program: readonly string[] = [daemonProgram],
    options: { flags?: readonly string[]; dataRoot?: string } = {},
  ): Promise<TestDaemon> {
    const daemon = new TestDaemon(name, options.dataRoot, options.flags ?? []);
    await output("ip", ["netns", "add", daemon.namespace]);
    await output("nsenter", [`--net=/run/netns/${daemon.namespace}`, "ip", "link", "set", "lo", "up"]);
    await daemon.launch(program);
    return daemon;
  }

  async launch(program: readonly string[] = [daemonProgram]): Promise<void> {
    const words = [
      `--net=/run/netns/${this.namespace}`,
      ...program,
      ...["-H", this.host],
      ...["--data-root", this.dataRoot],
      ...["--exec-root", join(this.root, "run")],
      ...["--cgroup-parent", this.cgroupParent],
      ...this.#flags,
    ];
    mkdirSync(join(this.root, "run"), { recursive: true });
    const child = spawn("nsenter", words, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        this.log += chunk.toString("utf8");
      });
    let ended = false;
    child.on("exit", () => {
      ended = true;
    });
    await eventually(`the daemon is up`, async () => {
      if (ended) throw new Error(`the daemon ended: ${this.log}`);
      return this.api("GET", "/_ping").then(
        ({ status }) => status === 200,
        () => false,
      );
    });
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get isRunning(): boolean {
    const child = this.#process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** One API request; a body that is no string or Buffer is sent as JSON. */
  api(method: string, path: string, body?: unknown): Promise<Answer> {
    return apiRequest(this.socket, method, path, body);
  }

  docker(...words: string[]): Promise<Result> {
    return this.cli("docker", words);
  }
  tsctl(...words: string[]): Promise<Result> {
    return this.cli(tsctlProgram, words);
  }
  cli(program: string, words: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run(program, words, {
      ...options,
      env: { DOCKER_HOST: this.host, TSD_HOST: this.host, ...options.env },
    });
  }

  /** Imports busybox:latest. */
  async importBusybox(): Promise<void> {
    const { importBusybox } = (await import(join(repository, "scripts/busybox.mjs"))) as {
      importBusybox(client: string, name: string, environment: NodeJS.ProcessEnv): void;
    };
    importBusybox(tsctlProgram, "busybox:latest", { ...process.env, TSD_HOST: this.host });
  }

  /** Waits until somebody in a container listens at a TCP port: that it runs does not say so yet. */
  async listens(container: string, port: number): Promise<void> {
    const { State } = JSON.parse((await this.api("GET", `/containers/${container}/json`)).text) as {
      State: { Pid: number };
    };
    const hexadecimal = port.toString(16).toUpperCase().padStart(4, "0");
    // Local address, port, the other's, and TCP_LISTEN (proc_net_tcp(5)).
    const listening = new RegExp(`^ *\\d+: [0-9A-F]+:${hexadecimal} [0-9A-F]+:0000 0A `, "m");
    await eventually(`${container} listens at ${port}`, () =>
      ["tcp", "tcp6"].some((name) => listening.test(readFileSync(`/proc/${State.Pid}/net/${name}`, "utf8"))),
    );
  }

  /** Ends the daemon by a signal and waits for it. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  /** Removes every container and every volume, of a daemon that a failed test has left dead, too. */
  async clear(): Promise<void> {
    if (!this.isRunning) await this.launch();
    const list = JSON.parse((await this.api("GET", "/containers/json?all=1")).text) as { Id: string }[];
    for (const { Id } of list) await this.api("DELETE", `/containers/${Id}?force=1&v=1`);
    const { Volumes } = JSON.parse((await this.api("GET", "/volumes")).text) as {
      Volumes: { Name: string }[];
    };
    for (const { Name } of Volumes) await this.api("DELETE", `/volumes/${Name}`);
  }

  /** What containers have left on the machine, in words; empty when nothing. */
  async leaks(): Promise<string[]> {
    const found: string[] = [];
    // The daemon's own, which goes with it when no container is left in it.
    const pool = join(this.dataRoot, "quota/btrfs");
    const links = await output("nsenter", [`--net=/run/netns/${this.namespace}`, "ip", "-o", "link"]);
    for (const [, link] of links.matchAll(/^\d+: ((?:veth|ifb)[^:@]*)/gm)) found.push(`link ${link}`);
    for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n"))
      if (this.#isBelow(line) && !line.includes(` ${pool} `)) found.push(`mount ${line}`);
    for (const kind of ["project", "btrfs", "ext4"]) {
      const trees = join(this.dataRoot, "quota", kind);
      if (existsSync(trees)) for (const name of readdirSync(trees)) found.push(`${kind} tree ${name}`);
    }
    for (const directory of this.#cgroups()) found.push(`cgroup ${directory}`);
    const running = join(this.root, "run/c");
    if (existsSync(running)) for (const name of readdirSync(running)) found.push(`exec root entry ${name}`);
    for (const name of readdirSync(join(this.dataRoot, "containers")))
      found.push(`container directory ${name}`);
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
        if (text.includes(this.cgroupParent)) found.push(`process ${pid}`);
      } catch {
        // It ended while we looked.
      }
    }
    return found;
  }

  #isBelow(line: string): boolean {
    return line.includes(`${this.root}/`) || line.includes(`${this.dataRoot}/`);
  }

  /** Mounts and loop devices below the root that are left when the daemon has ended. */
  #mounted(): string[] {
    const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
    const files = readdirSync("/sys/block").map((name) => {
      try {
        return `${name} on ${readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim()}`;
      } catch {
        return ""; // No loop device, or one that another suite is just taking away.
      }
    });
    return [...mounts, ...files].filter(
      (line) => line.includes(`${this.root}/`) || line.includes(`${this.dataRoot}/`),
    );
  }

  #cgroups(): string[] {
    const hierarchies = ["", ...readdirSync("/sys/fs/cgroup")].map((name) =>
      join("/sys/fs/cgroup", name, this.cgroupParent),
    );
    return hierarchies.filter(existsSync).flatMap((directory) =>
      readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => join(directory, name)),
    );
  }

  /** What is left once the kernel has had its moment: it takes a dead namespace's links away by itself. */
  async lastingLeaks(): Promise<string[]> {
    const present = async () =>
      (await this.leaks()).filter((leak) => !leak.startsWith("container directory"));
    await eventually("nothing is left", async () => (await present()).length === 0, 3000).catch(
      () => undefined,
    );
    return present();
  }

  /** Ends everything, and throws if anything was left behind. */
  async stop(): Promise<void> {
    await this.clear();
    await eventually("nothing is left", async () => (await this.leaks()).length === 0, 5000).catch(
      () => undefined,
    );
    const found = await this.leaks();
    for (const name of readdirSync(join(this.dataRoot, "volumes")))
      if (name !== ".trash") found.push(`volume directory ${name}`);
    await this.end();
    await eventually("no mount", () => this.#mounted().length === 0, 5000).catch(() => undefined);
    found.push(...this.#mounted());
    for (const name of ["", ...readdirSync("/sys/fs/cgroup")]) {
      const directory = join("/sys/fs/cgroup", name, this.cgroupParent);
      if (existsSync(directory) && found.length === 0) rmdirSync(directory);
    }
    await run("ip", ["netns", "del", this.namespace]);
    rmSync(this.root, { recursive: true, force: true });
    if (found.length > 0) throw new Error(`left behind:\n${found.join("\n")}`);
  }
}
