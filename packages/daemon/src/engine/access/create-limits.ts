// Whether a create stays within its caller's limits: every field of the request is judged here, by a table that the
// compiler keeps complete, so that a new field can't be forgotten.
import type {
  ContainerConfig,
  ContainerCreate,
  ExecCreate,
  HostConfig,
} from "../../api/schemas/container-create.ts";
import { containerCapabilities, defaultCapabilities } from "../../runtime/capabilities.ts";
import { type Caller, denied } from "./caller.ts";
import type { HostNamespace, Limits } from "./role.ts";

/** What is wrong with a field's value, or undefined. */
type Judge<T> = (value: T, limits: Limits) => string | undefined;
/** harmless: stays within the container, whatever its value; elsewhere: judged where binds and mounts are read (create.ts),
 * or by who may see what it names (registry, images). */
type Judgement<T> = "harmless" | "elsewhere" | Judge<T>;

const onlyPrivileged =
  <T>(isDefault: (value: T) => boolean): Judge<T> =>
  (value, limits) =>
    limits.privileged || isDefault(value) ? undefined : "needs a role that allows privileged containers";

const empty = (value: readonly unknown[] | object | null | undefined): boolean =>
  value === null || value === undefined || Object.keys(value).length === 0;

const namespace =
  (kind: HostNamespace): Judge<string> =>
  (mode, limits) =>
    mode !== "host" || limits.hostNamespaces.includes(kind) ? undefined : `the host's ${kind} namespace`;

const securityOption: Judge<unknown> = (_value, limits) =>
  limits.securityOptions ? undefined : "less protection than the default";

const harmlessOptions = new Set(["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"]);
/** Drivers that write nowhere but the container's own log, or the journal under its name. */
const ownLogs = new Set(["", "json-file", "local", "none", "journald"]);

const atMost =
  (unit: string, limitOf: (limits: Limits) => number | undefined): Judge<number | null> =>
  (value, limits) => {
    const most = limitOf(limits);
    if (most === undefined || (value !== null && value > 0 && value <= most)) return undefined;
    return `must be given, and at most ${most}${unit}`;
  };

const memory = atMost(" bytes", (limits) => limits.memory);
const processes = atMost("", (limits) => limits.pids);

const hostConfig: { [F in keyof Required<HostConfig>]: Judgement<HostConfig[F]> } = {
  Binds: "elsewhere",
  Mounts: "elsewhere", // and what a volume's options make of it
  VolumesFrom: "elsewhere",
  VolumeDriver: "harmless",
  Tmpfs: "harmless",
  ContainerIDFile: "harmless", // the client writes it
  Type: (type, limits) =>
    type !== "system" || limits.systemContainers ? undefined : "system containers are not allowed",
  LogConfig: ({ Type }, limits) =>
    ownLogs.has(Type) || limits.privileged
      ? undefined
      : `log driver ${Type} writes to where the request says`,
  NetworkMode: (mode, limits) =>
    mode.startsWith("device:")
      ? onlyPrivileged<string>(() => false)(mode, limits)
      : namespace("network")(mode, limits),
  NetworkShape: "harmless",
  // Between the daemon's and its own the stronger reaction holds, but for none at all.
  Defence: (value, limits) => (value === "off" ? securityOption(value, limits) : undefined),
  PidMode: namespace("pid"),
  IpcMode: namespace("ipc"),
  UTSMode: namespace("uts"),
  CgroupnsMode: namespace("cgroup"),
  // Ranges that are named could be anybody's.
  UsernsMode: (mode, limits) => namespace("user")(/^\d/.test(mode) ? "host" : mode, limits),
  TimeOffset: "harmless",
  CapAmbient: "harmless", // of those that it has
  PortBindings: "harmless",
  PublishAllPorts: "harmless",
  RestartPolicy: "harmless",
  AutoRemove: "harmless",
  ConsoleSize: "harmless",
  Annotations: "harmless",
  CapAdd: (add, limits) => {
    const allowed = new Set<string>([...defaultCapabilities, ...limits.capabilities]);
    const beyond = containerCapabilities({ privileged: false, add: add ?? [], drop: [] }).filter(
      (name) => !allowed.has(name),
    );
    return limits.privileged || beyond.length === 0 ? undefined : `capability ${beyond.join(", ")}`;
  },
  CapDrop: "harmless",
  Dns: "harmless",
  DnsOptions: "harmless",
  DnsSearch: "harmless",
  ExtraHosts: "harmless",
  GroupAdd: "harmless",
  Cgroup: onlyPrivileged((value) => value === ""),
  Links: "elsewhere",
  OomScoreAdj: onlyPrivileged((value) => value >= 0),
  Privileged: onlyPrivileged((value) => !value),
  ReadonlyRootfs: "harmless",
  SecurityOpt: (list, limits) =>
    (list ?? []).every((option) => harmlessOptions.has(option) || option.startsWith("landlock="))
      ? undefined
      : securityOption(list, limits),
  SeccompTrace: "harmless",
  StorageOpt: "harmless",
  ShmSize: "harmless",
  Sysctls: "harmless", // only those of the container's own namespaces are taken at all
  // Another runtime is a program that runs as root, and its containers have the host's user namespace.
  Runtime: onlyPrivileged((value) => ["", "tsd"].includes(value)),
  Isolation: "harmless",
  CpuShares: "harmless",
  Memory: memory,
  NanoCpus: (value, limits) => {
    const most = limits.cpus;
    if (most === undefined || (value > 0 && value <= most * 1e9)) return undefined;
    return `must be given, and at most ${most} processors (--cpus)`;
  },
  CgroupParent: onlyPrivileged((value) => value === ""),
  BlkioWeight: "harmless",
  BlkioWeightDevice: "harmless",
  BlkioDeviceReadBps: "harmless",
  BlkioDeviceWriteBps: "harmless",
  BlkioDeviceReadIOps: "harmless",
  BlkioDeviceWriteIOps: "harmless",
  CpuPeriod: "harmless", // goes with CpuQuota only, which --cpus excludes
  CpuQuota: "harmless",
  CpuRealtimePeriod: onlyPrivileged((value) => value === 0),
  CpuRealtimeRuntime: onlyPrivileged((value) => value === 0),
  CpusetCpus: "harmless",
  CpusetMems: "harmless",
  Devices: (devices, limits) => {
    const beyond = (devices ?? []).filter(({ PathOnHost }) => !limits.devices.includes(PathOnHost));
    return beyond.length === 0 || limits.privileged ? undefined : `device ${beyond[0]?.PathOnHost}`;
  },
  DeviceCgroupRules: onlyPrivileged(empty),
  DeviceRequests: onlyPrivileged(empty),
  KernelMemory: "harmless",
  KernelMemoryTCP: "harmless",
  MemoryReservation: "harmless",
  MemorySwap: (value, limits) =>
    limits.memory === undefined || (value >= 0 && value <= 2 * limits.memory)
      ? undefined
      : `at most ${2 * limits.memory} bytes`,
  MemorySwappiness: "harmless",
  OomKillDisable: onlyPrivileged((value) => !value),
  PidsLimit: processes,
  Ulimits: "harmless",
  HugetlbLimits: "harmless",
  // What the host's own rules for its traffic make of them is not the container's to choose.
  NetClassId: onlyPrivileged((value) => !value),
  NetPriorities: onlyPrivileged(empty),
  Init: "harmless",
  CpuCount: "harmless",
  CpuPercent: "harmless",
  IOMaximumIOps: "harmless",
  IOMaximumBandwidth: "harmless",
  // What is given replaces the defaults: each of them would have to be there.
  MaskedPaths: (paths, limits) =>
    paths === null || paths === undefined ? undefined : securityOption(paths, limits),
  ReadonlyPaths: (paths, limits) =>
    paths === null || paths === undefined ? undefined : securityOption(paths, limits),
};

const config: {
  [F in keyof Required<ContainerConfig>]: Judgement<ContainerConfig[F]>;
} = {
  Hostname: "harmless",
  Domainname: "harmless",
  User: "harmless",
  AttachStdin: "harmless",
  AttachStdout: "harmless",
  AttachStderr: "harmless",
  ExposedPorts: "harmless",
  Tty: "harmless",
  OpenStdin: "harmless",
  StdinOnce: "harmless",
  Env: "harmless",
  Cmd: "harmless",
  Healthcheck: "harmless",
  ArgsEscaped: "harmless",
  Image: "elsewhere",
  Volumes: "harmless", // anonymous ones
  WorkingDir: "harmless",
  Entrypoint: "harmless",
  NetworkDisabled: "harmless",
  MacAddress: "harmless",
  OnBuild: "harmless",
  Labels: (labels, limits) => {
    const missing = Object.entries(limits.labels).find(([name, value]) => labels[name] !== value);
    return missing && `must carry ${missing[0]}=${missing[1]}`;
  },
  StopSignal: "harmless",
  StopTimeout: "harmless",
  Shell: "harmless",
};

function judge<T extends object>(
  table: { [F in keyof T]: Judgement<T[F]> },
  values: T,
  where: string,
  caller: Caller,
  limits: Limits,
  only: (field: string) => boolean = () => true,
): void {
  for (const field of Object.keys(table) as (keyof T & string)[]) {
    const judgement = table[field];
    if (typeof judgement !== "function" || !only(field)) continue;
    const problem = judgement(values[field], limits);
    if (problem) throw denied(caller, `${where}${field}: ${problem}`);
  }
}

/** Throws for the first field that asks for more than the caller's role allows. */
export function checkCreate(caller: Caller, request: ContainerCreate): void {
  const limits = caller.role?.limits;
  if (!limits) {
    if (caller.role) return;
    throw denied(caller, "anything");
  }
  judge<ContainerConfig>(config, request, "", caller, limits);
  judge<HostConfig>(hostConfig, request.HostConfig, "HostConfig.", caller, limits);
  // A network may be named here instead.
  for (const network of Object.keys(request.NetworkingConfig.EndpointsConfig)) {
    const problem = namespace("network")(network, limits);
    if (problem) throw denied(caller, `NetworkingConfig.EndpointsConfig: ${problem}`);
  }
  if (limits.cpus !== undefined && request.HostConfig.CpuQuota !== 0)
    throw denied(caller, "HostConfig.CpuQuota: give NanoCpus (--cpus) instead");
}

/** Throws when an update gives a container more than a create could have; `changed` are the fields that it sets. */
export function checkUpdate(caller: Caller, result: HostConfig, changed: readonly string[]): void {
  const limits = caller.role?.limits;
  if (!limits) return;
  judge<HostConfig>(hostConfig, result, "", caller, limits, (field) => changed.includes(field));
  if (limits.cpus !== undefined && changed.includes("CpuQuota"))
    throw denied(caller, "CpuQuota: give NanoCpus (--cpus) instead");
}

/** Throws for an exec with more than its container may have. */
export function checkExec(caller: Caller, request: ExecCreate): void {
  const limits = caller.role?.limits;
  if (limits && request.Privileged && !limits.privileged)
    throw denied(caller, "Privileged: a privileged exec");
}

/** The fields of a create that reach beyond the container, or that limit it: what the audit record tells of it. */
export function reaching(request: ContainerCreate): Record<string, unknown> {
  const { HostConfig } = request;
  const judged = (Object.keys(hostConfig) as (keyof HostConfig)[]).filter(
    (field) => hostConfig[field] !== "harmless" && field !== "LogConfig",
  );
  return Object.fromEntries(
    judged.flatMap((field) => {
      const value = HostConfig[field];
      const says = typeof value === "object" ? !empty(value) : Boolean(value);
      return says ? [[field, value] as const] : [];
    }),
  );
}
