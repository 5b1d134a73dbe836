// A running container as verification looks at it, and what it is compared with.
import type { Cgroups, NamespaceInodes, NamespaceKind } from "@tsd/kernel-bindings";
import type { Expectation } from "./expectation.ts";

/** What is read of the host once, for all containers that are verified together. */
export interface HostFacts {
  /** The daemon's own namespaces: what containers with the host's have. */
  host: NamespaceInodes;
  /** Processes by the inode of their PID namespace. */
  byPidNamespace: ReadonlyMap<number, readonly number[]>;
  /** Process 1 of each running container, and its namespaces. */
  containers: ReadonlyMap<string, { pid: number; namespaces: NamespaceInodes }>;
}

export interface LiveContainer {
  id: string;
  /** Process 1, as the host numbers it. */
  pid: number;
  expectation: Expectation;
  cgroups: Cgroups;
  group: string;
  /** What may be in any capability set of its processes. */
  bounding: bigint;
  /** Processes that were started with more on purpose (privileged execs). */
  privileged: ReadonlySet<number>;
  facts: HostFacts;
}

/** The container that another one's namespace was joined of, if it still runs. */
export function partnerOf(
  path: string,
  { containers }: HostFacts,
): { namespaces: NamespaceInodes } | undefined {
  const pid = Number(/^\/proc\/(\d+)\/ns\//.exec(path)?.[1] ?? 0);
  return [...containers.values()].find((one) => one.pid === pid);
}

/** Words for a namespace's inode. */
export function whoseNamespace(kind: NamespaceKind, inode: number, facts: HostFacts): string {
  if (inode === facts.host[kind]) return `the host's (${inode})`;
  for (const [id, { namespaces }] of facts.containers)
    if (namespaces[kind] === inode) return `that of container ${id.slice(0, 12)} (${inode})`;
  return `another (${inode})`;
}
