// Makes a container's definition from a request and its image: names, defaults, mounts.
import { randomBytes, randomInt } from "node:crypto";
import { mkdir, realpath, stat } from "node:fs/promises";
import { hostname } from "node:os";
import type { ContainerConfig, ContainerCreate, HostConfig } from "../../api/schemas/container-create.ts";
import { checkTarget, parseBind, parseMount, parseTmpfs, type RequestedMount } from "../../runtime/mounts.ts";
import { defaultMaskedPaths, defaultReadonlyPaths } from "../../runtime/security.ts";
import { mergeEnvironment } from "../../runtime/specify.ts";
import { type Caller, denied } from "../access/caller.ts";
import { invalid } from "../errors.ts";
import type { ImageDefaults, ImageRecord } from "../images/image.ts";
import { now } from "../timestamps.ts";
import type { ContainerDefinition, ContainerMount } from "./record.ts";
import { systemDefaults } from "./system.ts";
import { specifying } from "./validate.ts";

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
  const entrypoint = resetEntrypoint ? null : ownEntrypoint ? request.Entrypoint : (image.Entrypoint ?? null);
  const ownCommand = request.Cmd !== null && request.Cmd.length > 0;
  const command = ownCommand ? request.Cmd : ownEntrypoint ? null : (image.Cmd ?? null);
  return {
    ...request,
    User: request.User || image.User || "",
    Env: mergeEnvironment(image.Env ?? [], request.Env ?? []),
    Entrypoint: entrypoint,
    Cmd: command,
    WorkingDir: request.WorkingDir || image.WorkingDir || "",
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
  const unconfined = host.Privileged || host.SecurityOpt?.includes("systempaths=unconfined");
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
    // −1 is how clients say nothing of it.
    MemorySwappiness: host.MemorySwappiness === -1 ? null : host.MemorySwappiness,
    SecurityOpt: host.SecurityOpt,
    MaskedPaths: unconfined ? [] : (host.MaskedPaths ?? [...defaultMaskedPaths]),
    ReadonlyPaths: unconfined ? [] : (host.ReadonlyPaths ?? [...defaultReadonlyPaths]),
  };
}

/** Where volumes are kept. */
export interface VolumePlace {
  /** Makes the volume's directory if it is not there, as the caller's, and returns it. Throws for somebody else's. */
  ensure(name: string, caller: Caller): Promise<string>;
  /** Removes a volume that nothing uses. */
  discard(name: string): Promise<void>;
  /** Forgets a volume whose directory somebody else takes away. */
  forget(name: string): void;
}

/** Every mount that a request and its image ask for; one target twice is an error, an image's volume gives way. */
function requestedMounts(config: ContainerConfig, host: HostConfig): RequestedMount[] {
  const mounts = specifying(() => [
    ...(host.Binds ?? []).map(parseBind),
    ...host.Mounts.map(parseMount),
    ...Object.entries(host.Tmpfs).map(
      ([target, options]): RequestedMount => ({
        ...parseBind(`/tmpfs:${checkTarget(target)}`),
        type: "tmpfs",
        source: "",
        tmpfsOptions: options,
      }),
    ),
  ]);
  const targets = new Set<string>();
  for (const { target, type, tmpfsOptions } of mounts) {
    if (targets.has(target)) throw invalid(`Duplicate mount point: ${target}`);
    targets.add(target);
    if (type === "tmpfs") specifying(() => parseTmpfs(tmpfsOptions));
  }
  for (const target of Object.keys(config.Volumes ?? {}))
    if (!targets.has(target)) mounts.push(specifying(() => parseBind(target)));
  return mounts;
}

async function resolveMount(
  mount: RequestedMount,
  volumes: VolumePlace,
  caller: Caller,
): Promise<ContainerMount> {
  if (mount.type === "volume") {
    const anonymous = mount.source === "";
    const name = mount.source || randomBytes(32).toString("hex");
    return { ...mount, name, source: await volumes.ensure(name, caller), anonymous, confined: false };
  }
  const resolved = { ...mount, name: "", anonymous: false };
  if (mount.type !== "bind") return { ...resolved, confined: false };
  const { source } = mount;
  const allowed = caller.role?.limits?.bindSources;
  const there = await stat(source).catch(() => undefined);
  // For those who may bind some directories only nothing is made: whose it would be is known when it is there.
  if (!there && (allowed || !mount.createSource))
    throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${source}`);
  if (!there) await mkdir(source, { recursive: true, mode: 0o755 });
  if (!allowed) return { ...resolved, confined: false };
  // Judged and kept as what it really is; the launcher refuses a source that has become a link since.
  return { ...resolved, source: checkBindSource(await realpath(source), allowed, caller), confined: true };
}

/** Throws for a source that is not below one of the allowed directories. */
function checkBindSource(source: string, allowed: readonly string[], caller: Caller): string {
  const below = allowed.some(
    (root) => source === root || source.startsWith(root === "/" ? root : `${root}/`),
  );
  if (below) return source;
  throw denied(caller, `to bind ${source}`);
}

/** Throws before anything is made for a bind that by its very path is none of the caller's. */
function checkBindPaths(mounts: readonly RequestedMount[], caller: Caller): void {
  const allowed = caller.role?.limits?.bindSources;
  if (!allowed) return;
  for (const { type, source } of mounts) if (type === "bind") checkBindSource(source, allowed, caller);
}

/** What a definition is made of. */
export interface DefinitionParts {
  request: ContainerCreate;
  image: ImageRecord;
  layers: readonly string[];
  name: string;
  networking: Pick<ContainerDefinition, "networks" | "networkIds">;
  volumes: VolumePlace;
  caller: Caller;
  /** Bytes of /dev/shm where nothing else is asked for. */
  shmSize: number;
}

/** A container's whole definition. Makes what volumes and bind sources it names; nothing else. */
export async function defineContainer(parts: DefinitionParts): Promise<ContainerDefinition> {
  const { request, image, layers, name, volumes, caller, shmSize } = parts;
  const { HostConfig, NetworkingConfig, ...own } = request;
  const { networks, networkIds } = parts.networking;
  const id = randomBytes(32).toString("hex");
  const merged = mergeImageDefaults(own, image.config.config ?? {});
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
  const requested = requestedMounts(config, hostConfig);
  checkBindPaths(requested, caller);
  const mounts: ContainerMount[] = [];
  for (const mount of requested) mounts.push(await resolveMount(mount, volumes, caller));
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
  };
}
