// Control groups of version 1: a hierarchy for each controller (Documentation/admin-guide/cgroup-v1).
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Step } from "../plan/vocabulary.ts";
import { writeLimit } from "./changes.ts";
import { delegated } from "./delegation.ts";
import { descendants, keyedNumbers, numbersIn, subdirectories } from "./files.ts";
import { type FileReader, readIfThere } from "./kept-files.ts";
import {
  type CgroupLimits,
  type Cgroups,
  type DeviceRule,
  type LimitChange,
  noRealtime,
  type RealtimeShare,
  type Subtree,
} from "./port.ts";
import { type CgroupStatistics, type CgroupUsage, statisticsV1, usageV1 } from "./statistics.ts";

/** A mounted hierarchy. */
export interface Hierarchy {
  path: string;
  options: string[];
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

/** The groups above one, the highest first; the root is none of them. */
const above = (group: string): string[] => {
  const parts = group.split("/").filter(Boolean);
  return parts.slice(0, -1).map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
};

/** A device's line in a file of lines "8:0 1024". */
const lineOf = (path: string, device: string): string | undefined =>
  readIfThere(path)
    .split("\n")
    .find((line) => line.startsWith(`${device} `));

/** Limits that are files' values, whatever else is set. */
function plainLimits(
  limits: CgroupLimits,
): [controller: string, file: string, value: string | number | undefined][] {
  return [
    ["memory", "memory.soft_limit_in_bytes", limits.memoryReservation],
    ["memory", "memory.swappiness", limits.memorySwappiness],
    ["memory", "memory.kmem.tcp.limit_in_bytes", limits.tcpMemory],
    ["cpu", "cpu.shares", limits.cpuShares],
    ["cpu", "cpu.cfs_period_us", limits.cpuPeriod],
    ["cpu", "cpu.cfs_quota_us", limits.cpuQuota],
    ["pids", "pids.max", limits.pids === -1 ? "max" : limits.pids],
    // What is reserved is limited too, so that a mapping is refused instead of its use ending in SIGBUS (Linux 5.7).
    ...(limits.hugePages ?? []).flatMap(({ size, limit }): [string, string, number][] => [
      ["hugetlb", `hugetlb.${size}.rsvd.limit_in_bytes`, limit],
      ["hugetlb", `hugetlb.${size}.limit_in_bytes`, limit],
    ]),
    ["net_cls", "net_cls.classid", limits.networkClass],
    ...(limits.networkPriorities ?? []).map(({ name, priority }): [string, string, string] => [
      "net_prio",
      "net_prio.ifpriomap",
      `${name} ${priority}`,
    ]),
    // Weights are the BFQ scheduler's since CFQ left Linux in 5.0.
    ["blkio", "blkio.bfq.weight", limits.blockWeight],
    ...(limits.blockWeights ?? []).map(({ major, minor, weight }): [string, string, string] => [
      "blkio",
      "blkio.bfq.weight_device",
      `${major}:${minor} ${weight}`,
    ]),
    ...(limits.blockThrottles ?? []).map(
      ({ major, minor, direction, unit, rate }): [string, string, string] => [
        "blkio",
        `blkio.throttle.${direction}_${unit}_device`,
        `${major}:${minor} ${rate}`,
      ],
    ),
  ];
}

export class CgroupsV1 implements Cgroups {
  readonly version = 1;
  readonly controllers: readonly { name: string; mountPoint: string }[];
  readonly #byController = new Map<string, string>();

  readonly #unified: string | undefined;
  readonly #tellsOfMemory: boolean;

  readonly #realtime: RealtimeShare | undefined;

  /** `unified` is where a hybrid host has version 2, without controllers. `realtime` is what the groups above one that asks
   * for real-time scheduling are given; undefined leaves them as they are. */
  constructor(
    hierarchies: readonly Hierarchy[],
    unified: string | undefined,
    realtime: RealtimeShare | undefined = undefined,
  ) {
    this.#unified = unified;
    this.#realtime = realtime;
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
    this.#tellsOfMemory = this.has("memory") && existsSync(this.#file("memory", "", "cgroup.event_control"));
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

  subtree(group: string, owner: { uid: number; gid: number }): Subtree | undefined {
    if (this.#unified === undefined) return undefined;
    const directory = join(this.#unified, group);
    const enter: Step = {
      op: "cgroup.enter",
      files: [...this.#tasks(group), join(directory, "cgroup.procs")],
    };
    return {
      create: [{ op: "directory", path: directory, mode: 0o755 }, ...delegated(directory, owner)],
      enter,
      join: () => enter, // without controllers there may be processes beside groups
    };
  }

  #tasks(group: string): string[] {
    return this.#own(group).map((directory) => join(directory, "tasks"));
  }

  /** `group` begins with a slash. */
  #place(controller: string, group: string): string {
    return `${this.#byController.get(controller) ?? ""}${group}`;
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
    if (limits.oomKillDisable) write("memory", "memory.oom_control", 1);
    for (const [controller, file, value] of plainLimits(limits)) write(controller, file, value);
    for (const { path, value } of this.#realtimeChanges(group, limits))
      steps.push({ op: "write", path, value });
    if (this.has("devices") && devices !== "all") {
      write("devices", "devices.deny", "a");
      for (const rule of devices) write("devices", "devices.allow", rule);
    }
    return steps;
  }

  /** A group has no more of real-time scheduling than the one above it, and a new one has none (sched-rt-group.rst). */
  #realtimeChanges(group: string, limits: CgroupLimits): LimitChange[] {
    const { realtimePeriod, realtimeRuntime } = limits;
    if (realtimePeriod === undefined && realtimeRuntime === undefined) return [];
    const set = (of: string, period: number | undefined, runtime: number | undefined): LimitChange[] =>
      Object.entries({ "cpu.rt_period_us": period, "cpu.rt_runtime_us": runtime }).flatMap(([file, value]) =>
        value === undefined ? [] : [{ path: this.#file("cpu", of, file), value: String(value) }],
      );
    return [
      ...(this.#realtime ? above(group) : []).flatMap((one) =>
        set(one, this.#realtime?.period, this.#realtime?.runtime),
      ),
      ...set(group, realtimePeriod, realtimeRuntime),
    ];
  }

  realtimeBelow(group: string): RealtimeShare | undefined {
    if (!this.has("cpu") || !existsSync(this.#file("cpu", "", "cpu.rt_runtime_us"))) return undefined;
    if (this.#realtime) return this.#realtime;
    const read = (file: string): number => Number(readIfThere(this.#file("cpu", group, file)));
    return {
      runtime: read("cpu.rt_runtime_us") || noRealtime.runtime,
      period: read("cpu.rt_period_us") || noRealtime.period,
    };
  }

  /** A new cpuset is empty, and nothing can enter it before it has processors and memory nodes. */
  #cpuset(steps: Step[], group: string, limits: CgroupLimits): void {
    const root = this.#byController.get("cpuset") ?? "";
    const inherited = (file: string): string => readFileSync(join(root, file), "utf8").trim();
    for (const directory of [...above(group), group]) {
      const own = directory === group;
      const cpus = (own && limits.cpusetCpus) || inherited("cpuset.cpus");
      const mems = (own && limits.cpusetMems) || inherited("cpuset.mems");
      steps.push({ op: "write", path: join(root, directory, "cpuset.cpus"), value: cpus });
      steps.push({ op: "write", path: join(root, directory, "cpuset.mems"), value: mems });
    }
  }

  enter(group: string): Step {
    return { op: "cgroup.enter", files: this.#tasks(group) };
  }

  watchMemory(group: string): Step[] {
    if (!this.#tellsOfMemory) return [];
    const [events, controls] = ["memory.oom_control", "cgroup.event_control"].map((file) =>
      this.#file("memory", group, file),
    );
    return [{ op: "memory.watch", events: events ?? "", controls: controls ?? "" }];
  }

  children(group: string): string[] {
    return subdirectories(join(this.#byController.get("pids") ?? "", group));
  }

  processes(group: string): number[] {
    const top = join(this.#byController.get("pids") ?? "", group);
    return [top, ...descendants(top)].flatMap((directory) => numbersIn(join(directory, "cgroup.procs")));
  }

  oomKills(group: string): number {
    return keyedNumbers(readIfThere(this.#file("memory", group, "memory.oom_control"))).oom_kill ?? 0;
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
    set("cpuset", "cpuset.cpus", limits.cpusetCpus);
    set("cpuset", "cpuset.mems", limits.cpusetMems);
    for (const [controller, file, value] of plainLimits(limits)) {
      // A line for each device or interface.
      const device = /^(\S+) /.exec(String(value))?.[1];
      const path = this.#file(controller, group, file);
      // What puts one back is its own line, or none.
      const undo = device && (lineOf(path, device) ?? `${device} 0`);
      if (value !== undefined) changes.push({ path, value: String(value), undo });
    }
    return [...changes, ...this.#realtimeChanges(group, limits)];
  }

  setDevices(group: string, before: readonly DeviceRule[], after: readonly DeviceRule[]): void {
    if (!this.has("devices")) return;
    const write = (file: string, rules: readonly DeviceRule[]): void => {
      for (const value of rules) writeLimit({ path: this.#file("devices", group, file), value });
    };
    const removed = before.filter((rule) => !after.includes(rule));
    try {
      write("devices.deny", removed);
      // What is denied may have been part of what others still allow.
      write("devices.allow", after);
    } catch (error) {
      write("devices.allow", before);
      throw error;
    }
  }

  freeze(group: string, frozen: boolean): void {
    writeLimit({ path: this.#file("freezer", group, "freezer.state"), value: frozen ? "FROZEN" : "THAWED" });
  }

  isFrozen(group: string): boolean {
    return readIfThere(this.#file("freezer", group, "freezer.state")).trim() === "FROZEN";
  }

  statistics(group: string, reader?: FileReader, before?: CgroupStatistics): CgroupStatistics {
    return statisticsV1((controller) => this.#place(controller, group), reader, before);
  }

  usage(group: string, reader?: FileReader, before?: CgroupUsage): CgroupUsage {
    return usageV1((controller) => this.#place(controller, group), reader, before);
  }

  deviceTasks(group: string): string | undefined {
    return this.has("devices") ? this.#file("devices", group, "tasks") : undefined;
  }
}
