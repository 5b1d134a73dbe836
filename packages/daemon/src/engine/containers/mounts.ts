// A container's mounts: what its request, its image and the containers it takes volumes from ask for, made and resolved.
import { mkdir, realpath, stat } from "node:fs/promises";
import type { ContainerConfig, HostConfig } from "../../api/schemas/container-create.ts";
import {
  checkTarget,
  type Propagation,
  parseBind,
  parseMount,
  parseTmpfs,
  type RequestedMount,
} from "../../runtime/mounts.ts";
import type { Caller } from "../access/caller.ts";
import { invalid } from "../errors.ts";
import type { ImageSource } from "../images/image.ts";
import { checkBindSource } from "../volumes/limits.ts";
import type { VolumeService } from "../volumes/service.ts";
import type { ContainerMount } from "./record.ts";
import type { Container } from "./registry.ts";
import { specifying } from "./validate.ts";

export interface MountParts {
  volumes: VolumeService;
  images: ImageSource;
  caller: Caller;
  /** The container's id: volumes are reserved for it. */
  id: string;
  /** Its image's layers, topmost first. */
  layers: readonly string[];
  /** Containers that exist for the caller. */
  look: (reference: string) => Container | undefined;
  /** The daemon's own. */
  dataRoot: string;
  /** Only to know what would be: nothing is made, and no volume is held. */
  rehearsal: boolean;
}

/** Every mount that a request and its image ask for; one target twice is an error, an image's volume gives way. */
function requestedMounts(
  config: ContainerConfig,
  host: HostConfig,
  taken: ReadonlySet<string>,
): RequestedMount[] {
  const bind = (text: string): RequestedMount => ({ ...parseBind(text), driver: host.VolumeDriver });
  const mounts = specifying(() => [
    ...[...(host.Binds ?? []).map(bind), ...host.Mounts.map(parseMount)].map((mount) =>
      // What Docker shows of volumes that were asked for without a mode.
      mount.type === "volume" ? { ...mount, mode: mount.mode || "z" } : mount,
    ),
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
  for (const target of Object.keys(config.Volumes ?? {})) {
    const mount = specifying(() => bind(target));
    if (!targets.has(mount.target) && !taken.has(mount.target)) mounts.push(mount);
  }
  return mounts;
}

const sharedModes: ReadonlySet<string> = new Set([
  ...["", "rw", "ro", "rro", "z", "Z"],
  ...["consistent", "cached", "delegated", "default"],
]);

/** One of HostConfig.VolumesFrom: container[:mode]. */
function parseVolumesFrom(text: string): { reference: string; readOnly: boolean } {
  if (!text) throw invalid("volumes-from specification cannot be an empty string");
  const at = text.indexOf(":");
  const mode = at < 0 ? "" : text.slice(at + 1);
  const words = mode.split(",");
  if (!words.every((word) => sharedModes.has(word))) throw invalid(`invalid mode: ${mode}`);
  return {
    reference: at < 0 ? text : text.slice(0, at),
    readOnly: words.some((word) => word === "ro" || word === "rro"),
  };
}

/** What is taken from other containers, by target; later ones win. */
function sharedMounts(host: HostConfig, look: MountParts["look"]): Map<string, ContainerMount> {
  const shared = new Map<string, ContainerMount>();
  for (const text of host.VolumesFrom ?? []) {
    const { reference, readOnly } = parseVolumesFrom(text);
    const from = look(reference);
    if (!from) throw invalid(`No such container: ${reference}`);
    const { mounts, hostConfig } = from.record.definition;
    const tmpfs = new Set(Object.keys(hostConfig.Tmpfs).map((target) => checkTarget(target)));
    for (const mount of mounts)
      if (mount.type !== "tmpfs" || !tmpfs.has(mount.target))
        shared.set(mount.target, { ...mount, mode: "", readOnly: mount.readOnly || readOnly });
  }
  return shared;
}

/** Throws before anything is made for a bind that by its very path is none of the caller's. */
function checkBindPaths(mounts: readonly RequestedMount[], caller: Caller): void {
  const allowed = caller.role?.limits?.bindSources;
  if (!allowed) return;
  for (const { type, source } of mounts) if (type === "bind") checkBindSource(source, allowed, caller);
}

async function resolveVolume(mount: RequestedMount, parts: MountParts): Promise<ContainerMount> {
  const { volumes, caller, id, layers, rehearsal } = parts;
  const request = {
    name: mount.source,
    driver: mount.driver,
    options: mount.driverOptions,
    labels: mount.labels,
  };
  const volume = rehearsal
    ? await volumes.rehearse(request, caller)
    : await volumes.reserve(request, caller, id);
  const resolved = {
    ...kept(mount),
    name: volume.name,
    source: volumes.places.mountPoint(volume.name),
    anonymous: mount.source === "",
    confined: false,
  };
  if (rehearsal || mount.noCopy) return resolved;
  try {
    await volumes.fill(volume, layers, mount.target, mount.subpath);
  } catch (error) {
    forgetMounts([resolved], parts);
    throw error;
  }
  return resolved;
}

/** The part of a request that a definition keeps. */
const kept = (mount: RequestedMount) => ({
  type: mount.type,
  target: mount.target,
  readOnly: mount.readOnly,
  readOnlyRecursive: mount.readOnlyRecursive,
  recursive: mount.recursive,
  propagation: mount.propagation ?? "rprivate",
  mode: mount.mode,
  tmpfsOptions: mount.tmpfsOptions,
  subpath: mount.subpath,
});

/** A bind's source for those who may bind some directories only: judged and kept as what it really is; the launcher refuses
 * one that has become a link since. */
async function confine(source: string, caller: Caller): Promise<Pick<ContainerMount, "source" | "confined">> {
  const allowed = caller.role?.limits?.bindSources;
  if (!allowed) return { source, confined: false };
  const real = await realpath(source).catch(() => {
    throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${source}`);
  });
  return { source: checkBindSource(real, allowed, caller), confined: true };
}

/** How a bind's mounts follow the host's where the daemon's own data is in it: a copy that is kept would hold what the
 * daemon unmounts. Throws for a way of holding it. */
function propagationOf(mount: RequestedMount, dataRoot: string): Propagation {
  const within = (path: string, directory: string): boolean =>
    directory === "/" || path === directory || path.startsWith(`${directory}/`);
  const { source, propagation } = mount;
  if (!within(source, dataRoot) && !within(dataRoot, source)) return propagation ?? "rprivate";
  if (propagation === undefined || propagation === "rslave" || propagation === "rshared")
    return propagation ?? "rslave";
  throw invalid(
    `invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: ${JSON.stringify(dataRoot)}, bind mount source: ${JSON.stringify(source)}, propagation: ${JSON.stringify(propagation)}`,
  );
}

/** Judged as the image of a container is; what counts later is which one it was now. */
function resolveImage(reference: string, { images, caller }: MountParts): string {
  const image = images.get(reference, caller);
  images.checkUse(image, caller);
  if (image.config.rootfs.diff_ids.length === 0)
    throw invalid(`invalid mount config for type "image": ${reference} has no files`);
  return image.id;
}

async function resolveMount(mount: RequestedMount, parts: MountParts): Promise<ContainerMount> {
  if (mount.type === "volume") return resolveVolume(mount, parts);
  const resolved = { ...kept(mount), source: mount.source, name: "", anonymous: false, confined: false };
  if (mount.type === "image")
    return {
      ...resolved,
      name: mount.source,
      source: resolveImage(mount.source, parts),
      propagation: "private",
    };
  if (mount.type !== "bind") return resolved;
  const { source } = mount;
  const propagation = propagationOf(mount, parts.dataRoot);
  const there = await stat(source).catch(() => undefined);
  // For those who may bind some directories only nothing is made: whose it would be is known when it is there.
  if (!there && (parts.caller.role?.limits?.bindSources || !mount.createSource))
    throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${source}`);
  if (!there && !parts.rehearsal) await mkdir(source, { recursive: true, mode: 0o755 });
  return { ...resolved, propagation, ...(await confine(source, parts.caller)) };
}

/** A mount of another container's, judged as if it had been asked for. */
async function takeOver(mount: ContainerMount, parts: MountParts): Promise<ContainerMount> {
  const { volumes, caller, id, rehearsal } = parts;
  if (mount.type === "image") resolveImage(mount.source, parts);
  if (mount.type === "volume") {
    const request = { name: mount.name, driver: "", options: null, labels: null };
    if (rehearsal) await volumes.rehearse(request, caller);
    else await volumes.reserve(request, caller, id);
  }
  if (mount.type !== "bind") return mount;
  const { source, confined } = await confine(mount.source, caller);
  return { ...mount, source, confined: confined || mount.confined };
}

/** Resolves a container's mounts, and makes the volumes and bind sources they name. Of what was made, nothing without a name
 * is left when that fails. */
export async function resolveMounts(
  config: ContainerConfig,
  host: HostConfig,
  parts: MountParts,
): Promise<ContainerMount[]> {
  const shared = sharedMounts(host, parts.look);
  const requested = requestedMounts(config, host, new Set(shared.keys()));
  checkBindPaths(requested, parts.caller);
  for (const { target } of requested) shared.delete(target);
  const mounts: ContainerMount[] = [];
  try {
    for (const mount of shared.values()) mounts.push(await takeOver(mount, parts));
    for (const mount of requested) mounts.push(await resolveMount(mount, parts));
    return mounts;
  } catch (error) {
    forgetMounts(mounts, parts);
    throw error;
  }
}

/** Gives up the volumes of a container that is not to be. */
export function forgetMounts(
  mounts: readonly ContainerMount[],
  { volumes, id }: Pick<MountParts, "volumes" | "id">,
): void {
  volumes.settle(id);
  for (const { anonymous, name } of mounts) if (anonymous) volumes.removeUnused(name);
}
