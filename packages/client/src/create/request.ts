// From run's flags to the body of POST /containers/create.

import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { type ParsedFlags, parseBytes, parseInteger, UsageError } from "../flags.ts";
import { environment, keyValues, readFile, securityOption } from "./environment.ts";
import { gpuRequest } from "./gpus.ts";
import { healthcheck } from "./health.ts";
import { bind, mount } from "./mounts.ts";
import { networks, ports } from "./networks.ts";
import { cpus, device, deviceRates, rareLimits, restartPolicy, ulimit } from "./resources.ts";
import { networkShape } from "./shape.ts";
import { timeOffset } from "./time-offset.ts";

type HostConfig = NonNullable<ContainerCreateRequest["HostConfig"]>;

/** --attach, or docker's rule where it was not given: output always, input with -i. */
export function attachedStreams(
  flags: ParsedFlags,
  detached: boolean,
): { stdin: boolean; stdout: boolean; stderr: boolean } {
  const asked = flags.list("attach").map((name) => name.toLowerCase());
  for (const name of asked)
    if (!["stdin", "stdout", "stderr"].includes(name))
      throw new UsageError(
        `invalid argument "${name}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`,
      );
  if (detached) return { stdin: false, stdout: false, stderr: false };
  if (asked.length === 0) return { stdin: flags.bool("interactive"), stdout: true, stderr: true };
  return {
    stdin: asked.includes("stdin"),
    stdout: asked.includes("stdout"),
    stderr: asked.includes("stderr"),
  };
}

const defences = ["", "off", "report", "pause", "kill"] as const;

/** --defence. Throws for what is none. */
function defence(text: string): (typeof defences)[number] {
  const found = defences.find((one) => one === text);
  if (found === undefined)
    throw new UsageError(
      `invalid argument "${text}" for "--defence" flag: one of ${defences.slice(1).join(", ")}`,
    );
  return found;
}

/** The request for an image, a command and flags. */
export function createRequest(
  flags: ParsedFlags,
  image: string,
  command: readonly string[],
  attached: { stdin: boolean; stdout: boolean; stderr: boolean },
  windowSize: [number, number],
): ContainerCreateRequest {
  const text = (name: string): string => flags.text(name) ?? "";
  const integer = (name: string): number => (flags.has(name) ? parseInteger(name, text(name)) : 0);
  const bytes = (name: string): number => (flags.has(name) ? parseBytes(name, text(name)) : 0);
  const published = ports(flags.list("publish"));
  const exposed = [
    ...published.exposed,
    ...flags.list("expose").map((port) => (port.includes("/") ? port : `${port}/tcp`)),
  ];
  const volumes = flags.list("volume");
  const anonymous = volumes.filter((volume) => !volume.includes(":"));
  // A system has a console.
  const system = flags.text("type") === "system";
  const tty = system || flags.bool("tty");
  const interactive = system || flags.bool("interactive");
  const labels = flags.list("label-file").flatMap((path) => readFile(path).split("\n").filter(Boolean));
  const entrypoint = flags.text("entrypoint");
  const network = networks(flags);
  const health = healthcheck(flags);
  const cdi = flags.list("device").filter((name) => /^[\w.-]+\/[\w.-]+=/.test(name));
  const security = flags.list("security-opt");
  const unconfined = security.includes("systempaths=unconfined");
  const HostConfig: HostConfig = {
    Type: text("type"),
    Binds: volumes.filter((volume) => volume.includes(":")).map(bind),
    Mounts: flags.list("mount").map(mount),
    Tmpfs: Object.fromEntries(
      flags
        .list("tmpfs")
        .map((entry) => entry.split(/:(.*)/s).slice(0, 2).concat("").slice(0, 2) as [string, string]),
    ),
    LogConfig: { Type: text("log-driver"), Config: keyValues(flags.list("log-opt")) },
    NetworkMode: network.mode,
    NetworkShape: networkShape(flags) ?? null,
    Defence: defence(text("defence")),
    PortBindings: published.bindings,
    PublishAllPorts: flags.bool("publish-all"),
    RestartPolicy: restartPolicy(text("restart") || "no"),
    AutoRemove: flags.bool("rm"),
    VolumeDriver: text("volume-driver"),
    VolumesFrom: flags.list("volumes-from"),
    ConsoleSize: tty ? windowSize : [0, 0],
    Annotations: keyValues(flags.list("annotation")),
    CapAdd: flags.list("cap-add"),
    CapDrop: flags.list("cap-drop"),
    CgroupnsMode: text("cgroupns"),
    CgroupParent: text("cgroup-parent"),
    Dns: flags.list("dns"),
    DnsOptions: [...flags.list("dns-option"), ...flags.list("dns-opt")],
    DnsSearch: flags.list("dns-search"),
    ExtraHosts: flags.list("add-host").map((entry) => entry.replace("=", ":")),
    GroupAdd: flags.list("group-add"),
    IpcMode: text("ipc"),
    Links: flags.list("link"),
    OomScoreAdj: integer("oom-score-adj"),
    OomKillDisable: flags.bool("oom-kill-disable"),
    PidMode: text("pid"),
    Privileged: flags.bool("privileged"),
    ReadonlyRootfs: flags.bool("read-only"),
    SecurityOpt: security.filter((option) => option !== "systempaths=unconfined").map(securityOption),
    ...(unconfined ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
    SeccompTrace: flags.bool("seccomp-trace"),
    StorageOpt: keyValues(flags.list("storage-opt")),
    UTSMode: text("uts"),
    UsernsMode: text("userns"),
    TimeOffset: flags.has("time-offset") ? timeOffset(text("time-offset")) : null,
    CapAmbient: flags.list("cap-ambient"),
    ShmSize: bytes("shm-size"),
    Sysctls: keyValues(flags.list("sysctl")),
    Runtime: text("runtime"),
    Isolation: text("isolation"),
    CpuShares: integer("cpu-shares"),
    Memory: bytes("memory"),
    NanoCpus: flags.has("cpus") ? cpus(text("cpus")) : 0,
    BlkioWeight: integer("blkio-weight"),
    CpuPeriod: integer("cpu-period"),
    CpuQuota: integer("cpu-quota"),
    CpuRealtimePeriod: integer("cpu-rt-period"),
    CpuRealtimeRuntime: integer("cpu-rt-runtime"),
    CpusetCpus: text("cpuset-cpus"),
    CpusetMems: text("cpuset-mems"),
    Devices: flags
      .list("device")
      .filter((name) => !cdi.includes(name))
      .map(device),
    DeviceRequests: [
      ...(cdi.length > 0 ? [{ Driver: "cdi", DeviceIDs: cdi }] : []),
      ...(flags.has("gpus") ? [gpuRequest(text("gpus"))] : []),
    ],
    BlkioWeightDevice: flags
      .list("blkio-weight-device")
      .map((entry) => ({ Path: entry.split(":")[0], Weight: Number(entry.split(":")[1]) })),
    BlkioDeviceReadBps: deviceRates(flags, "device-read-bps"),
    BlkioDeviceWriteBps: deviceRates(flags, "device-write-bps"),
    BlkioDeviceReadIOps: deviceRates(flags, "device-read-iops"),
    BlkioDeviceWriteIOps: deviceRates(flags, "device-write-iops"),
    KernelMemory: bytes("kernel-memory"),
    ContainerIDFile: text("cidfile"),
    DeviceCgroupRules: flags.list("device-cgroup-rule"),
    MemoryReservation: bytes("memory-reservation"),
    MemorySwap: text("memory-swap") === "-1" ? -1 : bytes("memory-swap"),
    MemorySwappiness: flags.has("memory-swappiness") ? integer("memory-swappiness") : null,
    PidsLimit: flags.has("pids-limit") ? integer("pids-limit") : null,
    Ulimits: flags.list("ulimit").map(ulimit),
    ...rareLimits(flags),
    Init: flags.has("init") ? flags.bool("init") : null,
  };
  return {
    Hostname: text("hostname"),
    Domainname: text("domainname"),
    User: text("user"),
    AttachStdin: attached.stdin,
    AttachStdout: attached.stdout,
    AttachStderr: attached.stderr,
    Tty: tty,
    OpenStdin: interactive,
    StdinOnce: interactive && attached.stdin,
    ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])),
    Env: environment(flags),
    Cmd: command.length > 0 ? [...command] : null,
    Image: image,
    Volumes: Object.fromEntries(anonymous.map((target) => [target, {}])),
    WorkingDir: text("workdir"),
    Entrypoint: entrypoint === undefined ? null : [entrypoint],
    Labels: keyValues([...labels, ...flags.list("label")]),
    StopSignal: text("stop-signal"),
    StopTimeout: flags.has("stop-timeout") ? integer("stop-timeout") : null,
    MacAddress: text("mac-address"),
    ...(health ? { Healthcheck: health } : {}),
    HostConfig,
    NetworkingConfig: { EndpointsConfig: network.endpoints },
  };
}
