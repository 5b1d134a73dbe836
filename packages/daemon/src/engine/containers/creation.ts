// Makes containers: judges what is asked for, and either makes all of it or leaves nothing.
import { rmSync } from "node:fs";
import type { ContainerCreate, HostConfig } from "../../api/schemas/container-create.ts";
import { checkRareLimits } from "../../runtime/rare-controllers.ts";
import { parseSecurityOptions } from "../../runtime/security.ts";
import { type Caller, everything } from "../access/caller.ts";
import { checkCreate } from "../access/create-limits.ts";
import { invalid } from "../errors.ts";
import { requestedSize } from "../storage/options.ts";
import { privilegedWarning } from "../user-namespaces/service.ts";
import { checkName, commandOf, defineContainer, inventName } from "./definition.ts";
import { assignLabels } from "./labels.ts";
import type { ContainerLifecycle, LifecycleParts } from "./lifecycle.ts";
import { type Link, linkText, parseLink } from "./links.ts";
import { extras } from "./log-attributes.ts";
import { logForward } from "./log-forward.ts";
import { logSettings } from "./log-settings.ts";
import { forgetMounts } from "./mounts.ts";
import { LINK_TO_HOST, requestedNetworks } from "./networking.ts";
import { type ContainerDefinition, type ContainerMount, imagesOf, initialState } from "./record.ts";
import { refuseUnsupported } from "./unsupported.ts";
import { specifying, validateCreate } from "./validate.ts";

/** Throws for log options that can't be, before anything is made. */
function checkLogConfig(request: ContainerCreate): void {
  const { LogConfig } = request.HostConfig;
  logSettings(LogConfig);
  const example = {
    id: "0".repeat(64),
    name: "x",
    image: request.Image,
    imageId: "",
    labels: {},
    environment: [],
  };
  extras(LogConfig.Config, example);
  logForward(LogConfig.Type, LogConfig.Config, example);
}

/** What the engine itself adds to a container that it makes for somebody. */
export interface OwnAdditions {
  /** Judged by whoever asks for them. */
  mounts: readonly ContainerMount[];
  temporary: boolean;
}

export class ContainerCreation {
  readonly #parts: LifecycleParts;
  readonly #lifecycle: ContainerLifecycle;

  constructor(parts: LifecycleParts, lifecycle: ContainerLifecycle) {
    this.#parts = parts;
    this.#lifecycle = lifecycle;
  }

  /** What a container would be created as, judged as a create is; nothing is made. */
  async rehearse(
    request: ContainerCreate,
    name: string | undefined,
    caller: Caller,
  ): Promise<ContainerDefinition> {
    const { definition, links } = await this.#define(request, name, caller, undefined, true);
    this.#name(definition, links);
    assignLabels(definition, { modules: this.#parts.runtime.modules, registry: this.#lifecycle.registry });
    return definition;
  }

  /** A definition for a request, if its caller's role allows all of it; it has no name yet if it was given none. */
  async #define(
    request: ContainerCreate,
    name: string | undefined,
    caller: Caller,
    own: OwnAdditions | undefined,
    rehearsal: boolean,
  ): Promise<{
    definition: ContainerDefinition;
    links: readonly Link[];
    size: number | undefined;
    warnings: string[];
  }> {
    const bare = name ? checkName(name) : undefined;
    validateCreate(request);
    specifying(() => checkRareLimits(request.HostConfig, this.#parts.runtime.cgroups));
    checkCreate(caller, request);
    const missing = this.#checkModules(request.HostConfig);
    refuseUnsupported(request);
    checkLogConfig(request);
    if (!request.Image) {
      commandOf(request); // which is missed first
      throw invalid("no image specified");
    }
    const { images, volumes, networks } = this.#parts;
    const asked = requestedNetworks(request, networks, caller);
    const image = images.get(request.Image, caller);
    // A build's steps stand on images that have no name yet.
    if (!own) images.checkUse(image, caller);
    if (bare) this.#lifecycle.registry.checkNameFree(bare, caller);
    const resolved = { ...request, HostConfig: this.#resolvePartners(request.HostConfig, caller) };
    const links = this.#resolveLinks(resolved.HostConfig, caller);
    const foreign = specifying(() => this.#parts.runtime.foreign.find(resolved.HostConfig.Runtime));
    // Where there is no runc it is ours that runs the container, also once there is one.
    if (!foreign) resolved.HostConfig.Runtime = "tsd";
    const { userNamespaces } = this.#parts;
    const decision = userNamespaces.decide(resolved.HostConfig, caller, foreign !== undefined);
    const size = this.#limitSize(resolved.HostConfig);
    const layers = images.layerDirectories(image);
    // Volumes are filled from its layers: one that is removed meanwhile is missed when that is done.
    const release = images.hold(image);
    const definition = await defineContainer({
      request: resolved,
      image,
      layers,
      name: bare ?? "",
      networking: asked,
      volumes,
      images,
      userNamespace: decision.mode,
      look: (reference) => this.#lifecycle.registry.look(reference, caller),
      caller,
      shmSize: this.#parts.runtime.settings.defaults.shmSize,
      dataRoot: this.#parts.dataRoot,
      rehearsal,
    }).finally(release);
    if (own) {
      definition.mounts.push(...own.mounts);
      definition.temporary = own.temporary;
    }
    const sources = definition.mounts.filter(({ type }) => type === "bind").map(({ source }) => source);
    const { mode, warnings } = await userNamespaces.settle(decision, resolved.HostConfig, sources, caller);
    definition.userNamespace = mode;
    const opened = resolved.HostConfig.Privileged ? [privilegedWarning(mode)] : [];
    return {
      definition,
      links,
      size,
      warnings: [...asked.warnings, ...warnings, ...opened, ...missing],
    };
  }

  /** Gives it a name if it has none, and its links theirs. Nothing may wait between this and the registry's `add`:
   * another that is being created could invent the same name. */
  #name(definition: ContainerDefinition, links: readonly Link[]): void {
    definition.name ||= inventName((candidate) => this.#lifecycle.registry.isNameFree(candidate));
    definition.hostConfig.Links =
      links.length > 0 ? links.map((link) => linkText(link, definition.name)) : null;
  }

  /** Creates a container, if its caller's role allows all of it; nothing is left of one that can't be. */
  async create(
    request: ContainerCreate,
    name: string | undefined,
    caller: Caller,
    own?: OwnAdditions,
  ): Promise<{ id: string; warnings: string[] }> {
    const { images, volumes } = this.#parts;
    const { definition, links, size, warnings } = await this.#define(request, name, caller, own, false);
    try {
      await this.#lifecycle.starter.prepare(definition.id, size);
      for (const id of imagesOf(definition)) images.noteUse(images.get(id, everything));
      this.#name(definition, links);
      assignLabels(definition, { modules: this.#parts.runtime.modules, registry: this.#lifecycle.registry });
      const container = this.#lifecycle.registry.add({ definition, state: { ...initialState } });
      volumes.settle(definition.id);
      this.#lifecycle.announce(container, "create");
    } catch (error) {
      rmSync(this.#lifecycle.starter.directory(definition.id), { recursive: true, force: true });
      this.#parts.layers.discard(definition.id);
      forgetMounts(definition.mounts, { volumes, id: definition.id });
      throw error;
    }
    return { id: definition.id, warnings };
  }

  /** Throws for security options that this host can't fulfil; returns what is to be known of the others. */
  #checkModules(host: HostConfig): string[] {
    const security = parseSecurityOptions(host.SecurityOpt ?? [], host.Privileged);
    return specifying(() => this.#parts.runtime.modules.check(security));
  }

  /** Links of the default network lead to containers that exist for the caller, by their names; in others whoever is
   * linked to may come later. */
  #resolveLinks({ Links, NetworkMode }: HostConfig, caller: Caller): Link[] {
    if (!["", "default", "bridge"].includes(NetworkMode)) return [];
    return (Links ?? []).map((text) => {
      const link = parseLink(text);
      const found = this.#lifecycle.registry.look(link.container, caller);
      if (!found)
        throw invalid(`could not get container for ${link.container}: No such container: ${link.container}`);
      if (found.record.definition.hostConfig.NetworkMode === "host") throw invalid(LINK_TO_HOST);
      return { ...link, container: found.name };
    });
  }

  /** The most the container may write, in bytes: what is asked for, or else the daemon's default, which is put down. */
  #limitSize(host: HostConfig): number | undefined {
    const { layers } = this.#parts;
    const given = requestedSize(host.StorageOpt);
    if (given === undefined && layers.defaultSize) host.StorageOpt = { size: layers.defaultSize };
    const size = given ?? requestedSize(host.StorageOpt);
    if (size !== undefined) layers.check(size);
    return size;
  }

  /** Containers whose namespaces are to be shared, by their ids: a name might be another container's at the start. They
   * must exist for the caller; a network's partner may still be missing, for those who see all there will be. */
  #resolvePartners(host: HostConfig, caller: Caller): HostConfig {
    const resolve = (mode: string, required: boolean): string => {
      const partner = /^container:(.+)$/.exec(mode)?.[1];
      if (!partner) return mode;
      const found = this.#lifecycle.registry.look(partner, caller);
      if (!found && (required || caller.role?.scope !== "all"))
        throw invalid(`No such container: ${partner}`);
      return found ? `container:${found.id}` : mode;
    };
    return {
      ...host,
      PidMode: resolve(host.PidMode, true),
      IpcMode: resolve(host.IpcMode, true),
      NetworkMode: resolve(host.NetworkMode, false),
      UsernsMode: resolve(host.UsernsMode, true),
    };
  }
}
