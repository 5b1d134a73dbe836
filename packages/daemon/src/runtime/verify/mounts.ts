// Mounts of a container against its plan: each is there with its attributes, and none that the plan does not explain.
import { closeSync, constants, existsSync, openSync } from "node:fs";
import {
  descriptorPath,
  KernelError,
  type MountEntry,
  O_PATH,
  openat2,
  processMounts,
  RESOLVE_IN_ROOT,
} from "@tsd/kernel-bindings";
import { type Drift, drift, unlessAllowed } from "./drift.ts";
import type { ExpectedMount } from "./expectation.ts";
import type { LiveContainer } from "./live.ts";

/** Milliseconds. */
const KERNEL_KNOWN_FOR = 5000;

const attributeNames: readonly [bit: number, option: string][] = [
  [1, "ro"],
  [2, "nosuid"],
  [4, "nodev"],
  [8, "noexec"],
];

/** Where a path leads in the container's root; undefined where there is nothing. Links are followed inside only. */
function resolve(root: number, path: string): string | undefined {
  try {
    const file = openat2(root, path, O_PATH, RESOLVE_IN_ROOT);
    try {
      return descriptorPath(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}

function attributesOf(expected: ExpectedMount, found: MountEntry): Drift[] {
  const { target, attributes, type, propagation } = expected;
  const wanted = attributeNames.filter(([bit]) => attributes & bit).map(([, option]) => option);
  const missing = wanted.filter((option) => !found.options.has(option));
  const drifts: Drift[] = [];
  if (missing.length > 0)
    drifts.push(
      drift(
        "mount",
        target,
        wanted.join(","),
        [...found.options].filter((option) => /^(ro|rw|no(suid|dev|exec))$/.test(option)).join(","),
        missing.includes("ro") ? "high" : "medium",
      ),
    );
  if (type !== undefined && found.type !== type)
    drifts.push(drift("mount", target, type, found.type, "high"));
  const linked = found.propagation.filter((word) => /^(shared|master):/.test(word));
  if (propagation === "private" && linked.length > 0)
    drifts.push(drift("mount", target, "private", linked.join(" "), "high"));
  return drifts;
}

const isBelow = (path: string, top: string): boolean => path.startsWith(top === "/" ? top : `${top}/`);

/** Compares what is expected with the mounts there are; `where` says where a path leads now. */
export function compareMounts(
  expected: readonly ExpectedMount[],
  found: readonly MountEntry[],
  where: (path: string) => string | undefined,
): Drift[] {
  const drifts: Drift[] = [];
  const byPlace = new Map<string, MountEntry[]>();
  for (const entry of found) {
    const list = byPlace.get(entry.mountPoint);
    if (list) list.push(entry);
    else byPlace.set(entry.mountPoint, [entry]);
  }
  const explained = new Map<string, ExpectedMount[]>();
  for (const one of expected) {
    const target = one.target.replace(/(?<=.)\/+$/, "");
    // A link in the image may lead elsewhere.
    const place = byPlace.has(target) ? target : (where(target) ?? target);
    if (byPlace.has(place)) explained.set(place, [...(explained.get(place) ?? []), one]);
    else if (!one.ifThere || where(target) !== undefined)
      drifts.push(
        drift(
          "mount",
          target,
          one.ifThere ? (one.attributes & 1 ? "read-only" : "hidden") : `${one.type ?? "a bind"} mounted`,
          one.ifThere ? "in sight as it is" : "not mounted",
          "high",
        ),
      );
  }
  const trees = [...explained].filter(([, list]) => list.some(({ tree }) => tree)).map(([place]) => place);
  for (const [place, entries] of byPlace) {
    const list = explained.get(place) ?? [];
    const [top, last] = [entries.at(-1), list.at(-1)];
    if (top && last && entries.length <= list.length) drifts.push(...attributesOf(last, top));
    if (entries.length <= list.length || trees.some((tree) => isBelow(place, tree))) continue;
    const { type, source, root } = top as MountEntry;
    drifts.push(
      drift(
        "mount",
        place,
        list.length ? "nothing on top of it" : "no mount",
        `${type} ${source} ${root}`,
        "high",
      ),
    );
  }
  return drifts;
}

const present = new Map<string, boolean>();

/** What the kernel shows in /proc and /sys is the same for all, and does not change while it runs, but for modules. */
function kernelHas(path: string): boolean {
  const known = present.get(path);
  if (known !== undefined) return known;
  if (present.size === 0) setTimeout(() => present.clear(), KERNEL_KNOWN_FOR).unref();
  const there = existsSync(path);
  present.set(path, there);
  return there;
}

/** Where a path leads in a container. Most masks are of what this kernel does not have: the host's /proc tells that at once. */
const leads = (root: number, path: string): string | undefined =>
  /^\/(proc|sys)\//.test(path) && !kernelHas(path) ? undefined : resolve(root, path);

export function verifyMounts({ pid, expectation, bounding }: LiveContainer): Drift[] {
  const found = processMounts(pid);
  if (!found) return [];
  const root = openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY);
  try {
    const drifts = compareMounts(expectation.mounts, found, (path) => leads(root, path));
    return unlessAllowed(drifts, "SYS_ADMIN", bounding);
  } finally {
    closeSync(root);
  }
}
