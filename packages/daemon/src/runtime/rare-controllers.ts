// Limits by controllers that not every host has: huge pages, real-time scheduling, and the classes and priorities of packets.
import { readdirSync } from "node:fs";
import { type CgroupLimits, type Cgroups, noRealtime, type RealtimeShare } from "@tsd/kernel-bindings";
import type { HostConfig } from "../api/schemas/container-create.ts";
import { SpecificationError } from "./errors.ts";

/** What of a container's configuration is about them. */
export type RareLimits = Pick<
  HostConfig,
  | "HugetlbLimits"
  | "CpuRealtimePeriod"
  | "CpuRealtimeRuntime"
  | "NetClassId"
  | "NetPriorities"
  | "NetworkMode"
>;

/** A number as Docker's fields have it, where 0 asks for nothing. */
export const positive = (value: number): number | undefined => (value > 0 ? value : undefined);

export function rareLimits(
  host: RareLimits,
): Pick<
  CgroupLimits,
  "hugePages" | "realtimePeriod" | "realtimeRuntime" | "networkClass" | "networkPriorities"
> {
  return {
    realtimePeriod: positive(host.CpuRealtimePeriod),
    realtimeRuntime: positive(host.CpuRealtimeRuntime),
    hugePages: (host.HugetlbLimits ?? []).map(({ PageSize, Limit }) => ({ size: PageSize, limit: Limit })),
    networkClass: host.NetClassId || undefined,
    networkPriorities: (host.NetPriorities ?? []).map(({ Name, Priority }) => ({
      name: Name,
      priority: Priority,
    })),
  };
}

const KIBIBYTE = 1024;
const units = ["KB", "MB", "GB"];

/** The sizes of huge pages that this machine has, in bytes, by their names in control group files: 2MB, 1GB. */
function pageSizes(): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  let names: string[] = [];
  try {
    names = readdirSync("/sys/kernel/mm/hugepages");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  for (const name of names) {
    const kibibytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    let [size, unit] = [kibibytes, 0];
    while (size >= KIBIBYTE && unit < units.length - 1) [size, unit] = [size / KIBIBYTE, unit + 1];
    sizes.set(`${size}${units[unit]}`, kibibytes * KIBIBYTE);
  }
  return sizes;
}

function checkHugePages(limits: NonNullable<HostConfig["HugetlbLimits"]>): void {
  const sizes = pageSizes();
  for (const { PageSize, Limit } of limits) {
    const size = sizes.get(PageSize);
    const about = `HostConfig.HugetlbLimits ${PageSize}`;
    if (size === undefined)
      throw invalid(
        `${about}: this machine has no huge pages of that size (but ${[...sizes.keys()].join(", ") || "none"})`,
      );
    if (Limit < 0 || Limit % size !== 0)
      throw invalid(`${about}: ${Limit} bytes are not a number of whole pages`);
  }
}

/** The kernel counts nanoseconds in 64 bits. */
const LONGEST_PERIOD = Math.floor(Number.MAX_SAFE_INTEGER / 1000);

function checkRealtime(host: RareLimits, cgroups: Cgroups): void {
  const { realtimePeriod = 0, realtimeRuntime = 0 } = rareLimits(host);
  if (realtimePeriod + realtimeRuntime > 0 && !cgroups.realtimeBelow("/"))
    throw invalid("Your kernel does not support CPU real-time scheduler");
  if (realtimePeriod > LONGEST_PERIOD)
    throw invalid(
      `HostConfig.CpuRealtimePeriod: ${realtimePeriod} is more than ${LONGEST_PERIOD} microseconds`,
    );
}

/** Throws for more real-time scheduling than containers may have together: `most`. Only a start is refused for it, as dockerd does,
 * since the daemon may have been given more by then. */
export function checkRealtimeShare(host: RareLimits, most: RealtimeShare = noRealtime): void {
  const { realtimePeriod: period = noRealtime.period, realtimeRuntime: runtime = 0 } = rareLimits(host);
  if (runtime / period > most.runtime / most.period)
    throw new SpecificationError(
      "system",
      `HostConfig.CpuRealtimeRuntime: ${runtime} of ${period} microseconds are more than ` +
        `containers may have together, ${most.runtime} of ${most.period} (--cpu-rt-runtime)`,
    );
}

const invalid = (message: string): SpecificationError => new SpecificationError("invalid", message);
const LARGEST = 2 ** 32 - 1;

/** Throws for a limit that can't be, or whose controller this host lacks. */
export function checkRareLimits(host: RareLimits, cgroups: Cgroups): void {
  checkRealtime(host, cgroups);
  const need = (field: string, controller: string, more = ""): void => {
    if (!cgroups.has(controller))
      throw invalid(`HostConfig.${field}: this host has no control group controller ${controller}${more}`);
  };
  const onlyFirst = cgroups.version === 2 ? " (version 2 has none)" : "";
  if (host.HugetlbLimits?.length) {
    need("HugetlbLimits", "hugetlb");
    checkHugePages(host.HugetlbLimits);
  }
  if (host.NetClassId) {
    if (host.NetClassId < 0 || host.NetClassId > LARGEST)
      throw invalid(`HostConfig.NetClassId: ${host.NetClassId} is not from 0 to ${LARGEST}`);
    need("NetClassId", "net_cls", onlyFirst);
  }
  if (!host.NetPriorities?.length) return;
  need("NetPriorities", "net_prio", onlyFirst);
  for (const { Name, Priority } of host.NetPriorities) {
    if (!/^[^\s/]{1,15}$/.test(Name)) throw invalid(`HostConfig.NetPriorities: no interface's name: ${Name}`);
    if (Priority < 0 || Priority > LARGEST)
      throw invalid(`HostConfig.NetPriorities ${Name}: ${Priority} is not from 0 to ${LARGEST}`);
  }
  // The kernel finds interfaces in the namespace of who writes, which is the daemon.
  if (host.NetworkMode !== "host")
    throw invalid(
      "HostConfig.NetPriorities: priorities are of the host's interfaces: they need NetworkMode host",
    );
}

/** A list with another laid over it: what both are about is as in the second. */
export function overlaid<T>(
  first: readonly T[] | null | undefined,
  second: readonly T[] | null | undefined,
  key: (one: T) => string,
): T[] {
  return [...new Map([...(first ?? []), ...(second ?? [])].map((one) => [key(one), one])).values()];
}
