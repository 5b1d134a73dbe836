// A role: what it allows, on whose objects, and how far a create may go.
import { type CapabilityName, capabilityNumber } from "@tsd/kernel-bindings";
import { expandPatterns, type Permission } from "./permissions.ts";

export type HostNamespace = "network" | "pid" | "ipc" | "uts" | "cgroup" | "user";

/** How far what a caller creates may reach beyond its own walls. `undefined` sets no limit. */
export interface Limits {
  privileged: boolean;
  hostNamespaces: readonly HostNamespace[];
  /** Directories of the host that binds may be of, or be below. */
  bindSources: readonly string[];
  /** What may be added to the default set. */
  capabilities: readonly CapabilityName[];
  /** Paths of devices that may be handed in. */
  devices: readonly string[];
  /** Whether seccomp profiles, masked paths and the like may be changed. */
  securityOptions: boolean;
  /** Whole small systems, with SYS_BOOT and control groups of their own. */
  systemContainers: boolean;
  /** Patterns of image names; `*` stands for anything. */
  images?: readonly string[] | undefined;
  /** Bytes. */
  memory?: number | undefined;
  cpus?: number | undefined;
  pids?: number | undefined;
  /** What every container must carry. */
  labels: Readonly<Record<string, string>>;
}

export interface Role {
  name: string;
  permissions: ReadonlySet<Permission>;
  scope: "all" | "own";
  /** Undefined: none whatever. */
  limits: Limits | undefined;
  requestsPerSecond: number | undefined;
}

/** Of those who are let in for a ping only. */
export const strangersRole: Role = {
  name: "stranger",
  permissions: new Set(["system:ping"]),
  scope: "own",
  limits: undefined,
  requestsPerSecond: undefined,
};

/** What a role may not ask for unless it says so: nothing that leads out of a container. */
export const strictLimits: Limits = {
  privileged: false,
  hostNamespaces: [],
  bindSources: [],
  capabilities: [],
  devices: [],
  securityOptions: false,
  systemContainers: false,
  labels: {},
};

export const isCapability = (name: string): name is CapabilityName => capabilityNumber(name) !== undefined;

const builtIn = (name: string, patterns: readonly string[], limits: Limits | undefined): Role => ({
  name,
  permissions: expandPatterns(patterns),
  scope: "all",
  limits,
  requestsPerSecond: undefined,
});

/** Looks at everything, changes nothing. */
const looking = [
  "system:version",
  "system:info",
  "system:df",
  "event:read",
  "container:list",
  "container:inspect",
  "container:explain",
  "container:verify",
  "container:logs",
  "container:top",
  "container:stats",
  "container:changes",
  "container:wait",
  "image:list",
  "image:inspect",
  "image:search",
  "network:list",
  "network:inspect",
  "policy:inspect",
  "chain:inspect",
  "volume:list",
  "volume:inspect",
  "plugin:list",
  "swarm:inspect",
];

/** admin is root on this machine, as everybody is at dockerd's socket. An operator runs containers, and does not get out of
 * them. */
export const builtInRoles: Readonly<Record<string, Role>> = {
  admin: builtIn("admin", ["*"], undefined),
  operator: builtIn(
    "operator",
    [
      ...looking,
      "system:login",
      "container:*",
      "image:*",
      "build:*",
      "network:*",
      "volume:*",
      "policy:*",
      "chain:*",
    ],
    strictLimits,
  ),
  viewer: builtIn("viewer", looking, strictLimits),
};
