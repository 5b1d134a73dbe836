// The mounts of a container as an OCI configuration lists them, in the order in which a runtime makes them.
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
} from "@tsd/kernel-bindings";
import type { OciIdMapping, OciMount } from "../../api/oci-config.ts";
import { attached, byDepth } from "../contributors/rootfs.ts";
import type { BindSpec } from "../mounts.ts";
import type { ContainerSpec, MountSpec } from "../spec.ts";
import type { IdRange } from "../user-namespace.ts";

const attributeWords: readonly [attribute: number, word: string][] = [
  [MOUNT_ATTR_NOSUID, "nosuid"],
  [MOUNT_ATTR_NOEXEC, "noexec"],
  [MOUNT_ATTR_NODEV, "nodev"],
  [MOUNT_ATTR_RDONLY, "ro"],
];
const words = (attributes: number): string[] =>
  attributeWords.flatMap(([attribute, word]) => (attributes & attribute ? [word] : []));

export const ociMappings = (ranges: readonly IdRange[]): OciIdMapping[] =>
  ranges.map(({ container, host, size }) => ({ containerID: container, hostID: host, size }));

/** What a bind is of, by path. */
const sourceOf = ({ source, subpath }: BindSpec): string => (subpath ? `${source}/${subpath}` : source);

function bindMount(spec: ContainerSpec, bind: BindSpec): OciMount {
  const { user } = spec.namespaces;
  const propagation = `${bind.recursive ? "r" : ""}${bind.propagation}`;
  return {
    destination: bind.target,
    type: "bind",
    source: sourceOf(bind),
    options: [
      bind.recursive ? "rbind" : "bind",
      propagation,
      ...(bind.readOnly ? [bind.readOnlyRecursive && bind.recursive ? "rro" : "ro"] : []),
    ],
    ...(user.kind === "host"
      ? {}
      : { uidMappings: ociMappings(user.maps.uids), gidMappings: ociMappings(user.maps.gids) }),
  };
}

const tmpfsMount = (mount: Extract<MountSpec, { type: "tmpfs" }>): OciMount => ({
  destination: mount.target,
  type: "tmpfs",
  source: "tmpfs",
  options: [...words(mount.attributes), ...mount.options],
});

/** What every container has: /proc, /dev, /sys and what is in them, but for what is asked for in their place. */
function filesystems(spec: ContainerSpec): OciMount[] {
  const taken = new Set(spec.mounts.map(({ target }) => target));
  const readOnly = spec.privileged ? [] : ["ro"];
  const guarded = ["nosuid", "noexec", "nodev"];
  const mounts: OciMount[] = [
    { destination: "/proc", type: "proc", source: "proc", options: guarded },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    ...(spec.shmSize === undefined
      ? []
      : [
          {
            destination: "/dev/shm",
            type: "tmpfs",
            source: "shm",
            options: [...guarded, "mode=1777", `size=${spec.shmSize}`],
          },
        ]),
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: guarded },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...guarded, ...readOnly] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: [...guarded, "relatime", ...(spec.subtree ? [] : readOnly)],
    },
  ];
  return mounts.filter(({ destination }) => !taken.has(destination));
}

/** What cannot be said in a configuration: other containers' mounts, and other images. */
export const unspeakable = (spec: ContainerSpec): { target: string; why: string }[] =>
  attached(spec).flatMap((one) => {
    const { target } = one;
    if (one.type === "image") return [{ target, why: "is another image's files" }];
    return one.namespace ? [{ target, why: "is in another container's mount namespace" }] : [];
  });

/** `without` are the targets of binds that are already in the root. */
export function ociMounts(spec: ContainerSpec, without: ReadonlySet<string> = new Set()): OciMount[] {
  const asked = [
    ...spec.mounts.flatMap((mount) => (mount.type === "tmpfs" ? [tmpfsMount(mount)] : [])),
    ...attached(spec).flatMap((one) =>
      one.type === "bind" && !without.has(one.target) && one.namespace === "" ? [bindMount(spec, one)] : [],
    ),
  ];
  const sorted = asked
    .map((mount) => ({ target: mount.destination, mount }))
    .sort(byDepth)
    .map(({ mount }) => mount);
  return [...filesystems(spec), ...sorted];
}
