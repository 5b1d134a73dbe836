// The launch plan of a bundle: the mounts of its configuration in their order, the rest as any container of ours has it.
import {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  type Plan,
  type Step,
} from "@tsd/kernel-bindings";
import type { OciConfig, OciMount } from "../api/oci-config.ts";
import { cgroupSteps, deviceLinks, deviceNodes } from "../runtime/contributors/filesystems.ts";
import { serveSteps } from "../runtime/contributors/monitor.ts";
import {
  cloneSteps,
  joinSteps,
  sysctlSteps,
  userNamespaceSteps,
  userRootSteps,
  utsSteps,
} from "../runtime/contributors/namespaces.ts";
import { networkSteps } from "../runtime/contributors/network.ts";
import {
  executeStep,
  limitSteps,
  oomSteps,
  privilegeSteps,
  raisedLimitSteps,
  terminalSteps,
  workingDirectorySteps,
} from "../runtime/contributors/process.ts";
import { maskSteps, pivotSteps, rootSteps } from "../runtime/contributors/rootfs.ts";
import type { ContainerSpec } from "../runtime/spec.ts";
import { BundleError } from "./specify.ts";

const set: Readonly<Record<string, number>> = {
  ro: MOUNT_ATTR_RDONLY,
  rro: MOUNT_ATTR_RDONLY,
  nosuid: MOUNT_ATTR_NOSUID,
  nodev: MOUNT_ATTR_NODEV,
  noexec: MOUNT_ATTR_NOEXEC,
  noatime: MOUNT_ATTR_NOATIME,
};
const propagations: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE,
  slave: MS_SLAVE,
  rslave: MS_SLAVE,
  shared: MS_SHARED,
  rshared: MS_SHARED,
};
/** Words that only say what is so anyway, or what the kernel does by itself. */
const idle = new Set([
  "rw",
  "suid",
  "dev",
  "exec",
  "defaults",
  "relatime",
  "strictatime",
  "atime",
  "diratime",
]);

interface Options {
  bind: boolean;
  recursive: boolean;
  attributes: number;
  propagation: number;
  recursiveReadOnly: boolean;
  data: string[];
}

export function mountOptions(words: readonly string[]): Options {
  const result: Options = {
    bind: false,
    recursive: false,
    attributes: 0,
    propagation: MS_PRIVATE,
    recursiveReadOnly: false,
    data: [],
  };
  for (const word of words) {
    if (word === "bind" || word === "rbind") {
      result.bind = true;
      result.recursive ||= word === "rbind";
    } else if (word in set) {
      result.attributes |= set[word] ?? 0;
      result.recursiveReadOnly ||= word === "rro";
    } else if (word in propagations) result.propagation = propagations[word] ?? 0;
    else if (word === "tmpcopyup") throw new BundleError("mounts: option tmpcopyup is not built");
    else if (!idle.has(word)) result.data.push(word);
  }
  return result;
}

interface Mounting {
  host: Step[];
  child: Step[];
}

/** With the host's cgroup namespace and version 1 a container sees its own groups, which are bound, and not those of others. */
function cgroupMounting(spec: ContainerSpec, readOnly: number, take: () => number): Mounting {
  const steps = cgroupSteps(spec, readOnly);
  if (spec.namespaces.cgroup.kind !== "host" || spec.cgroups.version === 2) return { host: [], child: steps };
  const host: Step[] = [];
  const child = steps.map((step): Step => {
    if (step.op !== "mount" || step.type !== "cgroup") return step;
    const { target, attributes } = step;
    const own = spec.cgroups.controllers.find(
      ({ name }) => target === `/sys/fs/cgroup/${name.replace(/^name=/, "")}`,
    );
    if (!own) return step;
    const slot = take();
    const source = `${own.mountPoint}${spec.cgroup}`;
    host.push({
      op: "bind.open",
      slot,
      source,
      recursive: false,
      confined: false,
      subpath: "",
      idmapped: false,
    });
    return { op: "bind", slot, target, attributes, recursive: false, propagation: MS_PRIVATE };
  });
  return { host, child };
}

function mounting(spec: ContainerSpec, mount: OciMount, take: () => number): Mounting {
  const slot = take();
  const options = mountOptions(mount.options ?? []);
  const { destination: target, type = "", source = "" } = mount;
  if (!target.startsWith("/")) throw new BundleError(`mounts: destination ${target} is not absolute`);
  if (options.bind || type === "bind")
    return {
      host: [
        {
          op: "bind.open",
          slot,
          source,
          recursive: options.recursive,
          confined: false,
          subpath: "",
          idmapped: mount.uidMappings !== undefined,
        },
      ],
      child: [
        {
          op: "bind",
          slot,
          target,
          attributes: options.attributes,
          recursive: options.recursiveReadOnly,
          propagation: options.propagation,
        },
      ],
    };
  if (target === "/dev" && type === "tmpfs")
    return {
      host: [{ op: "tmpfs.open", slot, options: options.data }, ...deviceNodes(spec, slot)],
      child: [
        {
          op: "bind",
          slot,
          target,
          attributes: options.attributes,
          recursive: false,
          propagation: MS_PRIVATE,
        },
        ...deviceLinks,
      ],
    };
  if (type === "cgroup" || type === "cgroup2")
    return cgroupMounting(spec, options.attributes & MOUNT_ATTR_RDONLY, take);
  if (!type) throw new BundleError(`mounts: ${target} has no type`);
  const strict = type === "proc" || type === "sysfs";
  return {
    host: [],
    child: [
      { op: "mount", type, target, options: options.data, attributes: options.attributes, source, strict },
    ],
  };
}

export interface BundleStart {
  /** The named pipe that a byte is written to for the start. */
  startPipe: string;
  /** Where the terminal goes; "" for none. */
  console: string;
  /** The caller looks after the process; otherwise its end is told here. */
  leave: boolean;
}

const searchPath = (environment: readonly string[]): string =>
  environment.find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";

export function bundlePlan(spec: ContainerSpec, config: OciConfig, start: BundleStart): Plan {
  let slots = 0;
  const mounts = (config.mounts ?? []).map((mount) => mounting(spec, mount, () => slots++));
  const { user } = spec.namespaces;
  const process = spec.process;
  return [
    { op: "streams.inherit", leave: start.leave, console: start.console },
    ...serveSteps(spec),
    { op: "start-pipe", path: start.startPipe },
    ...spec.cgroups.create(spec.cgroup, spec.limits, spec.deviceRules),
    ...raisedLimitSteps(process, user),
    ...cloneSteps(spec),
    ...userNamespaceSteps(spec),
    ...mounts.flatMap(({ host }) => host),
    { op: "root.open", path: spec.root.base },
    { op: "hand-over" },
    ...oomSteps(process),
    spec.cgroups.enter(spec.cgroup),
    ...joinSteps(spec),
    ...utsSteps(spec).filter((step) => step.op !== "hostname" || step.name !== ""),
    ...rootSteps(spec),
    ...userRootSteps(spec),
    ...mounts.flatMap(({ child }) => child),
    ...networkSteps(spec),
    ...sysctlSteps(spec),
    ...maskSteps(spec, false),
    ...maskSteps(spec, true),
    ...pivotSteps(spec),
    ...terminalSteps(spec.streams, true),
    { op: "keyring", name: spec.id },
    ...workingDirectorySteps(process, true),
    ...limitSteps(process),
    ...(process.oomScoreAdj && spec.namespaces.network.kind !== "private"
      ? [{ op: "await-host" } as const]
      : []),
    { op: "await-start", file: process.arguments[0] ?? "", search: searchPath(process.environment) },
    ...privilegeSteps(process).map((step) =>
      step.op === "user" ? { ...step, umask: config.process?.user.umask ?? step.umask } : step,
    ),
    executeStep(process, process.arguments),
  ];
}
