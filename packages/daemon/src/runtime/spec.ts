// What a container's launch plan is made from: everything decided, nothing left to look up.

import type {
  CapabilityName,
  CgroupLimits,
  Cgroups,
  DeviceRule,
  ipvlanModes,
  macvlanModes,
  Step,
  Subtree,
} from "@tsd/kernel-bindings";
import type { OciHook } from "../api/oci-config.ts";
import type { Shape, Shaper } from "./network/shape.ts";
import type { UserNamespaceChoice } from "./user-namespace.ts";

/** A namespace of its own, the host's, or that of the process whose /proc/<pid>/ns/<kind> is `path`. */
export type NamespaceChoice = { kind: "private" } | { kind: "host" } | { kind: "join"; path: string };

/** Seconds that a container's clocks are ahead of the host's (time_namespaces(7)). */
export interface TimeOffsets {
  monotonic: number;
  boottime: number;
}

export interface NamespaceChoices {
  user: UserNamespaceChoice;
  pid: NamespaceChoice;
  ipc: NamespaceChoice;
  uts: NamespaceChoice;
  network: NamespaceChoice;
  cgroup: NamespaceChoice;
  /** Undefined: the host's. */
  time: TimeOffsets | undefined;
}

/** A mount that the user asked for; `source` is a path of the host's. */
export type MountSpec =
  | {
      type: "bind";
      source: string;
      /** The /proc/<pid>/ns/mnt of another container that the source is in; "" for the host. */
      namespace: string;
      target: string;
      readOnly: boolean;
      /** Read-only holds for the mounts below too (kernel 5.12). */
      readOnlyRecursive: boolean;
      /** No symbolic link may stand in the source's path. */
      confined: boolean;
      /** What of the source is meant, without a way out of it; "" for all of it. */
      subpath: string;
      recursive: boolean;
      propagation: "private" | "slave" | "shared";
    }
  /** Another image's files, read-only, or what of them a subpath leads to; its layers' directories, topmost first. */
  | { type: "image"; layers: readonly string[]; target: string; subpath: string }
  | { type: "tmpfs"; target: string; options: readonly string[]; attributes: number };

/** How an interface hangs on the host: a veth pair on a bridge, a share of a parent's wire, or a device of the host's that is
 * moved into the container. */
export type Attachment =
  | {
      kind: "bridge";
      /** The other end. */
      hostName: string;
      hostIndex: number;
      bridgeIndex: number;
      /** Other isolated ports of the bridge are out of reach. */
      isolated: boolean;
      shape: Shape;
      shaper: Shaper | undefined;
    }
  | { kind: "macvlan"; parentIndex: number; mode: keyof typeof macvlanModes }
  | { kind: "ipvlan"; parentIndex: number; mode: keyof typeof ipvlanModes }
  | { kind: "device"; hostName: string };

/** One network interface of the container. */
export interface InterfaceSpec {
  /** Name and index in the container. */
  name: string;
  index: number;
  attachment: Attachment;
  mtu: number;
  mac: string;
  addresses: readonly { address: string; prefixLength: number }[];
  /** Of default routes through it. */
  gateways: readonly string[];
}

export interface DeviceSpec {
  path: string;
  /** Where it is on the host; "" for those that every container has. */
  source: string;
  /** "c" or "b". */
  type: "c" | "b";
  major: number;
  minor: number;
  mode: number;
  group: number;
}

export interface RlimitSpec {
  resource: number;
  soft: bigint;
  hard: bigint;
  /** Only a default asked for it: set as far as the host lets us. */
  tolerated: boolean;
}

export interface CapabilitySets {
  bounding: readonly CapabilityName[];
  effective: readonly CapabilityName[];
  permitted: readonly CapabilityName[];
  inheritable: readonly CapabilityName[];
  ambient: readonly CapabilityName[];
}

/** The process itself: of a container, or of an exec in one. */
export interface ProcessSpec {
  arguments: readonly string[];
  environment: readonly string[];
  workingDirectory: string;
  user: { uid: number; gid: number; groups: readonly number[] };
  capabilities: CapabilitySets;
  /** A compiled filter with its SECCOMP_FILTER_FLAG_*, or none. */
  seccomp: { program: Buffer; flags: number } | undefined;
  /** Its calls are asked for and counted. */
  traced?: boolean;
  /** The step of Landlock rules, where there are any. */
  landlock?: Step | undefined;
  /** What security modules know the process by; "" for whatever its parent is known by. */
  labels?: { selinux: string; appArmor: string };
  noNewPrivileges: boolean;
  rlimits: readonly RlimitSpec[];
  oomScoreAdj: { value: number; tolerated: boolean } | undefined;
}

export interface StreamsSpec {
  terminal: boolean;
  openStdin: boolean;
  stdinOnce: boolean;
  columns: number;
  rows: number;
}

/** A log service that gets each line, besides the log's file. */
export interface LogForwardSpec {
  protocol: "unix-datagram" | "unix-stream" | "udp" | "tcp";
  format: "syslog" | "rfc3164" | "rfc5424" | "journal";
  /** A socket's path, or "ADDRESS PORT". */
  address: string;
  tag: string;
  facility: number;
  /** journald's, as KEY=value. */
  fields: readonly string[];
}

/** Kinds of hooks that have their place in a plan. */
export type PlanHook = "createRuntime" | "createContainer" | "startContainer";

/** Programs that are told of the container while it is made, and the directory with its OCI configuration for them. */
export interface HooksSpec {
  asked: { readonly [K in PlanHook]: readonly OciHook[] };
  bundle: string;
}

/** The log's files, as the plan's step has them. */
export interface LogSpec {
  path: string;
  maximumSize: number;
  maximumFiles: number;
  compressor: string;
}

export interface ContainerSpec {
  id: string;
  /** Monitor's socket and exit record. */
  socket: string;
  exitRecord: string;
  log: LogSpec | undefined;
  forward: LogForwardSpec | undefined;
  streams: StreamsSpec;
  namespaces: NamespaceChoices;
  hostname: string;
  domainname: string;
  cgroups: Cgroups;
  cgroup: string;
  limits: CgroupLimits;
  deviceRules: readonly DeviceRule[] | "all";
  /** A whole system with its own init, which manages a subtree of control groups by itself. */
  subtree: Subtree | undefined;
  interfaces: readonly InterfaceSpec[];
  /** The name server that user-defined networks have. It listens on this port; unless that is 53 itself, nf_tables rules lead
   * port 53 there. */
  nameServer: { port: number } | undefined;
  /** `base` is the directory with what the container writes. */
  root: { staging: string; layers: readonly string[]; base: string; readOnly: boolean };
  /** Files of the engine's that appear in /etc, by their targets. */
  files: readonly { source: string; target: string }[];
  /** Files that show the container its own limits in place of the host's, read-only. */
  views?: readonly { source: string; target: string }[];
  /** The SELinux label of the container's files; "" for none. */
  mountLabel?: string;
  /** Steps that label what is bound. */
  relabel?: readonly Step[];
  /** Where the trace of its calls is written down. */
  trace?: string | undefined;
  mounts: readonly MountSpec[];
  devices: readonly DeviceSpec[];
  shmSize: number | undefined;
  privileged: boolean;
  maskedPaths: readonly string[];
  readonlyPaths: readonly string[];
  sysctls: Readonly<Record<string, string>>;
  /** The init program's path on the host, when --init was asked for. */
  init: string | undefined;
  hooks?: HooksSpec | undefined;
  process: ProcessSpec;
}

/** The part of a specification that makes a root. */
export type RootedSpec = Pick<ContainerSpec, "root" | "files" | "mounts" | "init" | "views" | "mountLabel">;

/** An exec: a process in the namespaces of a running container. */
export interface ExecSpec {
  id: string;
  socket: string;
  exitRecord: string;
  streams: StreamsSpec;
  /** The container's process 1, as the host numbers it. */
  pid: number;
  /** Its user and time namespaces; the others are joined in any case. */
  namespaces: Pick<NamespaceChoices, "user" | "time">;
  cgroups: Cgroups;
  cgroup: string;
  /** The step by which it enters the control groups, where that is not the group's own. */
  enter?: Step | undefined;
  process: ProcessSpec;
}
