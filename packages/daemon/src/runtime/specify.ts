// From a container's configuration, and what the engine decided for it, to the specification its plan is made from.
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { BlockThrottle, CgroupLimits, DeviceRule, Step } from "@tsd/kernel-bindings";
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, RLIM_INFINITY, rlimits } from "@tsd/kernel-bindings";
import type { ContainerConfig, ExecCreate, HostConfig } from "../api/schemas/container-create.ts";
import { ambientCapabilities, containerCapabilities } from "./capabilities.ts";
import { requestedEdits } from "./cdi.ts";
import { blockDevice, defaultDeviceRules, hostDevices, requestedDevices } from "./devices.ts";
import { SpecificationError } from "./errors.ts";
import { landlockStep } from "./landlock.ts";
import { lxcfsFiles } from "./lxcfs.ts";
import { type BindSpec, plainBind } from "./mounts.ts";
import { checkRealtimeShare, positive, rareLimits } from "./rare-controllers.ts";
import type { ContainerPlaces, Runtime } from "./runtime.ts";
import { parseSecurityOptions } from "./security.ts";
import type {
  CapabilitySets,
  ContainerSpec,
  DeviceSpec,
  ExecSpec,
  InterfaceSpec,
  LogForwardSpec,
  LogSpec,
  MountSpec,
  NamespaceChoices,
  ProcessSpec,
  RlimitSpec,
} from "./spec.ts";
import type { ResolvedUser } from "./user.ts";
import { checkUser, hostGroup, hostUser, lastGroup } from "./user-namespace.ts";

/** A container as the engine hands it over. */
export interface ContainerInput {
  id: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  command: readonly string[];
  layers: readonly string[];
  /** The directory with its diff and work. */
  layer: string;
  places: ContainerPlaces;
  user: ResolvedUser;
  namespaces: NamespaceChoices;
  interfaces: readonly InterfaceSpec[];
  nameServer?: ContainerSpec["nameServer"];
  mounts: readonly MountSpec[];
  files: readonly { source: string; target: string }[];
  log: LogSpec | undefined;
  forward: LogForwardSpec | undefined;
  labels: SecurityLabels;
  /** Steps that label what is bound into it. */
  relabel: readonly Step[];
  /** Where the trace of its calls goes, where they are traced. */
  trace: string | undefined;
}

/** What security modules know a container by; "" for none. */
export interface SecurityLabels {
  process: string;
  mount: string;
  appArmor: string;
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Later settings of a variable replace earlier ones in their place; a name without a value takes it away. */
export function mergeEnvironment(...lists: readonly (readonly string[])[]): string[] {
  const variables = new Map<string, string>();
  for (const entry of lists.flat()) {
    const at = entry.indexOf("=");
    if (at < 0) variables.delete(entry);
    else variables.set(entry.slice(0, at), entry);
  }
  return [...variables.values()];
}

/** What the process finds in its environment: the defaults, then what was asked for, then its home. */
export function processEnvironment(
  asked: readonly string[],
  facts: { hostname: string; terminal: boolean; home: string | undefined },
): string[] {
  const defaults = [defaultPath, `HOSTNAME=${facts.hostname}`, ...(facts.terminal ? ["TERM=xterm"] : [])];
  const merged = mergeEnvironment(defaults, asked);
  return merged.some((entry) => entry.startsWith("HOME="))
    ? merged
    : [...merged, `HOME=${facts.home || "/"}`];
}

/** The throttles a request asks for, one for each device, direction and unit. */
function throttles(host: HostConfig): BlockThrottle[] {
  const kinds = [
    [host.BlkioDeviceReadBps, "read", "bps"],
    [host.BlkioDeviceWriteBps, "write", "bps"],
    [host.BlkioDeviceReadIOps, "read", "iops"],
    [host.BlkioDeviceWriteIOps, "write", "iops"],
  ] as const;
  return kinds.flatMap(([list, direction, unit]) =>
    (list ?? []).map(
      ({ Path, Rate }): BlockThrottle => ({ ...blockDevice(Path), direction, unit, rate: Rate }),
    ),
  );
}

/** Docker's resource fields as limits of a control group. */
export function cgroupLimits(host: HostConfig): CgroupLimits {
  const period = host.NanoCpus ? 100_000 : positive(host.CpuPeriod);
  return {
    memory: positive(host.Memory),
    memorySwap: host.MemorySwap === -1 ? -1 : positive(host.MemorySwap),
    memoryReservation: positive(host.MemoryReservation),
    memorySwappiness:
      host.MemorySwappiness !== null && host.MemorySwappiness >= 0 ? host.MemorySwappiness : undefined,
    oomKillDisable: host.OomKillDisable,
    cpuShares: positive(host.CpuShares),
    cpuPeriod: period,
    cpuQuota: host.NanoCpus ? Math.round((host.NanoCpus * 100_000) / 1e9) : host.CpuQuota || undefined,
    cpusetCpus: host.CpusetCpus || undefined,
    cpusetMems: host.CpusetMems || undefined,
    tcpMemory: positive(host.KernelMemoryTCP),
    blockWeight: positive(host.BlkioWeight),
    blockWeights: (host.BlkioWeightDevice ?? []).map(({ Path, Weight }) => ({
      ...blockDevice(Path),
      weight: Weight,
    })),
    blockThrottles: throttles(host),
    ...rareLimits(host),
    // What an update leaves of a limit is 0.
    pids: host.PidsLimit === null ? undefined : host.PidsLimit > 0 ? host.PidsLimit : NO_LIMIT,
  };
}

const NO_LIMIT = -1;

/** A container's own limits, and that of processes where it has none. */
function containerLimits(host: HostConfig, defaultPids: number | undefined): CgroupLimits {
  const limits = cgroupLimits(host);
  return { ...limits, pids: limits.pids ?? defaultPids };
}

/** What a container may do with devices: what all may, what its own devices take, and its own rules. */
export function deviceRules(host: HostConfig, cdiDirectories: readonly string[]): DeviceRule[] | "all" {
  if (host.Privileged) return "all";
  const named = requestedEdits(host.DeviceRequests ?? [], cdiDirectories);
  const asked = requestedDevices(host.Devices ?? []);
  return [...defaultDeviceRules, ...asked.rules, ...named.rules, ...(host.DeviceCgroupRules ?? [])];
}

/** The limits of the container's processes: its own, and the daemon's for what it says nothing of. */
function ulimits(host: HostConfig, defaults: Runtime["settings"]["defaults"]["ulimits"]): RlimitSpec[] {
  const limit = (value: number): bigint => (value < 0 ? RLIM_INFINITY : BigInt(value));
  const own = new Set((host.Ulimits ?? []).map(({ Name }) => Name.toLowerCase()));
  const inherited = defaults.filter(({ Name }) => !own.has(Name));
  return [...inherited, ...(host.Ulimits ?? [])].map(({ Name, Soft, Hard }, index) => {
    const resource = (rlimits as Readonly<Record<string, number>>)[Name.toLowerCase()];
    if (resource === undefined) throw new SpecificationError("invalid", `invalid ulimit type: ${Name}`);
    if (Hard >= 0 && (Soft < 0 || Soft > Hard))
      throw new SpecificationError(
        "invalid",
        `ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`,
      );
    return { resource, soft: limit(Soft), hard: limit(Hard), tolerated: index < inherited.length };
  });
}

/** A process of uid 0 has its capabilities at once; another's come from files it executes, within the bounding set. */
function capabilitySets(host: {
  Type: string;
  Privileged: boolean;
  CapAdd: readonly string[] | null;
  CapDrop: readonly string[] | null;
  CapAmbient?: readonly string[] | null | undefined;
}): CapabilitySets {
  // An init ends its system by reboot(2), which in a PID namespace ends only that.
  const own = host.Type === "system" ? ["SYS_BOOT"] : [];
  const granted = containerCapabilities({
    privileged: host.Privileged,
    add: [...own, ...(host.CapAdd ?? [])],
    drop: host.CapDrop ?? [],
  });
  const ambient = ambientCapabilities(host.CapAmbient ?? [], granted);
  return { bounding: granted, effective: granted, permitted: granted, inheritable: ambient, ambient };
}

/** Everything about the process of a container, or of an exec with its own user, environment and so on. */
function processSpec(
  runtime: Runtime,
  host: HostConfig,
  own: {
    arguments: readonly string[];
    environment: readonly string[];
    workingDirectory: string;
    user: ResolvedUser;
    privileged: boolean;
    labels: SecurityLabels;
    traced: boolean;
  },
): ProcessSpec {
  const security = parseSecurityOptions(host.SecurityOpt ?? [], own.privileged);
  const capabilities = capabilitySets({ ...host, Privileged: own.privileged });
  return {
    arguments: own.arguments,
    environment: own.environment,
    workingDirectory: own.workingDirectory,
    user: own.user,
    capabilities,
    seccomp: runtime.seccomp.filter(security.seccomp, capabilities.bounding),
    noNewPrivileges: security.noNewPrivileges,
    traced: own.traced,
    landlock: security.landlock && landlockStep(security.landlock, runtime.modules.landlock),
    labels: { selinux: own.labels.process, appArmor: own.labels.appArmor },
    rlimits: ulimits(host, runtime.settings.defaults.ulimits),
    oomScoreAdj: host.OomScoreAdj ? { value: host.OomScoreAdj, tolerated: false } : undefined,
  };
}

/** What an init expects to be empty at its start. */
function withSystemMounts(mounts: readonly MountSpec[]): MountSpec[] {
  const taken = new Set(mounts.map(({ target }) => target));
  const wanted: [target: string, mode: string][] = [
    ["/run", "mode=755"],
    ["/run/lock", "mode=1777"],
    ["/tmp", "mode=1777"],
  ];
  const own = wanted
    .filter(([target]) => !taken.has(target))
    .map(
      ([target, mode]): MountSpec => ({
        type: "tmpfs",
        target,
        options: [mode],
        attributes: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
      }),
    );
  return [...own, ...mounts];
}

/** Everybody may use low ports and ping: a container's network is its own. */
const defaultSysctls = ({ network, user }: NamespaceChoices): Record<string, string> =>
  network.kind === "private"
    ? {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": `0 ${lastGroup(user)}`,
      }
    : {};

const inDev = ({ path }: DeviceSpec): boolean => path.startsWith("/dev/");

/** File systems of namespaces that belong to another user namespace can't be mounted in one of the container's own: there it gets
 * the host's. */
function foreignFilesystems(namespaces: NamespaceChoices, privileged: boolean): MountSpec[] {
  if (namespaces.user.kind === "host") return [];
  const readOnly = !privileged;
  const view = (kind: "pid" | "network" | "cgroup" | "ipc", target: string, more: Partial<BindSpec> = {}) =>
    namespaces[kind].kind === "host" ? [plainBind(target, target, { recursive: true, ...more })] : [];
  return [
    ...view("pid", "/proc"),
    ...view("network", "/sys", { readOnly, readOnlyRecursive: readOnly }),
    ...view("cgroup", "/sys/fs/cgroup", { readOnly, readOnlyRecursive: readOnly }),
    ...(existsSync("/dev/mqueue") ? view("ipc", "/dev/mqueue") : []),
  ];
}

export function specifyContainer(runtime: Runtime, input: ContainerInput): ContainerSpec {
  const { config, hostConfig: host, places } = input;
  const security = parseSecurityOptions(host.SecurityOpt ?? [], host.Privileged);
  const asked = requestedDevices(host.Devices ?? []);
  const named = requestedEdits(host.DeviceRequests ?? [], runtime.settings.cdiDirectories);
  const hostname = config.Hostname;
  const devices = [...(host.Privileged ? hostDevices() : asked.devices), ...named.devices];
  const { user } = input.namespaces;
  checkUser(user, input.user);
  if (host.CpuRealtimeRuntime > 0)
    checkRealtimeShare(host, runtime.cgroups.realtimeBelow(dirname(places.cgroup)));
  const mounts = [
    ...input.mounts,
    ...named.mounts,
    // label=nested: it sees SELinux, and may label its volumes as far as the policy lets it.
    ...(security.labels.includes("nested") && input.labels.mount
      ? [plainBind("/sys/fs/selinux", "/sys/fs/selinux")]
      : []),
    ...devices.filter((device) => !inDev(device)).map(({ source, path }) => plainBind(source, path)),
    ...foreignFilesystems(input.namespaces, host.Privileged),
  ];
  return {
    id: input.id,
    socket: places.socket,
    exitRecord: places.exitRecord,
    log: input.log,
    forward: input.forward,
    streams: {
      terminal: config.Tty,
      openStdin: config.OpenStdin,
      stdinOnce: config.StdinOnce,
      rows: host.ConsoleSize[0] ?? 0,
      columns: host.ConsoleSize[1] ?? 0,
    },
    namespaces: input.namespaces,
    hostname,
    domainname: config.Domainname,
    cgroups: runtime.cgroups,
    cgroup: places.cgroup,
    limits: containerLimits(host, runtime.settings.defaults.pids),
    deviceRules: deviceRules(host, runtime.settings.cdiDirectories),
    subtree:
      host.Type === "system"
        ? runtime.cgroups.subtree(places.cgroup, { uid: hostUser(user, 0), gid: hostGroup(user, 0) })
        : undefined,
    interfaces: input.interfaces,
    nameServer: input.nameServer,
    root: {
      staging: runtime.staging,
      layers: input.layers,
      base: input.layer,
      readOnly: host.ReadonlyRootfs,
    },
    files: input.files,
    views: lxcfsFiles(runtime.modules.lxcfs),
    mountLabel: input.labels.mount,
    relabel: input.relabel,
    trace: input.trace,
    mounts: host.Type === "system" ? withSystemMounts(mounts) : mounts,
    devices: devices.filter(inDev),
    // Who has no IPC has no shared memory either.
    shmSize: host.IpcMode === "none" ? undefined : host.ShmSize,
    privileged: host.Privileged,
    maskedPaths: security.unconfinedPaths ? [] : (host.MaskedPaths ?? []),
    readonlyPaths: security.unconfinedPaths ? [] : (host.ReadonlyPaths ?? []),
    sysctls: { ...defaultSysctls(input.namespaces), ...host.Sysctls },
    init: host.Init ? runtime.settings.initPath : undefined,
    hooks: Object.values(named.hooks).some((hooks) => hooks.length > 0)
      ? { asked: named.hooks, bundle: places.bundle }
      : undefined,
    process: processSpec(runtime, host, {
      arguments: input.command,
      environment: processEnvironment([...(config.Env ?? []), ...named.environment], {
        hostname,
        terminal: config.Tty,
        home: input.user.home,
      }),
      workingDirectory: config.WorkingDir || "/",
      user: input.user,
      privileged: host.Privileged,
      labels: input.labels,
      traced: input.trace !== undefined,
    }),
  };
}

/** An exec as the engine hands it over. */
export interface ExecInput {
  id: string;
  request: ExecCreate;
  pid: number;
  namespaces: ExecSpec["namespaces"];
  config: ContainerConfig;
  hostConfig: HostConfig;
  places: ContainerPlaces;
  user: ResolvedUser;
  socket: string;
  exitRecord: string;
  labels: SecurityLabels;
}

export function specifyExec(runtime: Runtime, input: ExecInput): ExecSpec {
  const { request, config, hostConfig: host } = input;
  checkUser(input.namespaces.user, input.user);
  const [rows = 0, columns = 0] = request.ConsoleSize ?? [];
  return {
    id: input.id,
    socket: input.socket,
    exitRecord: input.exitRecord,
    streams: { terminal: request.Tty, openStdin: request.AttachStdin, stdinOnce: true, rows, columns },
    pid: input.pid,
    namespaces: input.namespaces,
    cgroups: runtime.cgroups,
    cgroup: input.places.cgroup,
    enter:
      host.Type === "system"
        ? runtime.cgroups.subtree(input.places.cgroup, { uid: 0, gid: 0 })?.join(input.pid)
        : undefined,
    process: processSpec(runtime, host, {
      arguments: request.Cmd ?? [],
      environment: processEnvironment(mergeEnvironment(config.Env ?? [], request.Env ?? []), {
        hostname: config.Hostname,
        terminal: request.Tty,
        home: input.user.home,
      }),
      workingDirectory: request.WorkingDir || config.WorkingDir || "/",
      user: input.user,
      privileged: request.Privileged || host.Privileged,
      labels: input.labels,
      traced: false,
    }),
  };
}
