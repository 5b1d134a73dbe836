// Control group files against what was written to them: every limit reads back, and no device is allowed besides.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DeviceRule, LimitChange } from "@tsd/kernel-bindings";
import { type Drift, drift } from "./drift.ts";
import type { LiveContainer } from "./live.ts";

const PAGE = 4096n;
/** More than any limit that means something: version 1 shows "none" as this, in whole pages. */
const UNLIMITED = 0x7ffffffffffff000n;

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENODEV") return undefined;
    throw error;
  }
};

/** "0-2,5" as the numbers in it. */
const listed = (text: string): string =>
  text
    .split(",")
    .flatMap((part) => {
      const [first = "", last = first] = part.split("-");
      const count = Number(last) - Number(first) + 1;
      return count > 0 ? Array.from({ length: count }, (_, index) => Number(first) + index) : [];
    })
    .join(",");

const amount = (text: string): bigint | undefined => {
  if (text === "max" || text === "-1") return UNLIMITED;
  return /^\d+$/.test(text) ? BigInt(text) : undefined;
};

/** Whether a file that says `found` is as if `wanted` had been written to it: the kernel rounds, sorts and adds. */
export function readsBack(path: string, wanted: string, found: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (wanted === found) return true;
  if (/^cpuset\.(cpus|mems)$/.test(name)) return listed(wanted) === listed(found);
  if (name === "memory.oom_control") return found.includes(`oom_kill_disable ${wanted}`);
  if (name === "cgroup.subtree_control")
    return wanted.split(" ").every((word) => found.split(" ").includes(word.replace(/^\+/, "")));
  if (name === "net_prio.ifpriomap") return found.split("\n").includes(wanted);
  const device = /^(\d+:\d+) (.*)$/.exec(wanted);
  if (device) {
    const line = found.split("\n").find((one) => one.startsWith(`${device[1]} `));
    if (line === undefined) return /(^|=)(0|max)$/.test(device[2] ?? "");
    return line === wanted || (device[2] ?? "").split(" ").every((word) => line.split(" ").includes(word));
  }
  const [left, right] = [amount(wanted), amount(found)];
  if (left === undefined || right === undefined) return false;
  if (left >= UNLIMITED) return right >= UNLIMITED;
  return name.startsWith("memory.") ? left / PAGE === right / PAGE : left === right;
}

/** Device rules by what they are about, with all that is allowed of it. */
function rules(lines: readonly string[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const line of lines) {
    const [type = "", numbers = "", access = ""] = line.split(" ");
    const key = type === "a" ? "a *:*" : `${type} ${numbers}`;
    const set = found.get(key) ?? new Set();
    for (const letter of access || "rwm") set.add(letter);
    found.set(key, set);
  }
  return found;
}

const letters = (access: ReadonlySet<string> | undefined): string =>
  ["r", "w", "m"].filter((letter) => access?.has(letter)).join("");

/** Compares a device list with what was written to it: "a" denied, and rules allowed. */
export function compareDevices(allowed: readonly string[], found: readonly string[]): Drift[] {
  const [wanted, there] = [rules(allowed), rules(found)];
  const drifts: Drift[] = [];
  for (const [device, access] of there) {
    const more = [...access].filter((letter) => !wanted.get(device)?.has(letter));
    if (more.length > 0)
      drifts.push(
        drift("device rule", device, letters(wanted.get(device)) || "not allowed", letters(access), "high"),
      );
  }
  for (const [device, access] of wanted)
    if ([...access].some((letter) => !there.get(device)?.has(letter)) && !there.has("a *:*"))
      drifts.push(
        drift("device rule", device, letters(access), letters(there.get(device)) || "not allowed", "low"),
      );
  return drifts;
}

/** A limit that is gone or larger lets the container take more; a smaller one starves it. */
function limitDrift(path: string, wanted: string, found: string | undefined): Drift {
  const [left, right] = [amount(wanted), amount(found ?? "")];
  const smaller = left !== undefined && right !== undefined && right < left;
  return drift("control group", path, wanted, found ?? "no such file", smaller ? "low" : "medium");
}

/** `changes` are what updates since the start have made of the limits, `rules` what devices it may use now, where that is known. */
export function verifyCgroups(
  { expectation, cgroups, group }: LiveContainer,
  changes: readonly LimitChange[],
  rules: readonly DeviceRule[] | undefined,
): Drift[] {
  const own = new Set(cgroups.directories(group));
  const files = new Map<string, string>();
  const allowed: string[] = [];
  let devices = "";
  for (const { path, value } of expectation.writes) {
    // What is above is shared, and not the container's.
    if (!own.has(dirname(path))) continue;
    if (path.endsWith("/devices.deny")) devices = join(dirname(path), "devices.list");
    else if (path.endsWith("/devices.allow")) allowed.push(value);
    else files.set(keyOf(path, value), value);
  }
  for (const { path, value } of changes) files.set(keyOf(path, value), value);
  const drifts: Drift[] = [];
  for (const [key, value] of files) {
    const [path = ""] = key.split(" ");
    const found = read(path);
    if (found === undefined || !readsBack(path, value, found)) drifts.push(limitDrift(path, value, found));
  }
  if (devices)
    drifts.push(...compareDevices(rules ?? allowed, (read(devices) ?? "").split("\n").filter(Boolean)));
  return drifts;
}

/** A file may hold a line for each device or interface. */
const keyOf = (path: string, value: string): string => {
  const named = path.endsWith("/net_prio.ifpriomap") ? /^\S+(?= )/ : /^\d+:\d+(?= )/;
  const device = named.exec(value)?.[0];
  return device ? `${path} ${device}` : path;
};
