// From a container's specification to its launch plan: pure, and the whole order of a start in one place.
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWUTS,
  type Plan,
  type Step,
} from "@tsd/kernel-bindings";
import { filesystemSteps } from "./contributors/filesystems.ts";
import { keyringSteps, labelSteps, queueLabelSteps, traceSteps } from "./contributors/labels.ts";
import { logSteps, serveSteps } from "./contributors/monitor.ts";
import { nameServerSteps } from "./contributors/names.ts";
import { cloneSteps, joinSteps, sysctlSteps, utsSteps } from "./contributors/namespaces.ts";
import { hostNetworkSteps, networkSteps } from "./contributors/network.ts";
import {
  executeStep,
  limitSteps,
  privilegeSteps,
  terminalSteps,
  workingDirectorySteps,
} from "./contributors/process.ts";
import {
  bindSourceSteps,
  commandOf,
  maskSteps,
  mountSteps,
  pivotSteps,
  rootSteps,
} from "./contributors/rootfs.ts";
import type { ContainerSpec, ExecSpec, RootedSpec } from "./spec.ts";

/** The plan that starts a container. */
export function containerPlan(spec: ContainerSpec): Plan {
  return [
    ...serveSteps(spec),
    ...logSteps(spec),
    ...spec.cgroups.create(spec.cgroup, spec.limits, spec.deviceRules),
    ...(spec.subtree?.create ?? []),
    ...(spec.relabel ?? []),
    ...traceSteps(spec),
    ...cloneSteps(spec),
    ...hostNetworkSteps(spec),
    spec.subtree?.enter ?? spec.cgroups.enter(spec.cgroup),
    ...joinSteps(spec),
    ...utsSteps(spec),
    ...limitSteps(spec.process),
    ...labelSteps(spec.process),
    ...keyringSteps(spec.process),
    ...bindSourceSteps(spec),
    ...rootSteps(spec),
    ...filesystemSteps(spec),
    ...queueLabelSteps(spec),
    ...mountSteps(spec),
    ...networkSteps(spec),
    ...nameServerSteps(spec),
    ...sysctlSteps(spec),
    ...maskSteps(spec),
    ...pivotSteps(spec),
    ...terminalSteps(spec.streams, true),
    { op: "keyring", name: spec.id },
    ...workingDirectorySteps(spec.process, true),
    ...privilegeSteps(spec.process),
    executeStep(spec.process, commandOf(spec)),
  ];
}

const joined: readonly [name: string, type: number][] = [
  ["ipc", CLONE_NEWIPC],
  ["uts", CLONE_NEWUTS],
  ["net", CLONE_NEWNET],
  ["cgroup", CLONE_NEWCGROUP],
  ["mnt", CLONE_NEWNS],
];

/** The plan that runs a command in a running container. The mount namespace comes last: after it, /proc is theirs. */
export function execPlan(spec: ExecSpec): Plan {
  const join = joined.map(
    ([name, type]): Step => ({ op: "namespace.join", path: `/proc/${spec.pid}/ns/${name}`, type }),
  );
  return [
    ...serveSteps(spec),
    { op: "pid-namespace.join", path: `/proc/${spec.pid}/ns/pid` },
    { op: "clone", flags: 0 },
    spec.enter ?? spec.cgroups.enter(spec.cgroup),
    ...limitSteps(spec.process),
    ...labelSteps(spec.process),
    ...join,
    ...terminalSteps(spec.streams, false),
    ...workingDirectorySteps(spec.process, false),
    ...privilegeSteps(spec.process),
    executeStep(spec.process, spec.process.arguments),
  ];
}

/** The plan that shows a container's root, with its volumes and binds, while the container does not run: nothing is
 * executed in it. */
export function rootPlan(spec: RootedSpec): Plan {
  return [
    { op: "clone", flags: CLONE_NEWNS },
    ...bindSourceSteps(spec),
    ...rootSteps(spec),
    ...mountSteps(spec),
    ...pivotSteps(spec),
    { op: "hold" },
  ];
}
