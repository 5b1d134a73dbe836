// What makes a subtree of version 2 somebody's to manage (Documentation/admin-guide/cgroup-v2, "Delegation").
import type { Step } from "../plan/vocabulary.ts";

const files = ["", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"];

/** Steps that give a group to an owner, as the host numbers ids; root has it as it is. */
export const delegated = (directory: string, { uid, gid }: { uid: number; gid: number }): Step[] =>
  uid === 0 ? [] : files.map((name): Step => ({ op: "owner", path: `${directory}${name}`, uid, gid }));
