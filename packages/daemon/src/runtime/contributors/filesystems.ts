// File systems every container has: /proc, /dev and what is in it, /sys, the control groups.
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  S_IFBLK,
  S_IFCHR,
  type Step,
} from "@tsd/kernel-bindings";
import type { ContainerSpec, DeviceSpec } from "../spec.ts";
import { hostGroup, hostUser } from "../user-namespace.ts";
import { contextOption } from "./labels.ts";
import { slotAfterAttached } from "./rootfs.ts";

const guarded = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV;

interface FilesystemOptions {
  options?: readonly string[];
  attributes?: number;
  strict?: boolean;
  /** What mount tables call it, where that is not its type. */
  source?: string;
}

const filesystem = (type: string, target: string, settings: FilesystemOptions = {}): Step => ({
  op: "mount",
  type,
  target,
  options: settings.options ?? [],
  attributes: settings.attributes ?? guarded,
  source: settings.source ?? type,
  strict: settings.strict ?? false,
});

/** Devices that every container has, as Docker's default list. */
export const defaultDevices: readonly DeviceSpec[] = [
  ["/dev/null", 1, 3],
  ["/dev/zero", 1, 5],
  ["/dev/full", 1, 7],
  ["/dev/random", 1, 8],
  ["/dev/urandom", 1, 9],
  ["/dev/tty", 5, 0],
].map(([path, major, minor]) => ({
  path: String(path),
  source: "",
  type: "c",
  major: Number(major),
  minor: Number(minor),
  mode: 0o666,
  group: 0,
}));

const links: readonly [path: string, target: string][] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/core", "/proc/kcore"],
  ["/dev/ptmx", "pts/ptmx"],
];

/** The links that everybody expects in /dev. */
export const deviceLinks: readonly Step[] = links.map(([path, target]) => ({ op: "symlink", target, path }));

/** The nodes of a container's /dev, which a slot holds. */
export function deviceNodes(spec: ContainerSpec, slot: number): Step[] {
  const { user } = spec.namespaces;
  return [...defaultDevices, ...spec.devices].map((device) => ({
    op: "node",
    slot,
    path: device.path.replace(/^\/dev/, ""),
    mode: (device.type === "c" ? S_IFCHR : S_IFBLK) | device.mode,
    major: device.major,
    minor: device.minor,
    uid: hostUser(user, 0),
    gid: groupOf(user, device.group),
  }));
}

/** /dev is made on the host: devices don't work in what is mounted in a user namespace. */
export function deviceTreeSteps(spec: ContainerSpec): Step[] {
  if (spec.mounts.some(({ target }) => target === "/dev")) return [];
  const slot = slotAfterAttached(spec);
  return [
    { op: "tmpfs.open", slot, options: ["mode=755", "size=65536k", ...contextOption(spec.mountLabel)] },
    ...deviceNodes(spec, slot),
  ];
}

/** A group that the container has none of stays out of it. */
const groupOf = (user: ContainerSpec["namespaces"]["user"], group: number): number => {
  const known =
    user.kind === "host" ||
    user.maps.gids.some(({ container, size }) => group >= container && group < container + size);
  return hostGroup(user, known ? group : 0);
};

export function filesystemSteps(spec: ContainerSpec): Step[] {
  const taken = new Set(spec.mounts.map(({ target }) => target));
  const free = (target: string, ...steps: Step[]): Step[] => (taken.has(target) ? [] : steps);
  const readOnly = spec.privileged ? 0 : MOUNT_ATTR_RDONLY;
  return [
    ...free("/proc", filesystem("proc", "/proc", { strict: true })),
    ...free("/dev", ...deviceSteps(spec, free)),
    ...free(
      "/sys",
      filesystem("sysfs", "/sys", { attributes: guarded | readOnly, strict: true }),
      ...free("/sys/fs/cgroup", ...cgroupSteps(spec, readOnly)),
    ),
  ];
}

function deviceSteps(spec: ContainerSpec, free: (target: string, ...steps: Step[]) => Step[]): Step[] {
  const { namespaces } = spec;
  const label = contextOption(spec.mountLabel);
  return [
    {
      op: "bind",
      slot: slotAfterAttached(spec),
      target: "/dev",
      attributes: MOUNT_ATTR_NOSUID,
      recursive: false,
      propagation: MS_PRIVATE,
    },
    ...free(
      "/dev/pts",
      filesystem("devpts", "/dev/pts", {
        options: ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5", ...label],
        attributes: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
      }),
    ),
    ...free("/dev/shm", ...shmSteps(spec)),
    ...(namespaces.ipc.kind === "host" && namespaces.user.kind !== "host"
      ? [] // it belongs to another user namespace
      : free("/dev/mqueue", filesystem("mqueue", "/dev/mqueue"))),
    ...deviceLinks,
  ];
}

/** Shared memory follows the IPC namespace: whoever joins another's sees the same /dev/shm (a bind, see mounts). */
const shmSteps = (spec: ContainerSpec): Step[] =>
  spec.namespaces.ipc.kind === "private" && spec.shmSize !== undefined
    ? [
        filesystem("tmpfs", "/dev/shm", {
          source: "shm",
          options: ["mode=1777", `size=${spec.shmSize}`, ...contextOption(spec.mountLabel)],
        }),
      ]
    : [];

/** The control groups as the container's cgroup namespace shows them. */
export function cgroupSteps(spec: ContainerSpec, readOnly: number): Step[] {
  const attributes = guarded | readOnly;
  // What a system container manages itself it must be able to write; its limits are above what it sees.
  if (spec.subtree) return [filesystem("cgroup2", "/sys/fs/cgroup", { attributes: guarded })];
  if (spec.cgroups.version === 2) return [filesystem("cgroup2", "/sys/fs/cgroup", { attributes })];
  const steps = [filesystem("tmpfs", "/sys/fs/cgroup", { options: ["mode=755"] })];
  for (const { name } of spec.cgroups.controllers) {
    const named = /^name=(.*)$/.exec(name)?.[1];
    const options = named ? ["none", name] : name.split(",");
    steps.push(filesystem("cgroup", `/sys/fs/cgroup/${named ?? name}`, { options, attributes }));
    if (options.length > 1 && !named)
      for (const alias of options)
        steps.push({ op: "symlink", target: name, path: `/sys/fs/cgroup/${alias}` });
  }
  return steps;
}
