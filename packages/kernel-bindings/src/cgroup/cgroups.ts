// Control groups, versions 1 and 2 behind one port: where they are, and limits as files to write.
import { readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KernelError } from "../errors.ts";
import type { Step } from "../plan/vocabulary.ts";
import { keyedNumbers, numbersIn, readIfThere } from "./files.ts";
import { type CgroupStatistics, statisticsV1, statisticsV2 } from "./statistics.ts";

/** Limits in one vocabulary for both versions; what is undefined stays the kernel's default. */
export interface CgroupLimits {
  /** Bytes; −1 for no limit. */
  memory?: number | undefined;
  /** Memory plus swap in bytes, as Docker counts it; −1 for no limit. */
  memorySwap?: number | undefined;
  memoryReservation?: number | undefined;
  memorySwappiness?: number | undefined;
  oomKillDisable?: boolean | undefined;
  /** Relative weight, 2 to 262144; 1024 is the default. */
  cpuShares?: number | undefined;
  /** Microseconds of processor time per period; −1 for no limit. */
  cpuQuota?: number | undefined;
  cpuPeriod?: number | undefined;
  cpusetCpus?: string | undefined;
  cpusetMems?: string | undefined;
  /** −1 for no limit. */
  pids?: number | undefined;
}

/** A device rule as devices.allow reads it: "c 1:3 rwm", "a *:* rwm". */
export type DeviceRule = string;

/** A container's place in the host's control groups. */
export interface Cgroups {
  readonly version: 1 | 2;
  /** Steps that make the group and set its limits, then those by which the process enters it. */
  create(group: string, limits: CgroupLimits, devices: readonly DeviceRule[] | "all"): Step[];
  enter(group: string): Step;
  /** A subtree of version 2 that a system container may manage itself: it can't reach its own limits from there. Undefined
   * where the host has no such hierarchy. */
  subtree(group: string): Subtree | undefined;
  /** What the container sees at /sys/fs/cgroup: one directory and link set for version 1, one file system for 2. */
  readonly controllers: readonly { name: string; mountPoint: string }[];
  /** Every directory of the group, for release. */
  directories(group: string): string[];
  /** The names of the groups below one. */
  children(group: string): string[];
  /** Processes in the group and below it (host pids). */
  processes(group: string): number[];
  /** How many of its processes the kernel killed for want of memory. */
  oomKills(group: string): number;
  /** The files and values by which limits are changed while the group is in use, in an order the kernel takes. */
  changes(group: string, limits: CgroupLimits): LimitChange[];
  /** Asks for the group to be frozen or thawed; `isFrozen` says when it is. */
  freeze(group: string, frozen: boolean): void;
  isFrozen(group: string): boolean;
  statistics(group: string): CgroupStatistics;
  /** The file a process joins the group's device rules by, if they are a control group's. */
  deviceTasks(group: string): string | undefined;
  has(controller: string): boolean;
}

/** One limit as a kernel file's value. */
export interface LimitChange {
  path: string;
  value: string;
}

const write = ({ path, value }: LimitChange): void => {
  try {
    writeFileSync(path, value);
  } catch (error) {
    throw new KernelError("write", -((error as NodeJS.ErrnoException).errno ?? 0), path);
  }
};

/** Writes all the values or none: what the kernel takes no more of is put back. Throws a KernelError naming the file. */
export function applyLimits(changes: readonly LimitChange[]): void {
  const done: LimitChange[] = [];
  try {
    for (const change of changes) {
      const old = readFileSync(change.path, "utf8").trim();
      write(change);
      done.push({ path: change.path, value: old });
    }
  } catch (cause) {
    for (const change of done.reverse()) write(change);
    throw cause;
  }
}

function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** The directories below one, deepest first: what a system container has made in its group. */
const descendants = (directory: string): string[] =>
  subdirectories(directory).flatMap((name) => [...descendants(join(directory, name)), join(directory, name)]);

/** Removes the group's directories; false when one is still busy: a process that was reaped keeps its group for the
 * moment until it is switched out for the last time. */
export function removeCgroup(cgroups: Cgroups, group: string): boolean {
  const own = cgroups.directories(group);
  return [...own.flatMap(descendants), ...own].every((directory) => {
    try {
      rmdirSync(directory);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EBUSY") return false;
      if (code === "ENOENT") return true;
      throw error;
    }
  });
}

/** A delegated subtree: the steps that make it, and the file by which a process enters it, beside or instead of the
 * group itself. */
export interface Subtree {
  create: Step[];
  enter: Step;
  /** How one more process joins: `pid` is the first one's, which may have moved on. */
  join(pid: number): Step;
}

interface MountPoint {
  path: string;
  type: string;
  options: string[];
}

function mountPoints(mounts: string): MountPoint[] {
  return mounts.split("\n").flatMap((line) => {
    const [, path, type, options] = line.split(" ");
    return path && (type === "cgroup" || type === "cgroup2")
      ? [{ path, type, options: options?.split(",") ?? [] }]
      : [];
  });
}

/** Finds out what this host has, from /proc/self/mounts. Throws when there are no control groups. */
export function detectCgroups(mounts = readFileSync("/proc/self/mounts", "utf8")): Cgroups {
  const found = mountPoints(mounts);
  const hierarchies = found.filter(({ type }) => type === "cgroup");
  const unified = found.find(({ type }) => type === "cgroup2");
  if (hierarchies.length > 0) return new CgroupsV1(hierarchies, unified?.path);
  if (!unified) throw new Error("no control groups are mounted on this host");
  return new CgroupsV2(unified.path);
}

const knownControllers = new Set([
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "devices",
  "freezer",
  "blkio",
  "pids",
  "hugetlb",
  "net_cls",
  "net_prio",
  "perf_event",
  "rdma",
  "misc",
]);

class CgroupsV1 implements Cgroups {
  readonly version = 1;
  readonly controllers: readonly { name: string; mountPoint: string }[];
  readonly #byController = new Map<string, string>();

  readonly #unified: string | undefined;

  /** `unified` is where a hybrid host has version 2, without controllers. */
  constructor(hierarchies: readonly MountPoint[], unified: string | undefined) {
    this.#unified = unified;
    const seen = new Set<string>();
    const controllers: { name: string; mountPoint: string }[] = [];
    for (const { path, options } of hierarchies) {
      const named = options.find((option) => option.startsWith("name="));
      const names = options.filter((option) => knownControllers.has(option));
      const name = names.length > 0 ? names.join(",") : named;
      if (!name || seen.has(name)) continue;
      seen.add(name);
      controllers.push({ name, mountPoint: path });
      for (const controller of names) this.#byController.set(controller, path);
    }
    this.controllers = controllers;
  }

  has(controller: string): boolean {
    return this.#byController.has(controller);
  }

  directories(group: string): string[] {
    const unified = this.#unified === undefined ? [] : [join(this.#unified, group)];
    return [...this.#own(group), ...unified];
  }

  #own(group: string): string[] {
    return this.controllers.map(({ mountPoint }) => join(mountPoint, group));
  }

  subtree(group: string): Subtree | undefined {
    if (this.#unified === undefined) return undefined;
    const directory = join(this.#unified, group);
    const enter: Step = {
      op: "cgroup.enter",
      files: [...this.#tasks(group), join(directory, "cgroup.procs")],
    };
    return {
      create: [{ op: "directory", path: directory, mode: 0o755 }],
      enter,
      join: () => enter, // without controllers there may be processes beside groups
    };
  }

  #tasks(group: string): string[] {
    return this.#own(group).map((directory) => join(directory, "tasks"));
  }

  #file(controller: string, group: string, file: string): string {
    return join(this.#byController.get(controller) ?? "", group, file);
  }

  create(group: string, limits: CgroupLimits, devices: readonly DeviceRule[] | "all"): Step[] {
    const steps: Step[] = this.#own(group).map((path) => ({ op: "directory", path, mode: 0o755 }));
    const write = (controller: string, file: string, value: string | number | undefined): void => {
      if (value !== undefined)
        steps.push({ op: "write", path: this.#file(controller, group, file), value: String(value) });
    };
    if (this.has("cpuset")) this.#cpuset(steps, group, limits);
    write("memory", "memory.limit_in_bytes", limits.memory);
    write("memory", "memory.memsw.limit_in_bytes", limits.memorySwap);
    write("memory", "memory.soft_limit_in_bytes", limits.memoryReservation);
    write("memory", "memory.swappiness", limits.memorySwappiness);
    if (limits.oomKillDisable) write("memory", "memory.oom_control", 1);
    write("cpu", "cpu.shares", limits.cpuShares);
    write("cpu", "cpu.cfs_period_us", limits.cpuPeriod);
    write("cpu", "cpu.cfs_quota_us", limits.cpuQuota);
    write("pids", "pids.max", limits.pids === -1 ? "max" : limits.pids);
    if (this.has("devices") && devices !== "all") {
      write("devices", "devices.deny", "a");
      for (const rule of devices) write("devices", "devices.allow", rule);
    }
    return steps;
  }

  /** A new cpuset is empty, and nothing can enter it before it has processors and memory nodes. */
  #cpuset(steps: Step[], group: string, limits: CgroupLimits): void {
    const root = this.#byController.get("cpuset") ?? "";
    const inherited = (file: string): string => readFileSync(join(root, file), "utf8").trim();
    const parts = group.split("/").filter(Boolean);
    for (let depth = 1; depth <= parts.length; depth++) {
      const own = depth === parts.length;
      const directory = parts.slice(0, depth).join("/");
      const cpus = (own && limits.cpusetCpus) || inherited("cpuset.cpus");
      const mems = (own && limits.cpusetMems) || inherited("cpuset.mems");
      steps.push({ op: "write", path: join(root, directory, "cpuset.cpus"), value: cpus });
      steps.push({ op: "write", path: join(root, directory, "cpuset.mems"), value: mems });
    }
  }

  enter(group: string): Step {
    return { op: "cgroup.enter", files: this.#tasks(group) };
  }

  children(group: string): string[] {
    return subdirectories(join(this.#byController.get("pids") ?? "", group));
  }

  processes(group: string): number[] {
    const top = join(this.#byController.get("pids") ?? "", group);
    return [top, ...descendants(top)].flatMap((directory) => numbersIn(join(directory, "cgroup.procs")));
  }

  oomKills(group: string): number {
    return keyedNumbers(this.#file("memory", group, "memory.oom_control")).oom_kill ?? 0;
  }

  changes(group: string, limits: CgroupLimits): LimitChange[] {
    const changes: LimitChange[] = [];
    const set = (controller: string, name: string, value: string | number | undefined): void => {
      if (value !== undefined)
        changes.push({ path: this.#file(controller, group, name), value: String(value) });
    };
    // Memory alone may never be more than memory and swap: the one that makes room comes first.
    const both = this.#file("memory", group, "memory.memsw.limit_in_bytes");
    const present = Number(readIfThere(both) || 0);
    const swapFirst =
      limits.memorySwap === -1 ||
      (limits.memorySwap !== undefined && limits.memory !== undefined && limits.memory > present);
    if (swapFirst) set("memory", "memory.memsw.limit_in_bytes", limits.memorySwap);
    set("memory", "memory.limit_in_bytes", limits.memory);
    if (!swapFirst) set("memory", "memory.memsw.limit_in_bytes", limits.memorySwap);
    set("memory", "memory.soft_limit_in_bytes", limits.memoryReservation);
    set("cpu", "cpu.shares", limits.cpuShares);
    set("cpu", "cpu.cfs_period_us", limits.cpuPeriod);
    set("cpu", "cpu.cfs_quota_us", limits.cpuQuota);
    set("cpuset", "cpuset.cpus", limits.cpusetCpus);
    set("cpuset", "cpuset.mems", limits.cpusetMems);
    set("pids", "pids.max", limits.pids === -1 ? "max" : limits.pids);
    return changes;
  }

  freeze(group: string, frozen: boolean): void {
    write({ path: this.#file("freezer", group, "freezer.state"), value: frozen ? "FROZEN" : "THAWED" });
  }

  isFrozen(group: string): boolean {
    return readIfThere(this.#file("freezer", group, "freezer.state")).trim() === "FROZEN";
  }

  statistics(group: string): CgroupStatistics {
    return statisticsV1((controller) => join(this.#byController.get(controller) ?? "", group));
  }

  deviceTasks(group: string): string | undefined {
    return this.has("devices") ? this.#file("devices", group, "tasks") : undefined;
  }
}

class CgroupsV2 implements Cgroups {
  readonly version = 2;
  readonly controllers: readonly { name: string; mountPoint: string }[];
  readonly #root: string;
  readonly #available: ReadonlySet<string>;

  constructor(root: string) {
    this.#root = root;
    this.controllers = [{ name: "", mountPoint: root }];
    this.#available = new Set(readFileSync(join(root, "cgroup.controllers"), "utf8").trim().split(" "));
  }

  has(controller: string): boolean {
    return this.#available.has(controller);
  }

  directories(group: string): string[] {
    return [join(this.#root, group)];
  }

  subtree(group: string): Subtree {
    const own = join(this.#root, group);
    const directory = join(own, "system");
    return {
      create: [
        { op: "directory", path: directory, mode: 0o755 },
        { op: "write", path: join(own, "cgroup.subtree_control"), value: this.#wanted() },
      ],
      enter: { op: "cgroup.enter", files: [join(directory, "cgroup.procs")] },
      // A group with controllers for those below it takes no processes: the first one's own group does.
      join: (pid) => {
        const path = /^0::(.*)$/m.exec(readIfThere(`/proc/${pid}/cgroup`))?.[1] ?? `${group}/system`;
        return { op: "cgroup.enter", files: [join(this.#root, path, "cgroup.procs")] };
      },
    };
  }

  #wanted(): string {
    const controllers = ["cpu", "cpuset", "io", "memory", "pids"].filter((name) => this.has(name));
    return controllers.map((name) => `+${name}`).join(" ");
  }

  create(group: string, limits: CgroupLimits, _devices: readonly DeviceRule[] | "all"): Step[] {
    const steps: Step[] = [{ op: "directory", path: join(this.#root, group), mode: 0o755 }];
    const parts = group.split("/").filter(Boolean);
    for (let depth = 0; depth < parts.length; depth++) {
      const path = join(this.#root, ...parts.slice(0, depth), "cgroup.subtree_control");
      steps.push({ op: "write", path, value: this.#wanted() });
    }
    for (const [file, value] of this.#limits(limits))
      steps.push({ op: "write", path: join(this.#root, group, file), value });
    return steps;
  }

  /** Limits as files of the group and their values. */
  #limits(limits: CgroupLimits): [file: string, value: string][] {
    const files: [string, string][] = [];
    const set = (file: string, value: string | number | undefined): void => {
      if (value !== undefined) files.push([file, String(value)]);
    };
    const orMax = (value: number | undefined): string | number | undefined => (value === -1 ? "max" : value);
    set("memory.max", orMax(limits.memory));
    if (limits.memorySwap !== undefined) set("memory.swap.max", swapOnly(limits.memory, limits.memorySwap));
    set("memory.low", limits.memoryReservation);
    // 2…262144 to 1…10000, as the published conversion has it.
    if (limits.cpuShares) set("cpu.weight", 1 + Math.floor(((limits.cpuShares - 2) * 9999) / 262142));
    if (limits.cpuQuota !== undefined || limits.cpuPeriod !== undefined)
      set(
        "cpu.max",
        `${limits.cpuQuota && limits.cpuQuota > 0 ? limits.cpuQuota : "max"} ${limits.cpuPeriod ?? 100000}`,
      );
    set("cpuset.cpus", limits.cpusetCpus || undefined);
    set("cpuset.mems", limits.cpusetMems || undefined);
    set("pids.max", orMax(limits.pids));
    return files;
  }

  enter(group: string): Step {
    return { op: "cgroup.enter", files: [join(this.#root, group, "cgroup.procs")] };
  }

  children(group: string): string[] {
    return subdirectories(join(this.#root, group));
  }

  processes(group: string): number[] {
    const top = join(this.#root, group);
    return [top, ...descendants(top)].flatMap((directory) => numbersIn(join(directory, "cgroup.procs")));
  }

  oomKills(group: string): number {
    return keyedNumbers(join(this.#root, group, "memory.events")).oom_kill ?? 0;
  }

  changes(group: string, limits: CgroupLimits): LimitChange[] {
    return this.#limits(limits).map(([file, value]) => ({ path: join(this.#root, group, file), value }));
  }

  freeze(group: string, frozen: boolean): void {
    write({ path: join(this.#root, group, "cgroup.freeze"), value: frozen ? "1" : "0" });
  }

  isFrozen(group: string): boolean {
    return keyedNumbers(join(this.#root, group, "cgroup.events")).frozen === 1;
  }

  statistics(group: string): CgroupStatistics {
    return statisticsV2(join(this.#root, group));
  }

  deviceTasks(): undefined {
    return undefined;
  }
}

/** Version 2 limits swap by itself, Docker the sum of both. */
function swapOnly(memory: number | undefined, memorySwap: number): string {
  if (memorySwap === -1 || memory === undefined || memory === -1) return "max";
  return String(Math.max(0, memorySwap - memory));
}
