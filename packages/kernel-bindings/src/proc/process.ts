// A process as /proc shows it: identity, capabilities, seccomp, limits, control groups (proc_pid_status(5)).
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { rlimits } from "../constants.ts";

/** Text of a file of /proc; undefined when the process is gone. */
export function readProcess(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

export interface CapabilityMasks {
  effective: bigint;
  permitted: bigint;
  inheritable: bigint;
  bounding: bigint;
  ambient: bigint;
}

export interface ProcessStatus {
  name: string;
  /** As the reader's user namespace numbers them: real, effective, saved, file system. */
  uids: number[];
  gids: number[];
  parent: number;
  /** Its number in its own, innermost PID namespace. */
  innerPid: number;
  capabilities: CapabilityMasks;
  noNewPrivileges: boolean;
  /** 0: none, 1: strict, 2: filter. */
  seccomp: number;
}

const numbers = (text: string): number[] => text.trim().split(/\s+/).map(Number);

/** Reads what status says; undefined when the process is gone, or has ended and waits for its parent. */
export function processStatus(pid: number): ProcessStatus | undefined {
  const text = readProcess(pid, "status");
  if (text === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1).trim());
  }
  const field = (name: string): string => fields.get(name) ?? "";
  if (/^[ZX]/.test(field("State"))) return undefined;
  const mask = (name: string): bigint => BigInt(`0x${field(name) || "0"}`);
  return {
    name: field("Name"),
    uids: numbers(field("Uid")),
    gids: numbers(field("Gid")),
    parent: Number(field("PPid")),
    innerPid: numbers(field("NSpid")).at(-1) ?? pid,
    capabilities: {
      effective: mask("CapEff"),
      permitted: mask("CapPrm"),
      inheritable: mask("CapInh"),
      bounding: mask("CapBnd"),
      ambient: mask("CapAmb"),
    },
    noNewPrivileges: field("NoNewPrivs") === "1",
    seccomp: Number(field("Seccomp") || 0),
  };
}

/** Lines of /proc/PID/limits, in the order of the resources' numbers (fs/proc/base.c). */
const limitNames: Readonly<Record<keyof typeof rlimits, string>> = {
  cpu: "Max cpu time",
  fsize: "Max file size",
  data: "Max data size",
  stack: "Max stack size",
  core: "Max core file size",
  rss: "Max resident set",
  nproc: "Max processes",
  nofile: "Max open files",
  memlock: "Max locked memory",
  as: "Max address space",
  locks: "Max file locks",
  sigpending: "Max pending signals",
  msgqueue: "Max msgqueue size",
  nice: "Max nice priority",
  rtprio: "Max realtime priority",
  rttime: "Max realtime timeout",
};
const limitNumbers = new Map(
  Object.entries(limitNames).map(([key, name]) => [name, rlimits[key as keyof typeof rlimits]]),
);

export interface ResourceLimit {
  soft: bigint;
  hard: bigint;
}
const limitValue = (text: string): bigint => (text === "unlimited" ? 0xffffffffffffffffn : BigInt(text));

/** Resource limits by their numbers; undefined when the process is gone. */
export function processLimits(pid: number): Map<number, ResourceLimit> | undefined {
  const text = readProcess(pid, "limits");
  if (text === undefined) return undefined;
  const limits = new Map<number, ResourceLimit>();
  for (const line of text.split("\n").slice(1)) {
    const number = limitNumbers.get(line.slice(0, 25).trim());
    const [soft, hard] = line.slice(25).trim().split(/\s+/);
    if (number !== undefined && soft && hard)
      limits.set(number, { soft: limitValue(soft), hard: limitValue(hard) });
  }
  return limits;
}

/** The group of a process in each hierarchy, by its controllers ("" for version 2): paths as the reader sees them. */
export function processCgroups(pid: number): Map<string, string> | undefined {
  const text = readProcess(pid, "cgroup");
  if (text === undefined) return undefined;
  return new Map(
    text
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
        return [controllers, path];
      }),
  );
}

/** The kinds of namespaces, by their names in /proc/PID/ns. */
export const namespaceKinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"] as const;
export type NamespaceKind = (typeof namespaceKinds)[number];
export type NamespaceInodes = Record<NamespaceKind, number>;

/** What can't be read because the process is gone, or is none of ours to look at. */
const unreadable: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"]);

/** The inode of one namespace of a process; 0 when it, or the kind, is not there, or may not be looked at. */
export function namespaceInode(pid: number | "self", kind: NamespaceKind): number {
  try {
    return Number(/\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${kind}`))?.[1] ?? 0);
  } catch (error) {
    if (unreadable.has((error as NodeJS.ErrnoException).code ?? "")) return 0;
    throw error;
  }
}

export const namespaceInodes = (pid: number | "self"): NamespaceInodes =>
  Object.fromEntries(namespaceKinds.map((kind) => [kind, namespaceInode(pid, kind)])) as NamespaceInodes;

/** Every process there is, by pid. */
export const allProcesses = (): number[] =>
  readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));

/** Ids in a user namespace as the reader's (/proc/PID/uid_map): the identity where there is no mapping of its own. */
export function mappedId(pid: number, file: "uid_map" | "gid_map", id: number): number {
  for (const line of readProcess(pid, file)?.split("\n") ?? []) {
    const [inside = 0, outside = 0, length = 0] = numbers(line);
    if (line.trim() && id >= inside && id < inside + length) return outside + id - inside;
  }
  return id;
}
