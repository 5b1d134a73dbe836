// lxcfs: files of /proc and /sys that show a container its own limits and use instead of the whole host's.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Lxcfs {
  /** Where it is mounted; "" for nowhere. */
  root: string;
}
export const noLxcfs: Lxcfs = { root: "" };

const DEFAULT_ROOT = "/var/lib/lxcfs";
const files = [
  ..."cpuinfo diskstats loadavg meminfo slabinfo stat swaps uptime".split(" ").map((name) => `/proc/${name}`),
  "/sys/devices/system/cpu/online",
];

/** Whether a lxcfs serves at a place: what it leaves when it dies is a mount that answers nothing. */
function serves(root: string): boolean {
  const mounted = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .some((line) => {
      const [, place, type] = line.split(" ");
      return place === root && type === "fuse.lxcfs";
    });
  return mounted && existsSync(join(root, "proc/meminfo"));
}

/** Where to look for it: "auto" takes it where it is, "off" never; a path must be one. Throws Error for one that is not. */
export function findLxcfs(setting: string): Lxcfs {
  if (setting === "off") return noLxcfs;
  if (setting === "auto") return { root: DEFAULT_ROOT };
  if (!setting.startsWith("/")) throw new Error(`--lxcfs ${setting}: neither auto, off nor an absolute path`);
  if (!serves(setting)) throw new Error(`--lxcfs ${setting}: no lxcfs is mounted there`);
  return { root: setting };
}

/** What is bound over a new container's files; nothing while no lxcfs runs. */
export function lxcfsFiles({ root }: Lxcfs): { source: string; target: string }[] {
  if (!root || !serves(root)) return [];
  return files
    .map((target) => ({ source: join(root, target), target }))
    .filter(({ source, target }) => existsSync(source) && existsSync(target));
}
