// Control groups, versions 1 and 2 behind one port: which of them this host has, and the removal of groups.
import { readFileSync, rmdirSync } from "node:fs";
import { descendants } from "./files.ts";
import type { Cgroups, RealtimeShare } from "./port.ts";
import { CgroupsV1 } from "./v1.ts";
import { CgroupsV2 } from "./v2.ts";

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

/** Finds out what this host has, from /proc/self/mounts. Throws when there are no control groups. `realtime` is what groups
 * that ask for real-time scheduling may have of it together. */
export function detectCgroups(
  realtime?: RealtimeShare,
  mounts = readFileSync("/proc/self/mounts", "utf8"),
): Cgroups {
  const found = mountPoints(mounts);
  const hierarchies = found.filter(({ type }) => type === "cgroup");
  const unified = found.find(({ type }) => type === "cgroup2");
  if (hierarchies.length > 0) return new CgroupsV1(hierarchies, unified?.path, realtime);
  if (!unified) throw new Error("no control groups are mounted on this host");
  return new CgroupsV2(unified.path);
}
