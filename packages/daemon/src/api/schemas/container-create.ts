// The body of POST /containers/create: every field of API v1.51, its type and its default. Go's clients send null for
// what they leave out, so null means the default everywhere; where inspect shows a null that is not an empty list, it stays null.
import { z } from "zod";
import { reactions } from "../defence.ts";

export const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
export const flag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false);
const integer = z
  .int()
  .nullish()
  .transform((value) => value ?? 0);
const optionalInteger = z
  .int()
  .nullish()
  .transform((value) => value ?? null);
const strings = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? null);
export const texts = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});
/** As texts, where it is shown whether anything was said of them. */
export const optionalTexts = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? null);
const keys = z
  .record(z.string(), z.looseObject({}))
  .nullish()
  .transform((value) => value ?? null);
/** A command: a list, or one string for a list of one, as Docker's strslice reads it. */
const words = z
  .union([z.array(z.string()), z.string().transform((word) => [word])])
  .nullish()
  .transform((value) => value ?? null);

/** Rates of block devices. */
const throttles = z
  .array(z.object({ Path: text, Rate: integer }))
  .nullish()
  .transform((value) => value ?? null);

const healthcheck = z
  .looseObject({
    Test: strings,
    Interval: integer,
    Timeout: integer,
    StartPeriod: integer,
    StartInterval: integer,
    Retries: integer,
    /** Ours: what is done to a container that has become unhealthy: none, restart, stop, kill. */
    OnFailure: text,
  })
  .nullish();

const config = {
  Hostname: text,
  Domainname: text,
  User: text,
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  ExposedPorts: keys,
  Tty: flag,
  OpenStdin: flag,
  StdinOnce: flag,
  Env: strings,
  Cmd: words,
  Healthcheck: healthcheck,
  ArgsEscaped: flag,
  Image: text,
  Volumes: keys,
  WorkingDir: text,
  Entrypoint: words,
  NetworkDisabled: flag,
  MacAddress: text,
  OnBuild: strings,
  Labels: texts,
  StopSignal: text,
  StopTimeout: optionalInteger,
  Shell: strings,
};

/** Where ports are to be published, by "80/tcp". */
export const portBindingsSchema = z
  .record(z.string(), z.array(z.object({ HostIp: text, HostPort: text })).nullable())
  .nullish()
  .transform((value) => value ?? null);

const mount = z.looseObject({
  Type: text,
  Source: text,
  Target: text,
  ReadOnly: flag,
  Consistency: text,
  BindOptions: z
    .looseObject({
      Propagation: text,
      NonRecursive: flag,
      CreateMountpoint: flag,
      ReadOnlyNonRecursive: flag,
      ReadOnlyForceRecursive: flag,
    })
    .nullish(),
  VolumeOptions: z
    .looseObject({
      NoCopy: flag,
      Labels: optionalTexts,
      Subpath: text,
      DriverConfig: z.looseObject({ Name: text, Options: optionalTexts }).nullish(),
    })
    .nullish(),
  ImageOptions: z.looseObject({ Subpath: text }).nullish(),
  TmpfsOptions: z
    .looseObject({ SizeBytes: integer, Mode: integer, Options: z.array(z.array(z.string())).nullish() })
    .nullish(),
});
export type MountRequest = z.output<typeof mount>;

const bothWays = z
  .object({ Out: integer, In: integer })
  .nullish()
  .transform((value) => value ?? { Out: 0, In: 0 });
const rate = z
  .object({ Rate: integer, Burst: integer, Ceiling: integer })
  .nullish()
  .transform((value) => value ?? { Rate: 0, Burst: 0, Ceiling: 0 });
/** Ours: how the container's traffic is shaped. Rates and ceilings (what a burst goes at) in bits per second,
 * bursts in bytes; 0 is no limit. */
const networkShape = z.object({
  Out: rate,
  In: rate,
  Classes: z
    .array(
      z.object({
        Name: text,
        Direction: text,
        Protocol: text,
        /** "80", "8000-8100", "20;21". */
        Ports: text,
        Rate: integer,
        Ceiling: integer,
        Priority: integer,
      }),
    )
    .nullish()
    .transform((value) => value ?? []),
  PacketsPerSecond: bothWays,
  ConnectionsPerSecond: bothWays,
});
export type NetworkShape = z.output<typeof networkShape>;

export const hostConfigSchema = z.object({
  Binds: strings,
  ContainerIDFile: text,
  /** Ours: "application", or "system" for a whole small system with an init of its own. */
  Type: text,
  LogConfig: z
    .object({ Type: text, Config: texts })
    .nullish()
    .transform((value) => value ?? { Type: "", Config: {} }),
  NetworkMode: text,
  NetworkShape: networkShape.nullish().transform((value) => value ?? null),
  /** "" for what the daemon does by default (--defence). Ours. */
  Defence: z
    .enum(["", ...reactions])
    .nullish()
    .transform((value) => value ?? ""),
  PortBindings: portBindingsSchema,
  RestartPolicy: z
    .object({ Name: text, MaximumRetryCount: integer })
    .nullish()
    .transform((value) => value ?? { Name: "", MaximumRetryCount: 0 }),
  AutoRemove: flag,
  VolumeDriver: text,
  VolumesFrom: strings,
  Mounts: z
    .array(mount)
    .nullish()
    .transform((value) => value ?? []),
  ConsoleSize: z
    .array(z.int())
    .length(2)
    .nullish()
    .transform((value) => value ?? [0, 0]),
  Annotations: texts,
  CapAdd: strings,
  CapDrop: strings,
  CgroupnsMode: text,
  Dns: strings,
  DnsOptions: strings,
  DnsSearch: strings,
  ExtraHosts: strings,
  GroupAdd: strings,
  IpcMode: text,
  Cgroup: text,
  Links: strings,
  OomScoreAdj: integer,
  PidMode: text,
  Privileged: flag,
  PublishAllPorts: flag,
  ReadonlyRootfs: flag,
  SecurityOpt: strings,
  /** Ours: the calls that its processes make are recorded. */
  SeccompTrace: flag,
  StorageOpt: texts,
  Tmpfs: texts,
  UTSMode: text,
  /** "", host, and ours: auto, keep-id, container:NAME, CONTAINER-ID:HOST-ID:LENGTH,… */
  UsernsMode: text,
  /** Ours: seconds that the container's monotonic and boot-time clocks are ahead. */
  TimeOffset: z
    .object({ Monotonic: integer, Boottime: integer })
    .nullish()
    .transform((value) => value ?? null),
  /** Ours: capabilities that a user who is not root has from the start, and keeps over execve. */
  CapAmbient: strings,
  ShmSize: integer,
  Sysctls: texts,
  Runtime: text,
  Isolation: text,
  CpuShares: integer,
  Memory: integer,
  NanoCpus: integer,
  CgroupParent: text,
  BlkioWeight: integer,
  BlkioWeightDevice: z
    .array(z.object({ Path: text, Weight: integer }))
    .nullish()
    .transform((value) => value ?? null),
  BlkioDeviceReadBps: throttles,
  BlkioDeviceWriteBps: throttles,
  BlkioDeviceReadIOps: throttles,
  BlkioDeviceWriteIOps: throttles,
  CpuPeriod: integer,
  CpuQuota: integer,
  CpuRealtimePeriod: integer,
  CpuRealtimeRuntime: integer,
  CpusetCpus: text,
  CpusetMems: text,
  Devices: z
    .array(z.object({ PathOnHost: text, PathInContainer: text, CgroupPermissions: text }))
    .nullish()
    .transform((value) => value ?? null),
  DeviceCgroupRules: strings,
  DeviceRequests: z
    .array(
      z.object({
        Driver: text,
        Count: integer,
        DeviceIDs: strings,
        Capabilities: z
          .array(z.array(z.string()))
          .nullish()
          .transform((value) => value ?? null),
        Options: z
          .record(z.string(), z.string())
          .nullish()
          .transform((value) => value ?? null),
      }),
    )
    .nullish()
    .transform((value) => value ?? null),
  KernelMemory: integer,
  KernelMemoryTCP: integer,
  MemoryReservation: integer,
  MemorySwap: integer,
  MemorySwappiness: optionalInteger,
  OomKillDisable: flag,
  PidsLimit: optionalInteger,
  Ulimits: z
    .array(z.object({ Name: text, Soft: integer, Hard: integer }))
    .nullish()
    .transform((value) => value ?? null),
  /** Ours: bytes of huge pages of a size ("2MB") that may be in use. */
  HugetlbLimits: z
    .array(z.object({ PageSize: z.string(), Limit: z.int() }))
    .nullish()
    .transform((value) => value ?? null),
  /** Ours: the class of its packets for traffic control; 0 for none. */
  NetClassId: integer,
  /** Ours: the priority of its packets on the host's interfaces. */
  NetPriorities: z
    .array(z.object({ Name: z.string(), Priority: z.int() }))
    .nullish()
    .transform((value) => value ?? null),
  Init: z
    .boolean()
    .nullish()
    .transform((value) => value ?? null),
  CpuCount: integer,
  CpuPercent: integer,
  IOMaximumIOps: integer,
  IOMaximumBandwidth: integer,
  MaskedPaths: z.array(z.string()).nullish(),
  ReadonlyPaths: z.array(z.string()).nullish(),
});

/** The body of POST /containers/{id}/update: what is missing, 0 or "" stays as it is. */
export const containerUpdateSchema = hostConfigSchema
  .pick({
    CpuShares: true,
    Memory: true,
    NanoCpus: true,
    CpuPeriod: true,
    CpuQuota: true,
    CpusetCpus: true,
    CpusetMems: true,
    MemoryReservation: true,
    MemorySwap: true,
    PidsLimit: true,
    MemorySwappiness: true,
    BlkioWeight: true,
    BlkioWeightDevice: true,
    BlkioDeviceReadBps: true,
    BlkioDeviceWriteBps: true,
    BlkioDeviceReadIOps: true,
    BlkioDeviceWriteIOps: true,
    KernelMemory: true,
    KernelMemoryTCP: true,
    CpuRealtimePeriod: true,
    CpuRealtimeRuntime: true,
    DeviceCgroupRules: true,
    HugetlbLimits: true,
    NetClassId: true,
    NetPriorities: true,
    StorageOpt: true,
    NetworkShape: true,
  })
  .extend({ RestartPolicy: z.object({ Name: text, MaximumRetryCount: integer }).nullish() });
export type ContainerUpdate = z.output<typeof containerUpdateSchema>;

/** What is asked of one network for a container; what only answers hold is taken and forgotten. */
export const endpointSchema = z.object({
  IPAMConfig: z
    .object({ IPv4Address: text, IPv6Address: text, LinkLocalIPs: strings })
    .nullish()
    .transform((value) => value ?? null),
  Links: strings,
  Aliases: strings,
  MacAddress: text,
  DriverOpts: z
    .record(z.string(), z.string())
    .nullish()
    .transform((value) => value ?? null),
  GwPriority: integer,
});
export type EndpointRequest = z.output<typeof endpointSchema>;

export const configSchema = z.object(config);
export const containerCreateSchema = z.object({
  ...config,
  HostConfig: hostConfigSchema.nullish().transform((value) => value ?? hostConfigSchema.parse({})),
  NetworkingConfig: z
    .object({
      EndpointsConfig: z
        .record(z.string(), endpointSchema.nullable())
        .nullish()
        .transform((value) => value ?? {}),
    })
    .nullish()
    .transform((value) => value ?? { EndpointsConfig: {} }),
});

/** A container's configuration, complete: what the request said and the defaults. */
export type ContainerConfig = z.output<typeof configSchema>;
export type HostConfig = z.output<typeof hostConfigSchema>;
export type ContainerCreate = z.output<typeof containerCreateSchema>;

export const execCreateSchema = z.object({
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  ConsoleSize: z
    .array(z.int())
    .length(2)
    .nullish()
    .transform((value) => value ?? null),
  DetachKeys: text,
  Tty: flag,
  Env: strings,
  Cmd: words,
  Privileged: flag,
  User: text,
  WorkingDir: text,
});
export type ExecCreate = z.output<typeof execCreateSchema>;

export const execStartSchema = z
  .object({ Detach: flag, Tty: flag, ConsoleSize: z.array(z.int()).length(2).nullish() })
  .nullish()
  .transform((value) => value ?? { Detach: false, Tty: false });
