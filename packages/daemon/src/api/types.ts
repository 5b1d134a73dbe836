// The bodies of the engine's API (Docker Engine API v1.51) that clients read and write.
import type { z } from "zod";
import type {
  containerCreateSchema,
  containerUpdateSchema,
  endpointSchema,
  execCreateSchema,
} from "./schemas/container-create.ts";
import type { networkCreateSchema } from "./schemas/network.ts";
import type { volumeCreateSchema } from "./schemas/volume.ts";

/** What POST /containers/create takes: everything is optional but the image. */
export type ContainerCreateRequest = z.input<typeof containerCreateSchema>;
/** What POST /containers/{id}/exec takes. */
export type ExecCreateRequest = z.input<typeof execCreateSchema>;

/** What POST /networks/create takes: everything is optional but the name. */
export type NetworkCreateRequest = z.input<typeof networkCreateSchema>;
/** What POST /volumes/create takes: everything is optional. */
export type VolumeCreateRequest = z.input<typeof volumeCreateSchema>;

/** A volume, as list and inspect show it. */
export interface VolumeInspect {
  Name: string;
  Driver: string;
  Mountpoint: string;
  CreatedAt: string;
  Scope: string;
  Labels: Record<string, string> | null;
  Options: Record<string, string> | null;
  Owner: string;
}

/** What is asked of a network for a container. */
export type EndpointSettings = z.input<typeof endpointSchema>;

/** A network, as list and inspect show it. */
export interface NetworkInspect {
  Name: string;
  Id: string;
  Created: string;
  Scope: string;
  Driver: string;
  EnableIPv6: boolean;
  Internal: boolean;
  IPAM: { Driver: string; Config: { Subnet: string; Gateway?: string }[] };
  Containers: Record<
    string,
    { Name: string; EndpointID: string; MacAddress: string; IPv4Address: string; IPv6Address: string }
  >;
  Options: Record<string, string>;
  Labels: Record<string, string>;
  [field: string]: unknown;
}

/** Where ports are published, by "80/tcp". */
export type PortMap = Record<string, { HostIp: string; HostPort: string }[] | null>;
/** What POST /tsd/containers/{id}/ports takes. */
export interface PortChange {
  Add?: PortMap;
  Remove?: PortMap;
}

/** A qdisc or a class as the kernel has it; rates in bits per second. */
export interface TrafficState {
  kind: string;
  handle: string;
  rate: number;
  ceiling: number;
  bytes: number;
  packets: number;
  dropped: number;
  overlimits: number;
  backlog: number;
}
/** What was asked of one direction, and what the kernel has. */
export interface ShapedDirection {
  Asked: {
    rate: number;
    burst: number;
    ceiling: number;
    packets: number;
    connections: number;
    classes: { name: string; rate: number; ceiling: number; priority: number }[];
  };
  Kernel: TrafficState | null;
  Classes: (TrafficState & { name: string })[];
  /** Packets that limits of packets and of connections per second have dropped; what is not limited is left out. */
  Dropped: { packets?: number; connections?: number };
}
/** One interface of GET /tsd/containers/{id}/shape. */
export interface InterfaceShape {
  Network: string;
  Interface: string;
  HostInterface: string;
  In: ShapedDirection;
  Out: ShapedDirection;
}

/** What POST /containers/{id}/update takes: what is left out stays as it is. */
export type ContainerUpdateRequest = z.input<typeof containerUpdateSchema>;

/** What X-Docker-Container-Path-Stat holds; mode is Go's FileMode. */
export interface PathStat {
  name: string;
  size: number;
  mode: number;
  mtime: string;
  linkTarget: string;
}

interface CpuStats {
  cpu_usage: { total_usage: number };
  system_cpu_usage?: number;
  online_cpus?: number;
}

/** One sample of GET /containers/{id}/stats: the fields that a client needs. */
export interface ContainerStats {
  read: string;
  name: string;
  id: string;
  pids_stats: { current?: number; limit?: number };
  cpu_stats: CpuStats;
  precpu_stats: CpuStats;
  memory_stats: { usage?: number; limit?: number; stats?: Record<string, number> };
  blkio_stats: { io_service_bytes_recursive: { op: string; value: number }[] | null };
  networks?: Record<string, { rx_bytes: number; tx_bytes: number }>;
}

export interface MountPoint {
  Type: string;
  Name?: string;
  Source: string;
  Destination: string;
  Mode: string;
  RW: boolean;
  Propagation: string;
}

export interface ContainerSummary {
  Id: string;
  Names: string[];
  Image: string;
  ImageID: string;
  Command: string;
  /** Unix seconds. */
  Created: number;
  Ports: { IP?: string; PrivatePort: number; PublicPort?: number; Type: string }[];
  SizeRw?: number;
  SizeRootFs?: number;
  Labels: Record<string, string>;
  State: string;
  Status: string;
  HostConfig: { NetworkMode: string };
  NetworkSettings: { Networks: Record<string, object> };
  Mounts: MountPoint[];
}

export interface ContainerInspect {
  Id: string;
  Created: string;
  Name: string;
  Image: string;
  State: {
    Status: string;
    Running: boolean;
    Paused: boolean;
    Restarting: boolean;
    Pid: number;
    ExitCode: number;
    Error: string;
  };
  Config: {
    Tty: boolean;
    OpenStdin: boolean;
    StdinOnce: boolean;
    AttachStdin: boolean;
    Image: string;
    Env: string[] | null;
  };
  [field: string]: unknown;
}

export interface ExecInspect {
  ID: string;
  Running: boolean;
  ExitCode: number | null;
  Pid: number;
  ContainerID: string;
}

export interface ImageSummary {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  /** Unix seconds. */
  Created: number;
  /** Bytes. */
  Size: number;
  SharedSize: number;
  Containers: number;
  Labels: Record<string, string> | null;
}

export interface ImageInspect {
  Id: string;
  RepoTags: string[];
  [field: string]: unknown;
}

export interface HistoryItem {
  Id: string;
  Created: number;
  CreatedBy: string;
  Tags: string[] | null;
  Size: number;
  Comment: string;
}

export type ImageRemoval = { Untagged: string } | { Deleted: string };

export interface EventMessage {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  scope: string;
  time: number;
  timeNano: number;
}

export interface SystemVersion {
  Version: string;
  ApiVersion: string;
  MinAPIVersion: string;
  Os: string;
  Arch: string;
  KernelVersion: string;
  BuildTime: string;
  GitCommit: string;
  GoVersion: string;
  [field: string]: unknown;
}

export interface SystemInfo {
  ID: string;
  Name: string;
  Containers: number;
  ContainersRunning: number;
  ContainersPaused: number;
  ContainersStopped: number;
  Images: number;
  Driver: string;
  DriverStatus: [name: string, value: string][];
  LoggingDriver: string;
  CgroupDriver: string;
  CgroupVersion: string;
  KernelVersion: string;
  OperatingSystem: string;
  OSType: string;
  Architecture: string;
  NCPU: number;
  MemTotal: number;
  DockerRootDir: string;
  ServerVersion: string;
  SecurityOptions: string[];
  Warnings: string[] | null;
  [field: string]: unknown;
}

/** A container's place in the host's control groups (ours). */
/** The system calls of a container that was created with SeccompTrace, and the profile that lets just them through. */
export interface SeccompTrace {
  Calls: {
    /** "" for one that profiles can't name. */
    Name: string;
    Number: number;
    Architecture: string;
    Count: number;
  }[];
  /** In Docker's format. */
  Profile: object;
}

export interface CgroupPlace {
  Version: 1 | 2;
  Group: string;
  Hierarchies: {
    Controllers: string[];
    Path: string;
    Files: { Name: string; Value: string; Meaning: string }[];
  }[];
}

/** What a container used in the last minutes (ours): totals since its start, but for memory and processes. */
export interface UsageHistory {
  /** Seconds between samples. */
  Interval: number;
  Samples: {
    Time: string;
    /** Nanoseconds. */
    Cpu: number;
    Memory: number;
    Processes: number;
    Read: number;
    Written: number;
    Received: number;
    Sent: number;
  }[];
}

/** What the engine's objects take on disk; of kinds that were not asked for, null. */
export interface DiskUsage {
  LayersSize: number;
  Images: ImageSummary[] | null;
  Containers: ContainerSummary[] | null;
  Volumes: { Name: string; UsageData: { Size: number; RefCount: number } }[] | null;
  BuildCache: object[] | null;
}

/** A line of what a build tells. */
export interface BuildLine {
  stream?: string;
  /** Of a pull: with the layer's id. */
  status?: string;
  id?: string;
  aux?: { ID?: string };
  error?: string;
  /** `code` is the exit status of the command that failed. */
  errorDetail?: { code?: number; message: string };
}

/** What pruning the build cache has removed. */
export interface BuildPruneReport {
  CachesDeleted: string[] | null;
  /** Bytes. */
  SpaceReclaimed: number;
}

/** One step of a launch plan, explained (ours). */
export interface ExplanationStep {
  /** Its place in the plan: what failures of a start refer to. */
  Number: number;
  Stage: "monitor" | "host" | "child";
  /** Who carries it out, in words. */
  By: string;
  Operation: string;
  /** Kernel calls, in their order. */
  Calls: string[];
  Does: string;
  /** Single messages of a step that sends many. */
  Details: string[];
  Why: string;
  /** All of it with ids, and what the engine chose by chance, taken out: equal for containers that are alike. */
  Alike: string;
}

/** What is, was or would be done to the kernel for a container (ours). */
export interface Explanation {
  /** "" of one that would be. */
  Id: string;
  Name: string;
  Of: "present life" | "next start" | "would-be";
  Steps: ExplanationStep[];
  /** What the daemon does beside the plan. */
  Beside: { Does: string; Why: string; Alike: string }[];
}

export type DriftSeverity = "info" | "low" | "medium" | "high" | "critical";

/** Where the live kernel is not what a container's plan says (ours). */
export interface DriftView {
  Subject: string;
  What: string;
  Expected: string;
  Found: string;
  Severity: DriftSeverity;
  /** The container has the right to have done this itself. */
  ByContainer: boolean;
}

/** The outcome of a verification (ours). */
export interface Verification {
  Id: string;
  Name: string;
  /** One that does not run has nothing to be verified. */
  Running: boolean;
  Drifts: DriftView[];
  /** What was looked at. */
  Subjects: string[];
  Milliseconds: number;
}

export type NamespaceKind = "user" | "mnt" | "pid" | "net" | "ipc" | "uts" | "cgroup" | "time";

/** A running container's namespaces, by the inodes that the kernel knows them by (ours). */
export interface ContainerNamespaces {
  Id: string;
  Name: string;
  /** Its process 1, as the host numbers it. */
  Pid: number;
  Namespaces: Record<NamespaceKind, number>;
  /** "host", and other containers' names. */
  SharedWith: Record<NamespaceKind, string[]>;
  Processes: {
    Pid: number;
    /** In its own PID namespace. */
    InnerPid: number;
    Command: string;
    Namespaces: Record<NamespaceKind, number>;
    /** The kinds in which it is not where process 1 is. */
    Differs: NamespaceKind[];
  }[];
}

export interface NamespaceReport {
  /** Where the daemon itself is. */
  Host: Record<NamespaceKind, number>;
  Containers: ContainerNamespaces[];
}

/** What an audit of the configuration found (ours). */
export interface ConfigurationAudit {
  Time: string;
  /** How many containers were looked at. */
  Containers: number;
  /** The worst first. */
  Findings: {
    /** Of the check, such as "container.privileged". */
    Id: string;
    Severity: DriftSeverity;
    /** "" for the daemon and its host. */
    Container: string;
    Title: string;
    Evidence: string;
    Remedy: string;
  }[];
  /** Checks that found nothing. */
  Passed: string[];
}
