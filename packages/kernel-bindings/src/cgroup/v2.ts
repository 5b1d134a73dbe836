// Control groups of version 2: one hierarchy for all controllers (Documentation/admin-guide/cgroup-v2).
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { KernelError } from "../errors.ts";
import type { Step } from "../plan/vocabulary.ts";
import { writeLimit } from "./changes.ts";
import { delegated } from "./delegation.ts";
import { attachDeviceProgram } from "./device-attach.ts";
import { deviceProgram } from "./device-program.ts";
import { descendants, keyedNumbers, numbersIn, subdirectories } from "./files.ts";
import { type FileReader, readIfThere } from "./kept-files.ts";
import type { CgroupLimits, Cgroups, DeviceRule, LimitChange, Subtree } from "./port.ts";
import { type CgroupStatistics, type CgroupUsage, statisticsV2, usageV2 } from "./statistics.ts";

const EBUSY = 16;

export class CgroupsV2 implements Cgroups {
  readonly version = 2;
  readonly controllers: readonly { name: string; mountPoint: string }[];
  readonly #root: string;
  readonly #available: ReadonlySet<string>;

  constructor(root: string) {
    this.#root = root;
    this.controllers = [{ name: "", mountPoint: root }];
    this.#available = new Set(readFileSync(join(root, "cgroup.controllers"), "utf8").trim().split(" "));
  }

  realtimeBelow(): undefined {
    return undefined; // sched-rt-group.rst: only version 1 has files for it
  }

  has(controller: string): boolean {
    return this.#available.has(controller);
  }

  directories(group: string): string[] {
    return [join(this.#root, group)];
  }

  subtree(group: string, owner: { uid: number; gid: number }): Subtree {
    const own = join(this.#root, group);
    const directory = join(own, "system");
    return {
      create: [
        { op: "directory", path: directory, mode: 0o755 },
        { op: "write", path: join(own, "cgroup.subtree_control"), value: this.#wanted() },
        ...delegated(directory, owner),
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
    const controllers = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"].filter((name) => this.has(name));
    return controllers.map((name) => `+${name}`).join(" ");
  }

  create(group: string, limits: CgroupLimits, devices: readonly DeviceRule[] | "all"): Step[] {
    const steps: Step[] = [{ op: "directory", path: join(this.#root, group), mode: 0o755 }];
    const parts = group.split("/").filter(Boolean);
    for (let depth = 0; depth < parts.length; depth++) {
      const path = join(this.#root, ...parts.slice(0, depth), "cgroup.subtree_control");
      steps.push({ op: "write", path, value: this.#wanted() });
    }
    for (const [file, value] of this.#limits(group, limits))
      steps.push({ op: "write", path: join(this.#root, group, file), value });
    if (devices !== "all")
      steps.push({
        op: "cgroup.devices",
        directory: join(this.#root, group),
        program: deviceProgram(devices),
      });
    return steps;
  }

  /** Limits as files of the group and their values. */
  #limits(group: string, limits: CgroupLimits): [file: string, value: string][] {
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
    for (const { size, limit } of limits.hugePages ?? []) {
      set(`hugetlb.${size}.rsvd.max`, limit);
      set(`hugetlb.${size}.max`, limit);
    }
    // BFQ takes Docker's numbers as they are; the cost model's go from 1 to 10000.
    const bfq = existsSync(join(this.#root, group, "..", "io.bfq.weight"));
    const weighted = (weight: number): number =>
      bfq ? weight : 1 + Math.floor(((weight - 10) * 9999) / 990);
    const file = bfq ? "io.bfq.weight" : "io.weight";
    if (limits.blockWeight) set(file, weighted(limits.blockWeight));
    for (const { major, minor, weight } of limits.blockWeights ?? [])
      set(file, `${major}:${minor} ${weighted(weight)}`);
    for (const { major, minor, direction, unit, rate } of limits.blockThrottles ?? [])
      set("io.max", `${major}:${minor} ${direction === "read" ? "r" : "w"}${unit}=${rate || "max"}`);
    return files;
  }

  enter(group: string): Step {
    return { op: "cgroup.enter", files: [join(this.#root, group, "cgroup.procs")] };
  }

  watchMemory(group: string): Step[] {
    if (!this.has("memory")) return [];
    return [{ op: "memory.watch", events: join(this.#root, group, "memory.events"), controls: "" }];
  }

  children(group: string): string[] {
    return subdirectories(join(this.#root, group));
  }

  processes(group: string): number[] {
    const top = join(this.#root, group);
    return [top, ...descendants(top)].flatMap((directory) => numbersIn(join(directory, "cgroup.procs")));
  }

  oomKills(group: string): number {
    return keyedNumbers(readIfThere(join(this.#root, group, "memory.events"))).oom_kill ?? 0;
  }

  changes(group: string, limits: CgroupLimits): LimitChange[] {
    // Version 1 refuses a limit below what is in use; version 2 takes it, and kills.
    const path = join(this.#root, group, "memory.max");
    const used = Number(readIfThere(join(this.#root, group, "memory.current")) || 0);
    if (limits.memory !== undefined && limits.memory >= 0 && limits.memory < used)
      throw new KernelError("write", EBUSY, path);
    return this.#limits(group, limits).map(([file, value]) => ({
      path: join(this.#root, group, file),
      value,
    }));
  }

  setDevices(group: string, _before: readonly DeviceRule[], after: readonly DeviceRule[]): void {
    attachDeviceProgram(join(this.#root, group), deviceProgram(after));
  }

  freeze(group: string, frozen: boolean): void {
    writeLimit({ path: join(this.#root, group, "cgroup.freeze"), value: frozen ? "1" : "0" });
  }

  isFrozen(group: string): boolean {
    return keyedNumbers(readIfThere(join(this.#root, group, "cgroup.events"))).frozen === 1;
  }

  statistics(group: string, reader?: FileReader, before?: CgroupStatistics): CgroupStatistics {
    return statisticsV2(join(this.#root, group), reader, before);
  }

  usage(group: string, reader?: FileReader, before?: CgroupUsage): CgroupUsage {
    return usageV2(join(this.#root, group), reader, before);
  }

  deviceTasks(): undefined {
    return undefined;
  }
}

/** Version 2 limits swap by itself, Docker the sum of both. Unlimited memory says nothing of swap: a sum then is no limit
 * of it, but 0 is. */
function swapOnly(memory: number | undefined, memorySwap: number): string {
  if (memorySwap === -1) return "max";
  if (memory === undefined || memory === -1) return memorySwap === 0 ? "0" : "max";
  return String(Math.max(0, memorySwap - memory));
}
