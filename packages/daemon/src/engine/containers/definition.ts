// Makes a container's definition from a request and its image: names, defaults, mounts.
import { randomBytes, randomInt } from "node:crypto";
import { hostname } from "node:os";
import { posix } from "node:path";
import type { ContainerConfig, ContainerCreate, HostConfig } from "../../api/schemas/container-create.ts";
import { defaultMaskedPaths, defaultReadonlyPaths } from "../../runtime/security.ts";
import { mergeEnvironment } from "../../runtime/specify.ts";
import type { Caller } from "../access/caller.ts";
import { invalid } from "../errors.ts";
import type { ImageDefaults, ImageRecord, ImageSource } from "../images/image.ts";
import { now } from "../timestamps.ts";
import type { UserNamespaceMode } from "../user-namespaces/mode.ts";
import type { VolumeService } from "../volumes/service.ts";
import { resolveMounts } from "./mounts.ts";
import type { ContainerDefinition } from "./record.ts";
import type { Container } from "./registry.ts";
import { systemDefaults } from "./system.ts";

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

export function checkName(name: string): string {
  const bare = name.replace(/^\//, "");
  if (!namePattern.test(bare))
    throw invalid(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  return bare;
}

const adjectives =
  "agile amber bold brave brisk calm clever crisp eager fair fleet gentle keen lively lucid merry noble quick quiet steady swift tidy vivid warm wise".split(
    " ",
  );
const nouns =
  "anchor beacon bridge canyon cedar comet delta ember falcon fjord glacier harbor heron island lagoon maple meadow otter pebble quartz raven river summit tundra willow".split(
    " ",
  );
const pick = (words: readonly string[]): string => words[randomInt(words.length)] ?? "";

/** A name that nobody has, for a container that was given none. */
export function inventName(isFree: (name: string) => boolean): string {
  for (let attempt = 0; attempt < 20; attempt++) {
    const name = `${pick(adjectives)}_${pick(nouns)}${attempt > 5 ? randomInt(10_000) : ""}`;
    if (isFree(name)) return name;
  }
  return `container_${randomBytes(6).toString("hex")}`;
}

/** The request's configuration over the image's (Docker's rules: a request with an entrypoint drops the image's
 * command; environments, labels, ports and volumes add up). */
export function mergeImageDefaults(request: ContainerConfig, image: ImageDefaults): ContainerConfig {
  const resetEntrypoint = request.Entrypoint?.length === 1 && request.Entrypoint[0] === "";
  const ownEntrypoint = request.Entrypoint !== null && request.Entrypoint.length > 0;
  // An empty one is none, and not the image's either.
  const entrypoint = resetEntrypoint ? null : (request.Entrypoint ?? image.Entrypoint ?? null);
  const ownCommand = ownEntrypoint || (request.Cmd !== null && request.Cmd.length > 0);
  const command = ownCommand ? request.Cmd : (image.Cmd ?? null);
  return {
    ...request,
    User: request.User || image.User || "",
    Env: request.Env?.length ? mergeEnvironment(image.Env ?? [], request.Env) : (image.Env ?? null),
    Entrypoint: entrypoint,
    Cmd: command,
    WorkingDir: cleanPath(request.WorkingDir || image.WorkingDir || ""),
    Labels: { ...image.Labels, ...request.Labels },
    ExposedPorts:
      request.ExposedPorts || image.ExposedPorts ? { ...image.ExposedPorts, ...request.ExposedPorts } : null,
    Volumes: request.Volumes || image.Volumes ? { ...image.Volumes, ...request.Volumes } : null,
    Healthcheck: mergeHealthcheck(request.Healthcheck, image.Healthcheck),
    StopSignal: request.StopSignal || image.StopSignal || "",
    Shell: request.Shell ?? image.Shell ?? null,
    OnBuild: request.OnBuild ?? image.OnBuild ?? null,
  };
}

/** A path without detours, and without a slash at its end. */
const cleanPath = (path: string): string => path && posix.normalize(path).replace(/(?<=.)\/$/, "");

/** The request's healthcheck, completed by the image's. */
function mergeHealthcheck(
  own: ContainerConfig["Healthcheck"],
  image: ImageDefaults["Healthcheck"],
): ContainerConfig["Healthcheck"] {
  if (!image?.Test?.length) return own;
  const inherited = {
    Test: image.Test,
    Interval: image.Interval ?? 0,
    Timeout: image.Timeout ?? 0,
    StartPeriod: image.StartPeriod ?? 0,
    StartInterval: image.StartInterval ?? 0,
    Retries: image.Retries ?? 0,
  };
  if (!own) return { ...inherited, OnFailure: "" };
  const or = (field: "Interval" | "Timeout" | "StartPeriod" | "StartInterval" | "Retries"): number =>
    own[field] || inherited[field];
  return {
    Test: own.Test?.length ? own.Test : inherited.Test,
    Interval: or("Interval"),
    Timeout: or("Timeout"),
    StartPeriod: or("StartPeriod"),
    StartInterval: or("StartInterval"),
    Retries: or("Retries"),
    OnFailure: own.OnFailure,
  };
}

/** Entrypoint and command together. Throws when there is nothing to run. */
export function commandOf(config: ContainerConfig): string[] {
  const command = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (command.length === 0) throw invalid("no command specified");
  return command;
}

/** HostConfig as inspect shows it: defaults filled in. */
function completeHostConfig(host: HostConfig, shmSize: number): HostConfig {
  // Where nothing is hidden, none are shown.
  const paths = (asked: string[] | null | undefined, usual: readonly string[]): string[] | null => {
    if (host.SecurityOpt?.includes("systempaths=unconfined")) return [];
    return asked ?? (host.Privileged ? null : [...usual]);
  };
  return {
    ...host,
    LogConfig: { Type: host.LogConfig.Type || "json-file", Config: host.LogConfig.Config },
    NetworkMode: ["", "default"].includes(host.NetworkMode) ? "bridge" : host.NetworkMode,
    RestartPolicy: {
      Name: host.RestartPolicy.Name || "no",
      MaximumRetryCount: host.RestartPolicy.MaximumRetryCount,
    },
    IpcMode: host.IpcMode || "private",
    CgroupnsMode: host.CgroupnsMode || "private",
    ShmSize: host.ShmSize || shmSize,
    Runtime: host.Runtime || "tsd",
    MemorySwap: host.MemorySwap || host.Memory * 2,
    // 0 and −1 are how clients say nothing of it.
    PidsLimit: host.PidsLimit && host.PidsLimit > 0 ? host.PidsLimit : null,
    MemorySwappiness: host.MemorySwappiness === -1 ? null : host.MemorySwappiness,
    SecurityOpt: host.SecurityOpt,
    MaskedPaths: paths(host.MaskedPaths, defaultMaskedPaths),
    ReadonlyPaths: paths(host.ReadonlyPaths, defaultReadonlyPaths),
  };
}

/** What a definition is made of. */
export interface DefinitionParts {
  request: ContainerCreate;
  image: ImageRecord;
  layers: readonly string[];
  /** Empty where one is still to be invented. */
  name: string;
  networking: Pick<ContainerDefinition, "networks" | "networkIds">;
  volumes: VolumeService;
  images: ImageSource;
  userNamespace: UserNamespaceMode;
  /** Containers that exist for the caller. */
  look: (reference: string) => Container | undefined;
  caller: Caller;
  /** Bytes of /dev/shm where nothing else is asked for. */
  shmSize: number;
  /** The daemon's own data. */
  dataRoot: string;
  /** Only to know what would be: nothing is made. */
  rehearsal: boolean;
}

/** A container's whole definition. Makes what volumes and bind sources it names (unless this is a rehearsal); nothing else.
 * The volumes are reserved for it until it is there (VolumeService.settle). */
export async function defineContainer(parts: DefinitionParts): Promise<ContainerDefinition> {
  const { request, image, layers, name, volumes, userNamespace, look, caller, shmSize, rehearsal } = parts;
  const { HostConfig, NetworkingConfig, ...own } = request;
  const { networks, networkIds } = parts.networking;
  const id = randomBytes(32).toString("hex");
  // Who keeps their id wants to work under it.
  const User =
    own.User || (userNamespace.kind === "keep-id" ? `${userNamespace.uid}:${userNamespace.gid}` : "");
  const merged = mergeImageDefaults({ ...own, User }, image.config.config ?? {});
  const asked = {
    command: Boolean(own.Cmd?.length || own.Entrypoint?.length),
    stopSignal: Boolean(own.StopSignal),
  };
  const config = HostConfig.Type === "system" ? systemDefaults(merged, asked, layers) : merged;
  commandOf(config);
  const hostConfig = completeHostConfig(HostConfig, shmSize);
  const sharesName = hostConfig.UTSMode === "host" || hostConfig.NetworkMode === "host";
  if (!config.Hostname && !hostConfig.NetworkMode.startsWith("container:"))
    config.Hostname = sharesName ? hostname() : id.slice(0, 12);
  const mounts = await resolveMounts(config, hostConfig, {
    volumes,
    images: parts.images,
    caller,
    id,
    layers,
    look,
    dataRoot: parts.dataRoot,
    rehearsal,
  });
  const created = now();
  return {
    id,
    name,
    created,
    owner: caller.id,
    imageId: image.id,
    config,
    hostConfig,
    networks,
    networkIds,
    mounts,
    userNamespace,
  };
}
