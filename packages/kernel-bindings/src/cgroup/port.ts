// The port behind which control groups of versions 1 and 2 are alike: limits, and what can be done with a group.
import type { Step } from "../plan/vocabulary.ts";
import type { FileReader } from "./kept-files.ts";
import type { CgroupStatistics, CgroupUsage } from "./statistics.ts";

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
  /** Microseconds of real-time scheduling per period (version 1). */
  realtimePeriod?: number | undefined;
  realtimeRuntime?: number | undefined;
  /** −1 for no limit. */
  pids?: number | undefined;
  /** Bytes of TCP buffers (version 1). */
  tcpMemory?: number | undefined;
  /** Bytes of huge pages, by the name of their size in files ("2MB"). */
  hugePages?: readonly { size: string; limit: number }[] | undefined;
  /** The class of packets for traffic control, and their priority by interface (version 1). */
  networkClass?: number | undefined;
  networkPriorities?: readonly { name: string; priority: number }[] | undefined;
  /** Relative weight of block I/O, 10 to 1000, and that for single devices. */
  blockWeight?: number | undefined;
  blockWeights?: readonly BlockWeight[] | undefined;
  blockThrottles?: readonly BlockThrottle[] | undefined;
}

export interface BlockDevice {
  major: number;
  minor: number;
}

export interface BlockWeight extends BlockDevice {
  weight: number;
}

/** Bytes or operations a second; 0 for no limit. */
export interface BlockThrottle extends BlockDevice {
  direction: "read" | "write";
  unit: "bps" | "iops";
  rate: number;
}

/** A device rule as devices.allow reads it: "c 1:3 rwm", "a *:* rwm". */
export type DeviceRule = string;

/** A container's place in the host's control groups. */
export interface Cgroups {
  readonly version: 1 | 2;
  /** Steps that make the group and set its limits, then those by which the process enters it. */
  create(group: string, limits: CgroupLimits, devices: readonly DeviceRule[] | "all"): Step[];
  enter(group: string): Step;
  /** Steps by which its monitor hears that the group has run out of memory; none where memory is not controlled. */
  watchMemory(group: string): Step[];
  /** A subtree of version 2 that a system container may manage itself: it can't reach its own limits from there. Undefined
   * where the host has no such hierarchy. `owner` is the system's root, as the host numbers ids. */
  subtree(group: string, owner: { uid: number; gid: number }): Subtree | undefined;
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
  /** Changes the device rules of a group in use. Throws KernelError; they are as before then. */
  setDevices(group: string, before: readonly DeviceRule[], after: readonly DeviceRule[]): void;
  /** Asks for the group to be frozen or thawed; `isFrozen` says when it is. */
  freeze(group: string, frozen: boolean): void;
  isFrozen(group: string): boolean;
  /** `reader` and `before` are for those who ask again and again: KeptFiles, and the last answer, which is given again for a group
   * that has used no processor time since. */
  statistics(group: string, reader?: FileReader, before?: CgroupStatistics): CgroupStatistics;
  /** The little of it that is cheap to read: memory.stat and others take the kernel a while. */
  usage(group: string, reader?: FileReader, before?: CgroupUsage): CgroupUsage;
  /** The file a process joins the group's device rules by, if they are a control group's. */
  deviceTasks(group: string): string | undefined;
  has(controller: string): boolean;
  /** What groups directly below this one may have of real-time scheduling; undefined where groups have none of their own
   * (version 2, and kernels without CONFIG_RT_GROUP_SCHED). */
  realtimeBelow(group: string): RealtimeShare | undefined;
}

/** Real-time scheduling that a group and those below it may have together: microseconds in each period. */
export interface RealtimeShare {
  runtime: number;
  period: number;
}

/** What a group has of it that nobody has given any. */
export const noRealtime: RealtimeShare = { runtime: 0, period: 1_000_000 };

/** One limit as a kernel file's value. */
export interface LimitChange {
  path: string;
  value: string;
  /** What puts it back; what the file says, unless it is one of many lines. */
  undo?: string | undefined;
}

/** A delegated subtree: the steps that make it, and the file by which a process enters it, beside or instead of the
 * group itself. */
export interface Subtree {
  create: Step[];
  enter: Step;
  /** How one more process joins: `pid` is the first one's, which may have moved on. */
  join(pid: number): Step;
}
