// What clients ask of containers: create, start, stop, kill, restart, wait, remove, attach.
import { rmSync } from "node:fs";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { AttachStreams } from "@tsd/kernel-bindings";
import type { ContainerCreate, HostConfig } from "../../api/schemas/container-create.ts";
import { checkRareLimits } from "../../runtime/rare-controllers.ts";
import { parseSecurityOptions } from "../../runtime/security.ts";
import type { Caller, Sight } from "../access/caller.ts";
import { checkCreate } from "../access/create-limits.ts";
import { conflict, invalid, notModified } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import { signalNumber } from "../signals.ts";
import { requestedSize } from "../storage/options.ts";
import { privilegedWarning } from "../user-namespaces/service.ts";
import { Attachment } from "./attachment.ts";
import { checkName, commandOf, defineContainer, inventName } from "./create.ts";
import { Demultiplexer } from "./demultiplex.ts";
import { parseDetachKeys } from "./detach-keys.ts";
import { killAndWait } from "./kill.ts";
import { assignLabels } from "./labels.ts";
import { ContainerLifecycle, type LifecycleParts } from "./lifecycle.ts";
import { type Link, linkText, parseLink } from "./links.ts";
import { extras } from "./log-attributes.ts";
import { logForward } from "./log-forward.ts";
import { logSettings } from "./log-settings.ts";
import { forgetMounts } from "./mounts.ts";
import { LINK_TO_HOST, requestedNetworks } from "./networking.ts";
import { type ContainerDefinition, type ContainerMount, initialState } from "./record.ts";
import type { Container, ContainerRegistry } from "./registry.ts";
import type { ContainerStarter } from "./starter.ts";
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

const SIGKILL = 9;
const DEFAULT_STOP_SIGNAL = "SIGTERM";
const DEFAULT_STOP_SECONDS = 10;

export interface StopOptions {
  signal?: string | undefined;
  seconds?: number | undefined;
}

/** What the engine itself adds to a container that it makes for somebody. */
export interface OwnAdditions {
  /** Judged by whoever asks for them. */
  mounts: readonly ContainerMount[];
  temporary: boolean;
}

export class ContainerService {
  readonly lifecycle: ContainerLifecycle;
  readonly #parts: LifecycleParts;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
    this.lifecycle = new ContainerLifecycle(parts);
  }

  get registry(): ContainerRegistry {
    return this.lifecycle.registry;
  }
  get starter(): ContainerStarter {
    return this.lifecycle.starter;
  }

  find(reference: string, sight: Sight): Container {
    return this.registry.find(reference, sight);
  }

  /** For the parts that speak of containers in events. */
  announce(container: Container, action: string, attributes: Record<string, string> = {}): void {
    this.lifecycle.announce(container, action, attributes);
  }

  /** What a container would be created as, judged as a create is; nothing is made. */
  async rehearse(
    request: ContainerCreate,
    name: string | undefined,
    caller: Caller,
  ): Promise<ContainerDefinition> {
    const { definition, links } = await this.#define(request, name, caller, undefined, true);
    this.#name(definition, links);
    assignLabels(definition, { modules: this.#parts.runtime.modules, registry: this.registry });
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
    image: ImageRecord;
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
    if (bare) this.registry.checkNameFree(bare, caller);
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
      userNamespace: decision.mode,
      look: (reference) => this.registry.look(reference, caller),
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
      image,
      size,
      warnings: [...asked.warnings, ...warnings, ...opened, ...missing],
    };
  }

  /** Gives it a name if it has none, and its links theirs. Nothing may wait between this and the registry's `add`:
   * another that is being created could invent the same name. */
  #name(definition: ContainerDefinition, links: readonly Link[]): void {
    definition.name ||= inventName((candidate) => this.registry.isNameFree(candidate));
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
    const { definition, links, image, size, warnings } = await this.#define(
      request,
      name,
      caller,
      own,
      false,
    );
    try {
      await this.starter.prepare(definition.id, size);
      images.noteUse(image);
      this.#name(definition, links);
      assignLabels(definition, { modules: this.#parts.runtime.modules, registry: this.registry });
      const container = this.registry.add({ definition, state: { ...initialState } });
      volumes.settle(definition.id);
      this.announce(container, "create");
    } catch (error) {
      rmSync(this.starter.directory(definition.id), { recursive: true, force: true });
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
      const found = this.registry.look(link.container, caller);
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
      const found = this.registry.look(partner, caller);
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

  async start(container: Container): Promise<void> {
    if (container.paused) throw conflict("cannot start a paused container, try unpause instead");
    await container.exclusively(() => this.lifecycle.start(container));
  }

  /** Sends a signal to process 1; `reference` is what the client calls the container. */
  kill(container: Container, reference: string, signal: string): void {
    const introduction = `cannot kill container: ${reference}: `;
    const number = signalNumber(signal || "SIGKILL", introduction);
    if (container.state.status === "restarting" && number === SIGKILL) {
      this.#stay(container);
      return;
    }
    if (!container.alive || !container.monitor)
      throw conflict(`${introduction}container ${container.id} is not running`);
    // Whoever ends it this way does not want it back; other signals are between them and the process.
    const ends = number === SIGKILL || number === this.#stopSignal(container);
    if (ends) container.note({ manuallyStopped: true });
    this.lifecycle.signal(container, number, ends);
  }

  #stopSignal(container: Container, given?: string): number {
    return signalNumber(given || container.record.definition.config.StopSignal || DEFAULT_STOP_SIGNAL);
  }

  /** Ends the waiting of a container that its policy was about to start again. */
  #stay(container: Container): void {
    this.lifecycle.cancelRestart(container);
    container.note({ status: "exited", manuallyStopped: true });
  }

  /** Asks the container to end, and makes it after a while (−1: never). */
  async stop(container: Container, options: StopOptions): Promise<void> {
    const { config } = container.record.definition;
    const number = this.#stopSignal(container, options.signal);
    if (container.state.status === "restarting") this.#stay(container);
    else if (!container.alive) throw notModified(`container ${container.id} is not running`);
    else {
      container.note({ manuallyStopped: true });
      await this.#stop(container, number, options.seconds ?? config.StopTimeout ?? DEFAULT_STOP_SECONDS);
    }
    this.announce(container, "stop");
  }

  async #stop(container: Container, signal: number, seconds: number): Promise<void> {
    const exited = container.nextExit();
    this.lifecycle.signal(container, signal, true);
    if (seconds < 0) {
      await exited;
      return;
    }
    const timer = new AbortController();
    const late = delay(seconds * 1000, "late", { signal: timer.signal }).catch(() => "ended");
    const first = await Promise.race([exited, late]);
    timer.abort();
    if (first === "late") await killAndWait(this.lifecycle, container);
  }

  /** Ends every container, for the daemon's own end: they start again with the next daemon if their policies say so. */
  async stopAll(): Promise<void> {
    this.lifecycle.closing = true;
    await Promise.all(
      this.registry.all().map(async (container) => {
        const { StopTimeout } = container.record.definition.config;
        if (container.state.status === "restarting") this.lifecycle.cancelRestart(container);
        if (!container.alive) return;
        await this.#stop(container, this.#stopSignal(container), StopTimeout ?? DEFAULT_STOP_SECONDS);
      }),
    );
  }

  async restart(container: Container, options: StopOptions): Promise<void> {
    const automatic = container.record.definition.hostConfig.AutoRemove;
    if (container.running) {
      // Not to be removed between its two lives.
      container.record.definition.hostConfig.AutoRemove = false;
      await this.stop(container, options).finally(() => {
        container.record.definition.hostConfig.AutoRemove = automatic;
      });
    }
    await container.exclusively(() => this.lifecycle.start(container));
    this.announce(container, "restart");
  }

  /** Resolves with the exit code once the condition holds. Throws for a condition that there is none of. */
  wait(container: Container, condition: string): Promise<number> {
    if (!["", "not-running", "next-exit", "removed"].includes(condition))
      throw invalid(`invalid condition: "${condition}"`);
    if (condition === "removed") return container.removed().then(() => container.state.exitCode);
    if (condition === "next-exit" || container.running) return container.nextExit();
    return Promise.resolve(container.state.exitCode);
  }

  async remove(
    container: Container,
    options: { force: boolean; volumes: boolean },
    reference = container.id,
  ): Promise<void> {
    if (container.removing) throw conflict(`removal of container ${reference} is already in progress`);
    const checkForce = (): void => {
      if (!container.running || options.force) return;
      const reason = container.paused
        ? "is paused and must be unpaused first"
        : `is ${container.state.status}: stop the container before removing or force remove`;
      throw conflict(`cannot remove container "/${container.name}": container ${reason}`);
    };
    checkForce();
    container.removing = true;
    try {
      if (container.state.status === "restarting") this.#stay(container);
      do {
        // A start that had begun before may have made it run by now.
        checkForce();
        if (container.alive) {
          container.note({ manuallyStopped: true });
          await killAndWait(this.lifecycle, container);
        }
      } while (!(await this.#removeStopped(container, options.volumes)));
    } catch (error) {
      container.removing = false;
      throw error;
    }
  }

  /** Removes a container unless it runs; whether it did. */
  #removeStopped(container: Container, volumes: boolean): Promise<boolean> {
    return container.exclusively(async () => {
      if (container.alive) return false;
      await this.lifecycle.remove(container, volumes);
      return true;
    });
  }

  /** Attaches a client, now or, if the container does not run, when it starts. With `plain` the client gets bytes without
   * the multiplexed format's headers. */
  attach(
    container: Container,
    client: Duplex,
    streams: AttachStreams,
    detachKeys: string,
    plain = false,
  ): void {
    const { config } = container.record.definition;
    const keys = config.Tty && streams.stdin ? parseDetachKeys(detachKeys) : undefined;
    const attachment = new Attachment(
      client,
      { ...streams, stdin: streams.stdin && config.OpenStdin },
      keys,
      () => this.announce(container, "detach"),
      plain ? new Demultiplexer() : undefined,
    );
    this.announce(container, "attach");
    if (container.alive) this.starter.connect(container, attachment);
    else {
      container.waitingClients.add(attachment);
      client.on("close", () => container.waitingClients.delete(attachment));
    }
  }

  /** Sets the size of a container's terminal. */
  resize(container: Container, columns: number, rows: number): void {
    if (!container.alive || !container.monitor) throw conflict(`container ${container.id} is not running`);
    container.monitor.resize(columns, rows);
    this.announce(container, "resize", { height: String(rows), width: String(columns) });
  }
}
