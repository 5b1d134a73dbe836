// From a container's specification to its launch plan: pure, and the whole order of a start in one place.
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  type Plan,
  type Step,
} from "@tsd/kernel-bindings";
import { deviceTreeSteps, filesystemSteps } from "./contributors/filesystems.ts";
import { hookSteps } from "./contributors/hooks.ts";
import { keyringSteps, labelSteps, queueLabelSteps, traceSteps } from "./contributors/labels.ts";
import { logSteps, serveSteps } from "./contributors/monitor.ts";
import { nameServerSteps } from "./contributors/names.ts";
import {
  cloneSteps,
  joinSteps,
  sysctlSteps,
  userNamespaceSteps,
  userRootSteps,
  utsSteps,
} from "./contributors/namespaces.ts";
import { hostNetworkSteps, networkSteps } from "./contributors/network.ts";
import {
  executeStep,
  limitSteps,
  oomSteps,
  privilegeSteps,
  raisedLimitSteps,
  terminalSteps,
  workingDirectorySteps,
} from "./contributors/process.ts";
import { commandOf, maskSteps, mountSteps, pivotSteps, rootSteps, treeSteps } from "./contributors/rootfs.ts";
import type { ContainerSpec, ExecSpec, RootedSpec } from "./spec.ts";
import type { IdMaps } from "./user-namespace.ts";

/** The plan that starts a container. What the monitor does after the clone and what the child does go side by side, up to where
 * one waits for the other (hand-over and take-over, await-host); so what needs no network comes before the wait for it. */
export function containerPlan(spec: ContainerSpec): Plan {
  const { user } = spec.namespaces;
  return [
    ...serveSteps(spec),
    ...logSteps(spec),
    ...spec.cgroups.create(spec.cgroup, spec.limits, spec.deviceRules),
    ...spec.cgroups.watchMemory(spec.cgroup),
    ...(spec.subtree?.create ?? []),
    ...(spec.relabel ?? []),
    ...traceSteps(spec),
    ...raisedLimitSteps(spec.process, user),
    ...cloneSteps(spec),
    ...userNamespaceSteps(spec),
    ...treeSteps(spec, user.kind !== "host"),
    ...deviceTreeSteps(spec),
    { op: "hand-over" },
    ...oomSteps(spec.process),
    ...hostNetworkSteps(spec),
    ...hookSteps(spec, "createRuntime"),
    spec.subtree?.enter ?? spec.cgroups.enter(spec.cgroup),
    ...joinSteps(spec),
    ...utsSteps(spec),
    ...labelSteps(spec.process),
    ...keyringSteps(spec.process),
    ...rootSteps(spec),
    ...userRootSteps(spec),
    ...filesystemSteps(spec),
    ...queueLabelSteps(spec),
    ...mountSteps(spec),
    ...maskSteps(spec, false),
    ...(spec.hooks ? [awaitHost, ...hookSteps(spec, "createContainer")] : []),
    ...pivotSteps(spec),
    ...networkSteps(spec),
    ...nameServerSteps(spec),
    ...sysctlSteps(spec),
    ...maskSteps(spec, true),
    ...terminalSteps(spec.streams, true),
    { op: "keyring", name: spec.id },
    ...workingDirectorySteps(spec.process, true),
    ...hookSteps(spec, "startContainer"),
    ...limitSteps(spec.process),
    ...(spec.process.oomScoreAdj && !spec.hooks && spec.namespaces.network.kind !== "private"
      ? [awaitHost]
      : []),
    ...privilegeSteps(spec.process),
    executeStep(spec.process, commandOf(spec)),
  ];
}

const awaitHost: Step = { op: "await-host" };

const joined: readonly [name: string, type: number][] = [
  ["ipc", CLONE_NEWIPC],
  ["uts", CLONE_NEWUTS],
  ["net", CLONE_NEWNET],
  ["cgroup", CLONE_NEWCGROUP],
  ["time", CLONE_NEWTIME],
  ["mnt", CLONE_NEWNS],
  ["user", CLONE_NEWUSER],
];

/** The plan that runs a command in a running container. The user namespace comes last: what is not its own (the host's network)
 * can't be joined from within it. */
export function execPlan(spec: ExecSpec): Plan {
  const { user, time } = spec.namespaces;
  const kinds = joined.filter(
    ([name]) => (name !== "user" || user.kind !== "host") && (name !== "time" || time),
  );
  return [
    ...serveSteps(spec),
    { op: "pid-namespace.join", path: `/proc/${spec.pid}/ns/pid` },
    { op: "clone", flags: 0 },
    ...oomSteps(spec.process),
    spec.enter ?? spec.cgroups.enter(spec.cgroup),
    ...limitSteps(spec.process),
    ...labelSteps(spec.process),
    {
      op: "namespaces.join",
      paths: kinds.map(([name]) => `/proc/${spec.pid}/ns/${name}`),
      types: kinds.map(([, type]) => type),
    },
    ...(user.kind === "host" ? [] : [{ op: "user-namespace.root" } as const]),
    ...terminalSteps(spec.streams, false),
    ...workingDirectorySteps(spec.process, false),
    ...(spec.process.oomScoreAdj ? [awaitHost] : []),
    ...privilegeSteps(spec.process),
    executeStep(spec.process, spec.process.arguments),
  ];
}

/** The plan that finds out whether a root can be made in a user namespace on this machine. */
export function probePlan(spec: RootedSpec, maps: IdMaps): Plan {
  const user = { kind: "private", maps } as const;
  return [
    { op: "clone", flags: CLONE_NEWUSER | CLONE_NEWNS },
    ...userNamespaceSteps({ namespaces: { user } }),
    ...treeSteps(spec, true),
    { op: "hand-over" },
    ...rootSteps(spec),
    ...userRootSteps({ namespaces: { user } }),
    ...pivotSteps(spec),
    { op: "hold" },
  ];
}

/** The plan that shows a container's root, with its volumes and binds, while the container does not run: nothing is
 * executed in it, and files have the ids that they have on the disk, which are the container's. */
export function rootPlan(spec: RootedSpec): Plan {
  return [
    { op: "clone", flags: CLONE_NEWNS },
    ...treeSteps(spec, false),
    { op: "hand-over" },
    ...rootSteps(spec),
    ...mountSteps(spec),
    ...pivotSteps(spec),
    { op: "hold" },
  ];
}
