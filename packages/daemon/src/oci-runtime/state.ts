// What tsd-runtime keeps of its containers: a directory each, with the configuration, the state and the pipe of the start.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OCI_VERSION, type OciConfig, ociText } from "../api/oci-config.ts";
import { readConfig } from "./read.ts";
import { BundleError } from "./specify.ts";

/** As kept; the status is what the kernel says. */
interface Kept {
  id: string;
  bundle: string;
  pid: number;
  /** Of the process, in clock ticks since boot: a number that is used again is somebody else's. */
  startTime: string;
  cgroup: string;
  created: string;
}

export type Status = "creating" | "created" | "running" | "stopped";

const startTimeOf = (pid: number): { state: string; startTime: string } | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const words = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: words[0] ?? "", startTime: words[19] ?? "" };
  } catch {
    return undefined;
  }
};

export class ContainerState {
  readonly directory: string;
  readonly id: string;

  constructor(root: string, id: string) {
    if (!/^[\w+.-]+$/.test(id) || id === "." || id === "..")
      throw new BundleError(`invalid container ID format: ${id}`);
    this.id = id;
    this.directory = join(root, id);
  }

  get startPipe(): string {
    return join(this.directory, "start");
  }
  get staging(): string {
    return join(this.directory, "root");
  }

  static list(root: string): ContainerState[] {
    if (!existsSync(root)) return [];
    return readdirSync(root)
      .map((id) => new ContainerState(root, id))
      .filter((one) => existsSync(join(one.directory, "state.json")));
  }

  get exists(): boolean {
    return existsSync(this.directory);
  }

  make(config: OciConfig): void {
    mkdirSync(join(this.directory, ".."), { recursive: true, mode: 0o711 });
    try {
      mkdirSync(this.directory, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      throw new BundleError(`container with id ${this.id} exists`);
    }
    mkdirSync(this.staging);
    writeFileSync(join(this.directory, "config.json"), ociText(config, 0), { mode: 0o600 });
    execFileSync("mkfifo", ["-m", "600", this.startPipe]);
  }

  save(kept: Omit<Kept, "id" | "startTime" | "created">): void {
    const { startTime } = startTimeOf(kept.pid) ?? { startTime: "" };
    const text = JSON.stringify({ id: this.id, ...kept, startTime, created: new Date().toISOString() });
    const file = join(this.directory, "state.json");
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  read(): Kept {
    try {
      return JSON.parse(readFileSync(join(this.directory, "state.json"), "utf8")) as Kept;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new BundleError(`container ${JSON.stringify(this.id)} does not exist`);
    }
  }

  config(): OciConfig {
    return readConfig(join(this.directory, "config.json"));
  }

  status(kept = this.read()): Status {
    const now = startTimeOf(kept.pid);
    if (!now || now.startTime !== kept.startTime || now.state === "Z" || now.state === "X") return "stopped";
    return existsSync(this.startPipe) ? "created" : "running";
  }

  /** The state as the runtime specification has it. */
  view(): Record<string, unknown> {
    const kept = this.read();
    const status = this.status(kept);
    return {
      ociVersion: OCI_VERSION,
      id: this.id,
      status,
      pid: status === "stopped" ? 0 : kept.pid,
      bundle: kept.bundle,
      created: kept.created,
      annotations: this.config().annotations ?? {},
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
