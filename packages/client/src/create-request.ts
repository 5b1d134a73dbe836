// From run's flags to the body of POST /containers/create.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { type FlagTable, type ParsedFlags, parseBytes, parseInteger, UsageError } from "./flags.ts";

export const createFlags: FlagTable = {
  "add-host": ["list"],
  annotation: ["list"],
  attach: ["list", "a"],
  "blkio-weight": ["text"],
  "cap-add": ["list"],
  "cap-drop": ["list"],
  "cgroup-parent": ["text"],
  cgroupns: ["text"],
  cidfile: ["text"],
  "cpu-period": ["text"],
  "cpu-quota": ["text"],
  "cpu-rt-period": ["text"],
  "cpu-rt-runtime": ["text"],
  "cpu-shares": ["text", "c"],
  cpus: ["text"],
  "cpuset-cpus": ["text"],
  "cpuset-mems": ["text"],
  device: ["list"],
  "device-cgroup-rule": ["list"],
  dns: ["list"],
  "dns-opt": ["list"],
  "dns-option": ["list"],
  "dns-search": ["list"],
  domainname: ["text"],
  entrypoint: ["text"],
  env: ["list", "e"],
  "env-file": ["list"],
  expose: ["list"],
  "group-add": ["list"],
  "health-cmd": ["text"],
  hostname: ["text", "h"],
  init: ["bool"],
  interactive: ["bool", "i"],
  ip: ["text"],
  ipc: ["text"],
  isolation: ["text"],
  label: ["list", "l"],
  "label-file": ["list"],
  link: ["list"],
  "log-driver": ["text"],
  "log-opt": ["list"],
  "mac-address": ["text"],
  memory: ["text", "m"],
  "memory-reservation": ["text"],
  "memory-swap": ["text"],
  "memory-swappiness": ["text"],
  mount: ["list"],
  name: ["text"],
  net: ["text"],
  network: ["text"],
  "no-healthcheck": ["bool"],
  "oom-kill-disable": ["bool"],
  "oom-score-adj": ["text"],
  pid: ["text"],
  "pids-limit": ["text"],
  platform: ["text"],
  privileged: ["bool"],
  publish: ["list", "p"],
  "publish-all": ["bool", "P"],
  pull: ["text"],
  quiet: ["bool", "q"],
  "read-only": ["bool"],
  restart: ["text"],
  rm: ["bool"],
  runtime: ["text"],
  "security-opt": ["list"],
  "shm-size": ["text"],
  "stop-signal": ["text"],
  "stop-timeout": ["text"],
  "storage-opt": ["list"],
  sysctl: ["list"],
  tmpfs: ["list"],
  tty: ["bool", "t"],
  ulimit: ["list"],
  user: ["text", "u"],
  userns: ["text"],
  uts: ["text"],
  volume: ["list", "v"],
  "volume-driver": ["text"],
  "volumes-from": ["list"],
  workdir: ["text", "w"],
};

type HostConfig = NonNullable<ContainerCreateRequest["HostConfig"]>;

const keyValues = (items: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    items.map((item) => {
      const at = item.indexOf("=");
      return at < 0 ? [item, ""] : [item.slice(0, at), item.slice(at + 1)];
    }),
  );

/** A name alone takes its value from this process's environment, and is left out when there is none. */
function environment(flags: ParsedFlags): string[] {
  const lines = flags.list("env-file").flatMap((path) =>
    readFile(path)
      .split("\n")
      .map((line) => line.replace(/^\s+/, ""))
      .filter((line) => line && !line.startsWith("#")),
  );
  return [...lines, ...flags.list("env")].flatMap((entry) => {
    if (entry.includes("=")) return [entry];
    const value = process.env[entry];
    return value === undefined ? [] : [`${entry}=${value}`];
  });
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === "ENOENT"
        ? "no such file or directory"
        : (error as Error).message;
    throw new UsageError(`open ${path}: ${reason}`);
  }
}

/** seccomp=FILE is read here: the engine may be elsewhere. */
function securityOption(option: string): string {
  const match = /^seccomp[=:](.+)$/.exec(option);
  if (!match?.[1] || match[1] === "unconfined" || match[1] === "builtin") return option;
  let text: string;
  try {
    text = readFileSync(match[1], "utf8");
  } catch {
    throw new UsageError(
      `opening seccomp profile (${match[1]}) failed: open ${match[1]}: no such file or directory`,
    );
  }
  try {
    return `seccomp=${JSON.stringify(JSON.parse(text))}`;
  } catch (error) {
    throw new UsageError(
      `compacting json for seccomp profile (${match[1]}) failed: ${(error as Error).message}`,
    );
  }
}

/** One --mount: comma-separated key=value pairs. */
function mount(text: string): NonNullable<HostConfig["Mounts"]>[number] {
  const result: Record<string, unknown> = { Type: "volume" };
  const options = (group: string): Record<string, unknown> => {
    result[group] ??= {};
    return result[group] as Record<string, unknown>;
  };
  for (const field of text.split(",")) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    const value = at < 0 ? "true" : field.slice(at + 1);
    if (key === "type") result.Type = value.toLowerCase();
    else if (key === "source" || key === "src") result.Source = value;
    else if (["target", "dst", "destination"].includes(key)) result.Target = value;
    else if (key === "readonly" || key === "ro") result.ReadOnly = value === "true" || value === "1";
    else if (key === "consistency") result.Consistency = value;
    else if (key === "bind-propagation") options("BindOptions").Propagation = value;
    else if (key === "bind-nonrecursive") options("BindOptions").NonRecursive = value === "true";
    else if (key === "bind-recursive") options("BindOptions").NonRecursive = value === "disabled";
    else if (key === "volume-nocopy") options("VolumeOptions").NoCopy = value === "true";
    else if (key === "volume-subpath") options("VolumeOptions").Subpath = value;
    else if (key === "tmpfs-size") options("TmpfsOptions").SizeBytes = parseBytes("mount", value);
    else if (key === "tmpfs-mode") options("TmpfsOptions").Mode = Number.parseInt(value, 8);
    else
      throw new UsageError(
        `invalid argument "${text}" for "--mount" flag: unexpected key '${key}' in '${field}'`,
      );
  }
  if (!result.Target)
    throw new UsageError(`invalid argument "${text}" for "--mount" flag: target is required`);
  return result as NonNullable<HostConfig["Mounts"]>[number];
}

function ulimit(text: string): { Name: string; Soft: number; Hard: number } {
  const match = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match?.[1])
    throw new UsageError(`invalid argument "${text}" for "--ulimit" flag: invalid ulimit argument: ${text}`);
  const Soft = Number(match[2]);
  const Hard = Number(match[3] ?? match[2]);
  if (Hard >= 0 && Soft > Hard)
    throw new UsageError(
      `invalid argument "${text}" for "--ulimit" flag: ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`,
    );
  return { Name: match[1], Soft, Hard };
}

function device(text: string): { PathOnHost: string; PathInContainer: string; CgroupPermissions: string } {
  const [host = "", second, third] = text.split(":");
  const permissions = /^[rwm]{1,3}$/;
  if (third !== undefined)
    return { PathOnHost: host, PathInContainer: second ?? host, CgroupPermissions: third };
  if (second !== undefined && permissions.test(second))
    return { PathOnHost: host, PathInContainer: host, CgroupPermissions: second };
  return { PathOnHost: host, PathInContainer: second ?? host, CgroupPermissions: "rwm" };
}

/** [address:][host port:]container port[/protocol], also for ranges. */
function ports(specs: readonly string[]): {
  bindings: Record<string, { HostIp: string; HostPort: string }[]>;
  exposed: string[];
} {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const spec of specs) {
    const match = /^(?:(?:(\[[^\]]+\]|[^:]*):)?([\d-]*):)?(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(spec);
    if (!match?.[3])
      throw new UsageError(`invalid publish opts format (should be name=value but got '${spec}')`);
    const first = Number(match[3]);
    const last = Number(match[4] ?? match[3]);
    const [hostFirst, hostLast] = (match[2] ?? "").split("-").filter(Boolean).map(Number);
    if (
      hostFirst !== undefined &&
      hostLast !== undefined &&
      hostLast - hostFirst !== last - first &&
      last !== first
    )
      throw new UsageError(`invalid ranges specified for container and host Ports: ${spec}`);
    for (let port = first; port <= last; port++) {
      const name = `${port}/${match[5] ?? "tcp"}`;
      const hostPort =
        hostFirst === undefined
          ? ""
          : last === first && hostLast
            ? `${hostFirst}-${hostLast}`
            : String(hostFirst + port - first);
      bindings[name] = [
        ...(bindings[name] ?? []),
        { HostIp: (match[1] ?? "").replace(/^\[|\]$/g, ""), HostPort: hostPort },
      ];
    }
  }
  return { bindings, exposed: Object.keys(bindings) };
}

function restartPolicy(text: string): { Name: string; MaximumRetryCount: number } {
  const [Name = "", count] = text.split(":");
  if (count !== undefined && !/^\d+$/.test(count))
    throw new UsageError("invalid restart policy format: maximum retry count must be an integer");
  return { Name, MaximumRetryCount: Number(count ?? 0) };
}

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

/** Source paths are made absolute, as the engine knows no working directory of ours. */
function bind(text: string): string {
  const [source = "", ...rest] = text.split(":");
  return rest.length > 0 && /^\.{1,2}(\/|$)/.test(source) ? [resolve(source), ...rest].join(":") : text;
}

function cpus(text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || Number.isNaN(value))
    throw new UsageError(
      `invalid argument "${text}" for "--cpus" flag: failed to parse ${text} as a rational number`,
    );
  return Math.round(value * 1e9);
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
  const tty = flags.bool("tty");
  const interactive = flags.bool("interactive");
  const labels = flags.list("label-file").flatMap((path) => readFile(path).split("\n").filter(Boolean));
  const entrypoint = flags.text("entrypoint");
  const HostConfig: HostConfig = {
    Binds: volumes.filter((volume) => volume.includes(":")).map(bind),
    Mounts: flags.list("mount").map(mount),
    Tmpfs: Object.fromEntries(
      flags
        .list("tmpfs")
        .map((entry) => entry.split(/:(.*)/s).slice(0, 2).concat("").slice(0, 2) as [string, string]),
    ),
    LogConfig: { Type: text("log-driver"), Config: keyValues(flags.list("log-opt")) },
    NetworkMode: text("network") || text("net") || "default",
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
    SecurityOpt: flags.list("security-opt").map(securityOption),
    StorageOpt: keyValues(flags.list("storage-opt")),
    UTSMode: text("uts"),
    UsernsMode: text("userns"),
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
    Devices: flags.list("device").map(device),
    DeviceCgroupRules: flags.list("device-cgroup-rule"),
    MemoryReservation: bytes("memory-reservation"),
    MemorySwap: text("memory-swap") === "-1" ? -1 : bytes("memory-swap"),
    MemorySwappiness: flags.has("memory-swappiness") ? integer("memory-swappiness") : null,
    PidsLimit: flags.has("pids-limit") ? integer("pids-limit") : null,
    Ulimits: flags.list("ulimit").map(ulimit),
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
    ...(flags.bool("no-healthcheck") ? { Healthcheck: { Test: ["NONE"] } } : {}),
    ...(flags.has("health-cmd") ? { Healthcheck: { Test: ["CMD-SHELL", text("health-cmd")] } } : {}),
    HostConfig,
    NetworkingConfig: flags.has("ip")
      ? { EndpointsConfig: { [text("network") || "default"]: { IPAMConfig: { IPv4Address: text("ip") } } } }
      : { EndpointsConfig: {} },
  };
}
