// Containers as the API shows them: inspect, and the list's summaries.
import type { QuotaUsage } from "@tsd/kernel-bindings";
import { checkTarget } from "../../runtime/mounts.ts";
import type { IdRange } from "../../runtime/user-namespace.ts";
import { networkSummaries, networksView, portSummaries, portsView } from "../networks/view.ts";
import { milliseconds, zeroTime } from "../timestamps.ts";
import { namesByLinks } from "./links.ts";
import type { ContainerMount, Health } from "./record.ts";
import type { Container } from "./registry.ts";
import { shownConfig, shownHostConfig } from "./shown-config.ts";

export interface ViewContext {
  directory: string;
  /** The directory of what it has written, and how much that may be. */
  layer: string;
  quota: QuotaUsage | undefined;
  logPath: string;
  layers: readonly string[];
  /** Bytes: of what the container changed, and of everything; undefined unless asked for. */
  sizes?: Sizes | undefined;
}

export interface Sizes {
  SizeRw: number;
  SizeRootFs: number;
}

/** "3 minutes" as Docker says it. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(hours / 24 / 365)} years`;
}

const healthText = (health: Health | undefined): string =>
  health ? ` (${health.Status === "starting" ? "health: starting" : health.Status})` : "";

/** The STATUS column: "Up 3 minutes", "Exited (0) 2 hours ago". */
export function statusText(container: Container, now = Date.now()): string {
  const { state } = container;
  if (container.removing && !container.running) return "Removal In Progress";
  if (container.alive)
    return `Up ${humanDuration(now - milliseconds(state.startedAt))}${container.paused ? " (Paused)" : healthText(state.health)}`;
  if (state.status === "restarting")
    return `Restarting (${state.exitCode}) ${humanDuration(now - milliseconds(state.finishedAt))} ago`;
  if (state.status === "created") return "Created";
  if (state.status === "dead") return "Dead";
  return `Exited (${state.exitCode}) ${humanDuration(now - milliseconds(state.finishedAt))} ago`;
}

/** The one word for a container's state. */
export const stateName = (container: Container): string =>
  container.removing && !container.running ? "removing" : container.state.status;

const mountView = (mount: ContainerMount): object => ({
  Type: mount.type,
  ...(mount.type === "volume" || mount.type === "image" ? { Name: mount.name } : {}),
  Source: mount.source,
  Destination: mount.target,
  ...(mount.type === "volume" ? { Driver: "local" } : {}),
  Mode: mount.mode,
  RW: !mount.readOnly,
  Propagation: mount.type === "bind" ? mount.propagation : "",
});

/** tmpfs given by --tmpfs is in HostConfig only, as in Docker. */
function shownMounts(container: Container): object[] {
  const { mounts, hostConfig } = container.record.definition;
  const tmpfs = new Set(Object.keys(hostConfig.Tmpfs).map((target) => checkTarget(target)));
  return mounts.filter(({ type, target }) => type !== "tmpfs" || !tmpfs.has(target)).map(mountView);
}

/** Ours: whose ids it has, and which of the host's are behind them while it runs. */
function userNamespaceView({ record, state }: Container): object {
  const line = ({ container, host, size }: IdRange): string => `${container}:${host}:${size}`;
  const maps = state.userNamespace?.maps;
  return {
    Mode: record.definition.userNamespace?.kind ?? "host",
    UidMap: maps ? maps.uids.map(line) : null,
    GidMap: maps ? maps.gids.map(line) : null,
  };
}

/** The body of GET /containers/{id}/json. */
export function inspectView(container: Container, context: ViewContext) {
  const { definition, state } = container.record;
  const { config, hostConfig } = definition;
  const [path = "", ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  const networks = networksView(container);
  // What stands here besides is of the default network.
  const top = (field: string): unknown => networks.bridge?.[field] ?? (field.endsWith("Len") ? 0 : "");
  return {
    Id: container.id,
    Created: definition.created,
    Path: path,
    Args: args,
    State: {
      Status: stateName(container),
      Running: container.running,
      Paused: container.paused,
      Restarting: state.status === "restarting",
      OOMKilled: state.oomKilled,
      Dead: state.status === "dead",
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt || zeroTime,
      FinishedAt: state.finishedAt || zeroTime,
      ...(state.health ? { Health: state.health } : {}),
    },
    Image: definition.imageId,
    ResolvConfPath: state.startedAt ? `${context.directory}/resolv.conf` : "",
    HostnamePath: state.startedAt ? `${context.directory}/hostname` : "",
    HostsPath: state.startedAt ? `${context.directory}/hosts` : "",
    LogPath: hostConfig.LogConfig.Type === "json-file" && state.startedAt ? context.logPath : "",
    Name: `/${definition.name}`,
    Owner: definition.owner,
    RestartCount: state.restartCount,
    Driver: "overlay2",
    Platform: "linux",
    MountLabel: definition.labels?.mount ?? "",
    ProcessLabel: definition.labels?.process ?? "",
    AppArmorProfile: definition.labels?.appArmor ?? "",
    ExecIDs: container.execIds.size > 0 ? [...container.execIds] : null,
    UserNamespace: userNamespaceView(container),
    HostConfig: shownHostConfig(hostConfig),
    ...context.sizes,
    GraphDriver: {
      Data: {
        LowerDir: context.layers.join(":"),
        MergedDir: "",
        UpperDir: `${context.layer}/diff`,
        WorkDir: `${context.layer}/work`,
        // Clients read this as texts by texts.
        ...(context.quota
          ? { QuotaLimit: String(context.quota.limit), QuotaUsage: String(context.quota.usage) }
          : {}),
      },
      Name: "overlay2",
    },
    Mounts: shownMounts(container),
    Config: shownConfig(config),
    NetworkSettings: {
      Bridge: "",
      SandboxID: "",
      SandboxKey: state.pid ? `/proc/${state.pid}/ns/net` : "",
      Ports: portsView(container),
      HairpinMode: false,
      LinkLocalIPv6Address: "",
      LinkLocalIPv6PrefixLen: 0,
      SecondaryIPAddresses: null,
      SecondaryIPv6Addresses: null,
      EndpointID: top("EndpointID"),
      Gateway: top("Gateway"),
      GlobalIPv6Address: top("GlobalIPv6Address"),
      GlobalIPv6PrefixLen: top("GlobalIPv6PrefixLen"),
      IPAddress: top("IPAddress"),
      IPPrefixLen: top("IPPrefixLen"),
      IPv6Gateway: top("IPv6Gateway"),
      MacAddress: top("MacAddress"),
      Networks: networks,
    },
  };
}

const quoteIfSpaced = (word: string): string =>
  /[\s"']/.test(word) ? `'${word.replaceAll("'", "'\\''")}'` : word;

/** What a list says that a container was made of: what it was called then, if that still is the same image. */
export function imageShown(
  { record: { definition } }: Container,
  find: (reference: string) => { id: string } | undefined,
): string {
  const { Image } = definition.config;
  return find(Image)?.id === definition.imageId ? Image : definition.imageId;
}

/** One entry of GET /containers/json; `image` is what it was made of, `others` are the containers whose links count. */
export function summaryView(
  container: Container,
  image: string,
  others: readonly Container[],
  sizes?: Sizes,
): object {
  const { definition } = container.record;
  const { config, hostConfig } = definition;
  const [path = "", ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  return {
    Id: container.id,
    Names: [`/${definition.name}`, ...namesByLinks(container, others)],
    Image: image,
    ImageID: definition.imageId,
    Command: [path, ...args.map(quoteIfSpaced)].join(" "),
    Created: Math.floor(milliseconds(definition.created) / 1000),
    Ports: portSummaries(container),
    ...sizes,
    Labels: config.Labels,
    State: stateName(container),
    Status: statusText(container),
    HostConfig: { NetworkMode: hostConfig.NetworkMode === "bridge" ? "bridge" : hostConfig.NetworkMode },
    NetworkSettings: { Networks: networkSummaries(container) },
    Mounts: shownMounts(container),
  };
}
