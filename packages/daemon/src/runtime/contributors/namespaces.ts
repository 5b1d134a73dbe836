// Namespaces: which are new with the clone, which are joined.
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  type Step,
} from "@tsd/kernel-bindings";
import type { ContainerSpec, NamespaceChoices } from "../spec.ts";
import { hostGroup, hostUser, mapText } from "../user-namespace.ts";

const flags = { pid: CLONE_NEWPID, ipc: CLONE_NEWIPC, uts: CLONE_NEWUTS, network: CLONE_NEWNET } as const;

/** The clone, in what of others' it joins; a time namespace is for children only (time_namespaces(7)). A PID, network and so on
 * namespace belongs to the user namespace that it is made in. */
export function cloneSteps(spec: ContainerSpec): Step[] {
  const { pid, user, time } = spec.namespaces;
  let wanted = CLONE_NEWNS | (user.kind === "private" ? CLONE_NEWUSER : 0);
  for (const [kind, flag] of Object.entries(flags) as [keyof typeof flags, number][])
    if (spec.namespaces[kind].kind === "private") wanted |= flag;
  const steps: Step[] = [];
  if (user.kind === "join") steps.push({ op: "user-namespace.join", path: user.path });
  if (pid.kind === "join") steps.push({ op: "pid-namespace.join", path: pid.path });
  if (time)
    steps.push({
      op: "time-namespace",
      offsets: `monotonic ${time.monotonic} 0\nboottime ${time.boottime} 0\n`,
    });
  return [...steps, { op: "clone", flags: wanted }];
}

interface WithUser {
  namespaces: Pick<NamespaceChoices, "user">;
}

/** The maps of the user namespace, by which trees are mapped too. */
export function userNamespaceSteps(spec: WithUser): Step[] {
  const { user } = spec.namespaces;
  if (user.kind === "host") return [];
  const own = user.kind === "private";
  return [
    {
      op: "user-namespace",
      uidMap: own ? mapText(user.maps.uids) : "",
      gidMap: own ? mapText(user.maps.gids) : "",
      rootUid: hostUser(user, 0),
      rootGid: hostGroup(user, 0),
    },
  ];
}

/** From here on the process is nobody outside. */
export const userRootSteps = (spec: WithUser): Step[] =>
  spec.namespaces.user.kind === "host" ? [] : [{ op: "user-namespace.root" }];

/** The other namespaces to join; the cgroup namespace is unshared only once the process is in its group. */
export function joinSteps(spec: ContainerSpec): Step[] {
  const paths: string[] = [];
  const types: number[] = [];
  for (const kind of ["ipc", "uts", "network"] as const) {
    const choice = spec.namespaces[kind];
    if (choice.kind !== "join") continue;
    paths.push(choice.path);
    types.push(flags[kind]);
  }
  const own = spec.namespaces.cgroup.kind === "private";
  return [
    ...(paths.length > 0 ? [{ op: "namespaces.join", paths, types } as const] : []),
    ...(own ? [{ op: "unshare", flags: CLONE_NEWCGROUP } as const] : []),
  ];
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
