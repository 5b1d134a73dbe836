// Namespaces: which are new with the clone, which are joined. User and time namespaces will stand beside these.
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUTS,
  type Step,
} from "@tsd/kernel-bindings";
import type { ContainerSpec } from "../spec.ts";

const flags = { pid: CLONE_NEWPID, ipc: CLONE_NEWIPC, uts: CLONE_NEWUTS, network: CLONE_NEWNET } as const;

/** The clone, in the PID namespace that is to be joined if one is: it takes effect for children only. */
export function cloneSteps(spec: ContainerSpec): Step[] {
  const { pid } = spec.namespaces;
  let wanted = CLONE_NEWNS;
  for (const [kind, flag] of Object.entries(flags) as [keyof typeof flags, number][])
    if (spec.namespaces[kind].kind === "private") wanted |= flag;
  const join: Step[] = pid.kind === "join" ? [{ op: "pid-namespace.join", path: pid.path }] : [];
  return [...join, { op: "clone", flags: wanted }];
}

/** The other namespaces to join; the cgroup namespace is unshared only once the process is in its group. */
export function joinSteps(spec: ContainerSpec): Step[] {
  const steps: Step[] = [];
  for (const kind of ["ipc", "uts", "network"] as const) {
    const choice = spec.namespaces[kind];
    if (choice.kind === "join") steps.push({ op: "namespace.join", path: choice.path, type: flags[kind] });
  }
  if (spec.namespaces.cgroup.kind === "private") steps.push({ op: "unshare", flags: CLONE_NEWCGROUP });
  return steps;
}

/** Host and domain name, where the UTS namespace is the container's own. */
export function utsSteps(spec: ContainerSpec): Step[] {
  if (spec.namespaces.uts.kind !== "private") return [];
  const steps: Step[] = [{ op: "hostname", name: spec.hostname }];
  if (spec.domainname) steps.push({ op: "domainname", name: spec.domainname });
  return steps;
}

/** Namespaced kernel parameters, by their dotted names. */
export const sysctlSteps = (spec: ContainerSpec): Step[] =>
  Object.entries(spec.sysctls).map(([name, value]) => ({
    op: "sysctl",
    path: `/proc/sys/${name.replaceAll(".", "/")}`,
    value,
  }));
