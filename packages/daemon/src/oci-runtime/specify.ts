// From a bundle's configuration to the specification that our plans are made from. Throws for what is not taken.
import { isAbsolute, resolve } from "node:path";
import {
  type CapabilityName,
  type CgroupLimits,
  type Cgroups,
  capabilityNames,
  compileSeccomp,
  type DeviceRule,
  rlimits,
} from "@tsd/kernel-bindings";
import type { OciConfig, OciDeviceRule, OciLinux, OciProcess, OciResources } from "../api/oci-config.ts";
import { defaultDeviceRules } from "../runtime/devices.ts";
import { seccompFlags } from "../runtime/seccomp/profile.ts";
import type {
  ContainerSpec,
  DeviceSpec,
  NamespaceChoice,
  NamespaceChoices,
  ProcessSpec,
  StreamsSpec,
} from "../runtime/spec.ts";
import type { IdRange, UserNamespaceChoice } from "../runtime/user-namespace.ts";

export class BundleError extends Error {}

const ranges = (mappings: OciLinux["uidMappings"]): IdRange[] =>
  (mappings ?? []).map(({ containerID, hostID, size }) => ({ container: containerID, host: hostID, size }));

function user(linux: OciLinux): UserNamespaceChoice {
  const entry = linux.namespaces?.find(({ type }) => type === "user");
  if (!entry) return { kind: "host" };
  const maps = { uids: ranges(linux.uidMappings), gids: ranges(linux.gidMappings) };
  if (maps.uids.length === 0 || maps.gids.length === 0)
    throw new BundleError("linux.uidMappings, linux.gidMappings: a user namespace needs both");
  return entry.path ? { kind: "join", path: entry.path, maps } : { kind: "private", maps };
}

function namespaces(linux: OciLinux): NamespaceChoices {
  const listed = new Map((linux.namespaces ?? []).map((entry) => [entry.type, entry]));
  const mount = listed.get("mount");
  if (!mount || mount.path) throw new BundleError("linux.namespaces: a mount namespace of its own is needed");
  const choice = (type: string): NamespaceChoice => {
    const entry = listed.get(type);
    if (!entry) return { kind: "host" };
    return entry.path ? { kind: "join", path: entry.path } : { kind: "private" };
  };
  const offsets = linux.timeOffsets;
  return {
    user: user(linux),
    pid: choice("pid"),
    ipc: choice("ipc"),
    uts: choice("uts"),
    network: choice("network"),
    cgroup: choice("cgroup"),
    time: listed.has("time")
      ? { monotonic: offsets?.monotonic?.secs ?? 0, boottime: offsets?.boottime?.secs ?? 0 }
      : undefined,
  };
}

const isCapability = (name: string): name is CapabilityName =>
  (capabilityNames as readonly string[]).includes(name);
const capabilities = (names: readonly string[] | undefined): CapabilityName[] =>
  (names ?? []).map((name) => name.replace(/^CAP_/, "")).filter(isCapability);

/** A process's streams: its own program's, with a terminal of the size that was asked for. */
export const streamsOf = ({ terminal, consoleSize }: OciProcess): StreamsSpec => ({
  terminal: terminal ?? false,
  openStdin: true,
  stdinOnce: false,
  columns: consoleSize?.width ?? 0,
  rows: consoleSize?.height ?? 0,
});

export function processOf(process: OciProcess, linux: OciLinux): ProcessSpec {
  const { capabilities: sets } = process;
  const { seccomp } = linux;
  if (!process.args?.length) throw new BundleError("process.args: nothing to execute");
  if (!isAbsolute(process.cwd)) throw new BundleError(`process.cwd: ${process.cwd} is not absolute`);
  return {
    arguments: process.args,
    environment: process.env ?? [],
    workingDirectory: process.cwd,
    user: { uid: process.user.uid, gid: process.user.gid, groups: process.user.additionalGids ?? [] },
    capabilities: {
      bounding: capabilities(sets?.bounding),
      effective: capabilities(sets?.effective),
      permitted: capabilities(sets?.permitted),
      inheritable: capabilities(sets?.inheritable),
      ambient: capabilities(sets?.ambient),
    },
    seccomp: seccomp
      ? {
          program: compileSeccomp({
            defaultAction: seccomp.defaultAction,
            defaultErrnoRet: seccomp.defaultErrnoRet,
            architectures: seccomp.architectures ?? [],
            rules: (seccomp.syscalls ?? []).map(({ names, action, errnoRet, args }) => ({
              names,
              action,
              errnoRet,
              args: args?.map((one) => ({
                ...one,
                op: one.op as "SCMP_CMP_EQ",
                valueTwo: one.valueTwo ?? 0,
              })),
            })),
          }),
          flags: seccompFlags(seccomp.flags ?? []),
        }
      : undefined,
    noNewPrivileges: process.noNewPrivileges ?? false,
    rlimits: (process.rlimits ?? []).map(({ type, soft, hard }) => {
      const name = type.replace(/^RLIMIT_/, "").toLowerCase();
      const resource = (rlimits as Readonly<Record<string, number>>)[name];
      if (resource === undefined) throw new BundleError(`process.rlimits: ${type} is unknown`);
      // Numbers beyond 2^53 come rounded, and only "no limit" is that large.
      const limit = (value: number): bigint => (value >= 2 ** 63 ? 2n ** 64n - 1n : BigInt(value));
      return { resource, soft: limit(soft), hard: limit(hard), tolerated: false };
    }),
    oomScoreAdj:
      process.oomScoreAdj === undefined ? undefined : { value: process.oomScoreAdj, tolerated: true },
  };
}

/** A list that forbids everything and then allows some, or that allows everything. */
function deviceRules(rules: readonly OciDeviceRule[] | undefined): DeviceRule[] | "all" {
  let allowed: DeviceRule[] | "all" = "all";
  for (const { allow, type = "a", major = -1, minor = -1, access = "rwm" } of rules ?? []) {
    const everything = (type === "a" || type === "") && major < 0 && minor < 0;
    if (everything) allowed = allow ? "all" : [];
    else if (!allow) throw new BundleError("linux.resources.devices: only everything can be forbidden");
    else if (allowed !== "all")
      allowed.push(`${type} ${major < 0 ? "*" : major}:${minor < 0 ? "*" : minor} ${access}`);
  }
  // Devices that every container has are allowed without being listed.
  return allowed === "all" ? allowed : [...new Set([...defaultDeviceRules, ...allowed])];
}

const given = (value: number | undefined): number | undefined => (value ? value : undefined);

function limits({ memory, cpu, pids, blockIO, hugepageLimits, network }: OciResources): CgroupLimits {
  const throttles = [
    [blockIO?.throttleReadBpsDevice, "read", "bps"],
    [blockIO?.throttleWriteBpsDevice, "write", "bps"],
    [blockIO?.throttleReadIOPSDevice, "read", "iops"],
    [blockIO?.throttleWriteIOPSDevice, "write", "iops"],
  ] as const;
  return {
    memory: given(memory?.limit),
    memorySwap: given(memory?.swap),
    memoryReservation: given(memory?.reservation),
    memorySwappiness: memory?.swappiness,
    oomKillDisable: memory?.disableOOMKiller,
    tcpMemory: given(memory?.kernelTCP),
    cpuShares: given(cpu?.shares),
    cpuQuota: given(cpu?.quota),
    cpuPeriod: given(cpu?.period),
    realtimePeriod: given(cpu?.realtimePeriod),
    realtimeRuntime: given(cpu?.realtimeRuntime),
    cpusetCpus: cpu?.cpus || undefined,
    cpusetMems: cpu?.mems || undefined,
    pids: pids?.limit === undefined || pids.limit === 0 ? undefined : pids.limit,
    hugePages: hugepageLimits?.map(({ pageSize, limit }) => ({ size: pageSize, limit })),
    networkClass: given(network?.classID),
    networkPriorities: network?.priorities,
    blockWeight: given(blockIO?.weight),
    blockWeights: blockIO?.weightDevice,
    blockThrottles: throttles.flatMap(([list, direction, unit]) =>
      (list ?? []).map((one) => ({ ...one, direction, unit })),
    ),
  };
}

function devices(linux: OciLinux): DeviceSpec[] {
  return (linux.devices ?? []).map(({ path, type, major, minor, fileMode = 0o666, gid = 0 }) => {
    if (!["c", "u", "b"].includes(type)) throw new BundleError(`linux.devices: ${path} has type ${type}`);
    if (!path.startsWith("/dev/")) throw new BundleError(`linux.devices: ${path} is not in /dev`);
    return {
      path,
      source: "",
      type: type === "b" ? "b" : "c",
      major,
      minor,
      mode: fileMode & 0o7777,
      group: gid,
    };
  });
}

export interface BundlePlaces {
  id: string;
  bundle: string;
  /** An empty directory. */
  staging: string;
  cgroups: Cgroups;
}

/** Where a container's group is: absolute paths are below the host's root group, others below ours. */
export const cgroupOf = (config: OciConfig, id: string): string => {
  const path = config.linux?.cgroupsPath ?? "";
  if (path.includes(":")) throw new BundleError(`linux.cgroupsPath: ${path}: systemd's groups are not built`);
  if (path.split("/").includes("..")) throw new BundleError(`linux.cgroupsPath: ${path} leads up`);
  if (!path) return `/tsd-runtime/${id}`;
  return path.startsWith("/") ? path : `/tsd-runtime/${path}`;
};

/** The mounts of the configuration are not in it: bundlePlan makes them in their own order. */
export function specifyBundle(config: OciConfig, places: BundlePlaces): ContainerSpec {
  const { linux = {}, process } = config;
  if (!process) throw new BundleError("process: a container needs one");
  if (linux.mountLabel || process.selinuxLabel)
    throw new BundleError("process.selinuxLabel, linux.mountLabel: SELinux is not built here");
  if (process.apparmorProfile && process.apparmorProfile !== "unconfined")
    throw new BundleError("process.apparmorProfile: AppArmor is not built here");
  const chosen = namespaces(linux);
  return {
    id: places.id,
    socket: "",
    exitRecord: "",
    log: undefined,
    forward: undefined,
    streams: streamsOf(process),
    namespaces: chosen,
    hostname: config.hostname ?? "",
    domainname: config.domainname ?? "",
    cgroups: places.cgroups,
    cgroup: cgroupOf(config, places.id),
    limits: limits(linux.resources ?? {}),
    deviceRules: deviceRules(linux.resources?.devices),
    subtree: undefined,
    interfaces: [],
    nameServer: undefined,
    root: {
      staging: places.staging,
      layers: [],
      base: resolve(places.bundle, config.root.path),
      readOnly: config.root.readonly ?? false,
    },
    files: [],
    mounts: [],
    devices: devices(linux),
    shmSize: 0,
    privileged: false,
    maskedPaths: linux.maskedPaths ?? [],
    readonlyPaths: linux.readonlyPaths ?? [],
    sysctls: linux.sysctl ?? {},
    init: undefined,
    process: processOf(process, linux),
  };
}
