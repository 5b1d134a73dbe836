// A container as the engine knows it, and where records are kept.
import type { ContainerConfig, EndpointRequest, HostConfig } from "../../api/schemas/container-create.ts";
import type { SecurityLabels } from "../../runtime/specify.ts";
import type { IdMaps } from "../../runtime/user-namespace.ts";
import type { EndpointState, PublishedPort } from "../networks/record.ts";
import type { UserNamespaceMode } from "../user-namespaces/mode.ts";

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "exited" | "dead";

/** One probe of a container's health; times are RFC 3339. */
export interface HealthProbe {
  Start: string;
  End: string;
  ExitCode: number;
  Output: string;
}

/** A container's health as inspect shows it. */
export interface Health {
  Status: "starting" | "healthy" | "unhealthy";
  FailingStreak: number;
  /** The last five. */
  Log: HealthProbe[];
}

/** What changes while a container lives. Times are RFC 3339 with nanoseconds, "" for never. */
export interface ContainerState {
  status: ContainerStatus;
  pid: number;
  exitCode: number;
  error: string;
  oomKilled: boolean;
  startedAt: string;
  finishedAt: string;
  /** Its places in networks while it runs, by the networks' names. */
  endpoints: Record<string, EndpointState>;
  /** The host's ports that lead to it while it runs. */
  ports: PublishedPort[];
  /** The ids behind its own while it runs; undefined in the host's user namespace. Exclusive ones are held for it. */
  userNamespace?: { maps: IdMaps; exclusive: boolean } | undefined;
  /** What links add to its environment, as name=value. */
  linkEnvironment: string[];
  /** How often its restart policy has started it since somebody did. */
  restartCount: number;
  /** Somebody stopped or killed it since its last start: its policy does not start it again before the daemon does. */
  manuallyStopped: boolean;
  /** Its removal, and that of its anonymous volumes, has begun: the next daemon finishes it if this one does not. */
  removal: "" | "with-volumes";
  /** Undefined without a healthcheck. */
  health?: Health | undefined;
}

/** A mount as it was resolved at create. */
export interface ContainerMount {
  type: "bind" | "volume" | "image" | "tmpfs";
  /** A volume's name, or what an image was called. */
  name: string;
  /** A path of the host's, or an image's id; "" for tmpfs. */
  source: string;
  target: string;
  readOnly: boolean;
  readOnlyRecursive: boolean;
  recursive: boolean;
  propagation: string;
  mode: string;
  tmpfsOptions: string;
  /** An anonymous volume goes with its container when it is removed with v=1, or by --rm. */
  anonymous: boolean;
  /** What of a volume or an image is mounted; "" (and missing in records of before there was this) for all of it. */
  subpath: string;
  /** A bind's source was judged by its path: there must be no symbolic link in it when it is opened either. */
  confined: boolean;
}

/** What stays as it was created. */
export interface ContainerDefinition {
  id: string;
  /** Without the slash that the API shows. */
  name: string;
  created: string;
  /** Who created it (Caller.id); "" in records of before there were owners. */
  owner: string;
  imageId: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** What is asked of each network it is to be in, by name. */
  networks: Record<string, EndpointRequest>;
  /** Which networks these are, for those who may not be in just any that comes by the name later. */
  networkIds: Record<string, string>;
  mounts: ContainerMount[];
  /** What security modules know it by; missing in records of before there was this. */
  labels?: SecurityLabels;
  /** Whose ids it has; undefined in records of before there was a choice: the host's. */
  userNamespace?: UserNamespaceMode;
  /** A step of a build: the next daemon removes it, whatever became of it. */
  temporary?: boolean;
}

/** The images that a container stands on, and has mounted. */
export const imagesOf = ({ imageId, mounts }: ContainerDefinition): string[] => [
  imageId,
  ...mounts.flatMap(({ type, source }) => (type === "image" ? [source] : [])),
];

export interface ContainerRecord {
  definition: ContainerDefinition;
  state: ContainerState;
}

/** Keeps records over the daemon's life. Every method is synchronous and durable against the daemon's death. */
export interface ContainerStore {
  all(): ContainerRecord[];
  insert(record: ContainerRecord): void;
  /** Writes the state of a container that was inserted. */
  saveState(id: string, state: ContainerState): void;
  /** Writes a definition that was renamed or updated. */
  saveDefinition(definition: ContainerDefinition): void;
  delete(id: string): void;
}

export const initialState: Readonly<ContainerState> = {
  status: "created",
  pid: 0,
  exitCode: 0,
  error: "",
  oomKilled: false,
  startedAt: "",
  finishedAt: "",
  endpoints: {},
  ports: [],
  linkEnvironment: [],
  restartCount: 0,
  manuallyStopped: false,
  removal: "",
};
