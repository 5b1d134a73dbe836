// From a container's specification to the OCI configuration that an OCI runtime runs the same container by: pure.
import type { SeccompFilter } from "@tsd/kernel-bindings";
import {
  OCI_VERSION,
  type OciConfig,
  type OciDevice,
  type OciLinux,
  type OciSeccomp,
} from "../../api/oci-config.ts";
import { commandOf } from "../contributors/rootfs.ts";
import type { ContainerSpec, DeviceSpec, HooksSpec, NamespaceChoice } from "../spec.ts";
import { hostGroup, hostUser } from "../user-namespace.ts";
import { ociMappings, ociMounts } from "./mounts.ts";
import { ociProcess } from "./process.ts";
import { ociResources } from "./resources.ts";

export interface BundleOptions {
  /** root.path: absolute, or in the bundle. */
  root: string;
  /** What the container's filter is compiled from. */
  seccomp: SeccompFilter | undefined;
  annotations: Readonly<Record<string, string>>;
  /** The container has the network namespace that the runtime is started in. */
  inheritNetwork?: boolean;
  /** Targets of binds that are already in the root. */
  mounted?: ReadonlySet<string>;
}

export function ociSeccomp({
  defaultAction,
  defaultErrnoRet,
  architectures,
  rules,
}: SeccompFilter): OciSeccomp {
  return {
    defaultAction,
    ...(defaultErrnoRet === undefined ? {} : { defaultErrnoRet }),
    ...(architectures.length > 0 ? { architectures: [...architectures] } : {}),
    syscalls: rules
      .filter(({ names }) => names.length > 0)
      .map(({ names, action, errnoRet, args }) => ({
        names: [...names],
        action,
        ...(errnoRet === undefined ? {} : { errnoRet }),
        ...(args?.length
          ? {
              args: args.map(({ index, op, value, valueTwo }) => ({
                index,
                value: Number(value),
                valueTwo: Number(valueTwo ?? 0),
                op,
              })),
            }
          : {}),
      })),
  };
}

function namespaces(spec: ContainerSpec, inheritNetwork: boolean): { type: string; path?: string }[] {
  const kinds = { pid: "pid", ipc: "ipc", uts: "uts", network: "network", cgroup: "cgroup" } as const;
  const listed = Object.entries(kinds).flatMap(([kind, type]) => {
    const choice: NamespaceChoice = spec.namespaces[kind as keyof typeof kinds];
    // What is not listed is the runtime's own.
    if (choice.kind === "host" || (kind === "network" && inheritNetwork)) return [];
    return [choice.kind === "join" ? { type, path: choice.path } : { type }];
  });
  const { user, time } = spec.namespaces;
  return [
    ...listed,
    { type: "mount" },
    ...(user.kind === "private" ? [{ type: "user" }] : []),
    ...(user.kind === "join" ? [{ type: "user", path: user.path }] : []),
    ...(time ? [{ type: "time" }] : []),
  ];
}

const device = (spec: ContainerSpec, { path, type, major, minor, mode, group }: DeviceSpec): OciDevice => ({
  path,
  type,
  major,
  minor,
  fileMode: mode & 0o777,
  uid: 0,
  gid: spec.namespaces.user.kind === "host" ? group : 0,
});

function linux(spec: ContainerSpec, options: BundleOptions): OciLinux {
  const { user, time } = spec.namespaces;
  return {
    namespaces: namespaces(spec, options.inheritNetwork ?? false),
    ...(user.kind === "private"
      ? { uidMappings: ociMappings(user.maps.uids), gidMappings: ociMappings(user.maps.gids) }
      : {}),
    ...(time
      ? {
          timeOffsets: {
            monotonic: { secs: time.monotonic, nanosecs: 0 },
            boottime: { secs: time.boottime, nanosecs: 0 },
          },
        }
      : {}),
    ...(spec.devices.length > 0 ? { devices: spec.devices.map((one) => device(spec, one)) } : {}),
    cgroupsPath: spec.cgroup,
    resources: ociResources(spec.limits, spec.deviceRules),
    ...(options.seccomp ? { seccomp: ociSeccomp(options.seccomp) } : {}),
    sysctl: { ...spec.sysctls },
    ...(spec.mountLabel ? { mountLabel: spec.mountLabel } : {}),
    maskedPaths: [...spec.maskedPaths],
    readonlyPaths: [...spec.readonlyPaths],
  };
}

/** The host's ids of the container's root: who a bundle's root belongs to. */
export const rootOwner = ({ namespaces: { user } }: ContainerSpec): { uid: number; gid: number } => ({
  uid: hostUser(user, 0),
  gid: hostGroup(user, 0),
});

const ociHooks = ({ asked }: HooksSpec): OciConfig["hooks"] =>
  Object.fromEntries(
    Object.entries(asked)
      .filter(([, hooks]) => hooks.length > 0)
      .map(([kind, hooks]) => [kind, [...hooks]]),
  );

export function ociConfig(spec: ContainerSpec, options: BundleOptions): OciConfig {
  const own = spec.namespaces.uts.kind === "private";
  return {
    ociVersion: OCI_VERSION,
    process: ociProcess(spec.process, spec.streams, commandOf(spec)),
    root: { path: options.root, readonly: spec.root.readOnly },
    ...(own && spec.hostname ? { hostname: spec.hostname } : {}),
    ...(own && spec.domainname ? { domainname: spec.domainname } : {}),
    mounts: ociMounts(spec, options.mounted),
    annotations: { ...options.annotations },
    ...(spec.hooks ? { hooks: ociHooks(spec.hooks) } : {}),
    linux: linux(spec, options),
  };
}
