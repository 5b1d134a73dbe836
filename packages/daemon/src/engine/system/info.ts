// What the engine and its host are: /version and /info.

import { readFileSync } from "node:fs";
import { arch, availableParallelism, hostname, release, totalmem } from "node:os";
import type { RegistrySettings } from "../../registry/settings.ts";
import { readSpecifications } from "../../runtime/cdi.ts";
import type { Backend } from "../../runtime/network/firewall.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Sight } from "../access/caller.ts";
import type { ContainerService } from "../containers/service.ts";
import { logDrivers } from "../containers/validate.ts";
import type { ImageService } from "../images/service.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import { now } from "../timestamps.ts";
import type { UserNamespaces } from "../user-namespaces/service.ts";

export const API_VERSION = "1.51";
export const MINIMUM_API_VERSION = "1.24";
export const VERSION = "0.1.0";

const goArchitecture: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
const machineNames: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };
const startedAt = now();

/** GET /version. */
export const versionView = (): object => ({
  Platform: { Name: "tsd" },
  Components: [
    {
      Name: "Engine",
      Version: VERSION,
      Details: {
        ApiVersion: API_VERSION,
        Arch: goArchitecture[arch()] ?? arch(),
        BuildTime: startedAt,
        Experimental: "false",
        GitCommit: "",
        GoVersion: "",
        KernelVersion: release(),
        MinAPIVersion: MINIMUM_API_VERSION,
        Os: "linux",
        NodeVersion: process.version,
      },
    },
  ],
  Version: VERSION,
  ApiVersion: API_VERSION,
  MinAPIVersion: MINIMUM_API_VERSION,
  GitCommit: "",
  GoVersion: "",
  Os: "linux",
  Arch: goArchitecture[arch()] ?? arch(),
  KernelVersion: release(),
  BuildTime: startedAt,
});

function osRelease(): Map<string, string> {
  try {
    return new Map(
      readFileSync("/etc/os-release", "utf8")
        .split("\n")
        .flatMap((line) => {
          const match = /^(\w+)="?(.*?)"?$/.exec(line);
          return match?.[1] ? [[match[1], match[2] ?? ""] as const] : [];
        }),
    );
  } catch {
    return new Map([["PRETTY_NAME", "Linux"]]);
  }
}

export interface InfoParts {
  id: string;
  dataRoot: string;
  runtime: Runtime;
  containers: ContainerService;
  images: ImageService;
  layers: WritableLayers;
  userNamespaces: UserNamespaces;
  labels(): readonly string[];
  /** Of iptables' the one in use; undefined where the host's rules are left alone. */
  firewall(): Backend | undefined;
  addressPools: readonly { base: string; size: number }[];
  registries(): RegistrySettings;
}

const DEFAULT_REGISTRY = "docker.io";

/** Which registries have mirrors, and which need not show who they are. */
function registryView({ mirrors, insecure }: RegistrySettings): object {
  const isNetwork = (entry: string): boolean => entry.includes("/");
  const names = new Set([DEFAULT_REGISTRY, ...mirrors.keys(), ...insecure.filter((one) => !isNetwork(one))]);
  return {
    IndexConfigs: Object.fromEntries(
      [...names].map((Name) => [
        Name,
        {
          Name,
          Mirrors: mirrors.get(Name) ?? [],
          Official: Name === DEFAULT_REGISTRY,
          Secure: !insecure.includes(Name),
        },
      ]),
    ),
    InsecureRegistryCIDRs: [...insecure.filter(isNetwork), "::1/128", "127.0.0.0/8"],
    Mirrors: mirrors.get(DEFAULT_REGISTRY) ?? null,
  };
}

/** A proxy's address as docker shows it: its user may be known, the password not. */
const withoutPassword = (address: string): string => address.replace(/\/\/[^@/]*@/, "//xxxxx:xxxxx@");

/** Networks as a whole are filtered by iptables; published ports, guards and policies are tables of nf_tables. */
const firewallView = (backend: Backend | undefined): object => ({
  Driver: "iptables",
  Info: [
    ["Networks", backend ? `iptables-${backend}` : "none"],
    ["Ports", "nf_tables"],
  ],
});

/** Devices that containers can be given by name, as CDI has them. */
function devicesView(directories: readonly string[]): object[] {
  const names = [...readSpecifications(directories).devices.keys()];
  return names.map((ID) => ({ Source: "cdi", ID }));
}

/** GET /info, of what exists for `sight`. */
export function infoView(parts: InfoParts, sight: Sight): object {
  const { cgroups } = parts.runtime;
  const all = parts.containers.registry.seenBy(sight);
  const paused = all.filter((container) => container.paused).length;
  const running = all.filter((container) => container.running).length - paused;
  const os = osRelease();
  const devices = devicesView(parts.runtime.settings.cdiDirectories);
  return {
    ID: parts.id,
    Containers: all.length,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: all.length - running - paused,
    Images: parts.images.all(sight).length,
    Driver: "overlay2",
    DriverStatus: [
      ["Backing Filesystem", "overlayfs"],
      ["Quota", parts.layers.description],
    ],
    Plugins: {
      Volume: ["local"],
      Network: ["bridge", "host", "ipvlan", "macvlan", "null"],
      Authorization: null,
      Log: logDrivers,
    },
    MemoryLimit: cgroups.has("memory"),
    SwapLimit: cgroups.has("memory"),
    KernelMemoryTCP: false,
    CpuCfsPeriod: cgroups.has("cpu"),
    CpuCfsQuota: cgroups.has("cpu"),
    CPUShares: cgroups.has("cpu"),
    CPUSet: cgroups.has("cpuset"),
    PidsLimit: cgroups.has("pids"),
    OomKillDisable: cgroups.version === 1,
    IPv4Forwarding: true,
    Debug: false,
    NFd: 0,
    NGoroutines: 0,
    NEventsListener: 0,
    SystemTime: now(),
    LoggingDriver: "json-file",
    CgroupDriver: "cgroupfs",
    CgroupVersion: String(cgroups.version),
    KernelVersion: release(),
    OperatingSystem: os.get("PRETTY_NAME") ?? "Linux",
    OSVersion: os.get("VERSION_ID") ?? "",
    OSType: "linux",
    Architecture: machineNames[arch()] ?? arch(),
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: registryView(parts.registries()),
    GenericResources: null,
    HttpProxy: withoutPassword(parts.registries().proxy.http),
    HttpsProxy: withoutPassword(parts.registries().proxy.https),
    NoProxy: parts.registries().proxy.exceptions,
    Name: hostname(),
    CDISpecDirs: parts.runtime.settings.cdiDirectories,
    ...(devices.length > 0 ? { DiscoveredDevices: devices } : {}),
    FirewallBackend: firewallView(parts.firewall()),
    ...(parts.addressPools.length > 0
      ? { DefaultAddressPools: parts.addressPools.map(({ base, size }) => ({ Base: base, Size: size })) }
      : {}),
    Labels: parts.labels(),
    ExperimentalBuild: false,
    ServerVersion: VERSION,
    Runtimes: {
      tsd: { path: "tsd-launcher" },
      ...Object.fromEntries(
        parts.runtime.foreign
          .all()
          .map(({ name, path, arguments: runtimeArgs }) => [
            name,
            { path, ...(runtimeArgs.length > 0 ? { runtimeArgs } : {}) },
          ]),
      ),
    },
    DefaultRuntime: "tsd",
    Swarm: {
      NodeID: "",
      NodeAddr: "",
      LocalNodeState: "inactive",
      ControlAvailable: false,
      Error: "",
      RemoteManagers: null,
    },
    LiveRestoreEnabled: true,
    Isolation: "",
    InitBinary: "tsd-init",
    ContainerdCommit: { ID: "" },
    RuncCommit: { ID: "" },
    InitCommit: { ID: "" },
    SecurityOptions: [
      ...(parts.runtime.modules.appArmor ? ["name=apparmor"] : []),
      "name=seccomp,profile=builtin",
      ...(parts.runtime.modules.selinux ? ["name=selinux"] : []),
      "name=cgroupns",
      ...(parts.userNamespaces.usual ? ["name=userns"] : []),
    ],
    DockerRootDir: parts.dataRoot,
    Warnings: null,
  };
}
