// The life of containers: create, start, stop, kill, restart, wait, remove; and what happens when one ends.
import { renameSync, rmSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { AttachStreams, Monitor, Plan, ProcessExit } from "@tsd/kernel-bindings";
import type { ContainerCreate, HostConfig } from "../../api/schemas/container-create.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { conflict, invalid, notModified } from "../errors.ts";
import type { EventSink } from "../events/event.ts";
import type { ImageSource } from "../images/image.ts";
import type { DefaultNetwork } from "../networks/default-network.ts";
import { signalNumber } from "../signals.ts";
import { formatNanoseconds, now } from "../timestamps.ts";
import { Attachment } from "./attachment.ts";
import { checkName, defineContainer, inventName, type VolumePlace } from "./create.ts";
import { parseDetachKeys } from "./detach-keys.ts";
import { describeLaunchFailure } from "./launch-error.ts";
import { logSettings } from "./log-settings.ts";
import { type ContainerState, type ContainerStore, initialState } from "./record.ts";
import { type Container, ContainerRegistry } from "./registry.ts";
import { ContainerStarter, type Start } from "./starter.ts";
import { Trash } from "./trash.ts";
import { refuseUnsupported } from "./unsupported.ts";
import { validateCreate } from "./validate.ts";

export interface ContainerServiceParts {
  store: ContainerStore;
  runtime: Runtime;
  images: ImageSource;
  network: DefaultNetwork;
  volumes: VolumePlace;
  events: EventSink;
  /** Where containers keep their directories, and removed ones wait for deletion. */
  root: string;
  trash: string;
  /** Problems that no client waits for. */
  report: (problem: unknown, what: string) => void;
}

export type WaitCondition = "not-running" | "next-exit" | "removed";

const DEFAULT_STOP_SIGNAL = "SIGTERM";
const DEFAULT_STOP_SECONDS = 10;

export class ContainerService {
  readonly registry: ContainerRegistry;
  readonly starter: ContainerStarter;
  readonly #parts: ContainerServiceParts;
  readonly #trash: Trash;

  constructor(parts: ContainerServiceParts) {
    this.#parts = parts;
    this.#trash = new Trash(parts.report);
    this.registry = new ContainerRegistry(parts.store);
    this.starter = new ContainerStarter({ ...parts, registry: this.registry });
  }

  find(reference: string): Container {
    return this.registry.find(reference);
  }

  /** Creates a container; nothing is left of one that can't be. */
  async create(
    request: ContainerCreate,
    name: string | undefined,
  ): Promise<{ id: string; warnings: string[] }> {
    const bare = name ? checkName(name) : undefined;
    validateCreate(request);
    refuseUnsupported(request);
    logSettings(request.HostConfig.LogConfig);
    if (!request.Image) throw invalid("config cannot be empty in order to create a container");
    const image = this.#parts.images.get(request.Image);
    if (bare) this.registry.checkNameFree(bare);
    this.#checkPartners(request.HostConfig);
    const chosen = bare ?? inventName((candidate) => this.registry.isNameFree(candidate));
    const definition = await defineContainer(request, image, chosen, this.#parts.volumes);
    this.starter.prepare(definition.id);
    try {
      const container = this.registry.add({ definition, state: { ...initialState } });
      this.#publish(container, "create");
    } catch (error) {
      rmSync(this.starter.directory(definition.id), { recursive: true, force: true });
      throw error;
    }
    const unhealthy = image.config.config?.Healthcheck?.Test?.length && !request.Healthcheck?.Test?.length;
    return {
      id: definition.id,
      warnings: unhealthy ? ["healthchecks are not built yet: the image's is not run"] : [],
    };
  }

  /** Containers whose namespaces are to be shared must exist at create; a network's partner only at the start. */
  #checkPartners(host: HostConfig): void {
    for (const mode of [host.PidMode, host.IpcMode]) {
      const partner = /^container:(.+)$/.exec(mode)?.[1];
      if (partner && !this.registry.has(partner)) throw invalid(`No such container: ${partner}`);
    }
  }

  start(reference: string): Promise<void> {
    const container = this.find(reference);
    return container.exclusively(() => this.#start(container));
  }

  async #start(container: Container): Promise<void> {
    if (container.removing) throw conflict("container is marked for removal and cannot be started");
    if (container.running) throw notModified(`container ${container.id} is already running`);
    container.stopping = false;
    let start: Start | undefined;
    try {
      start = this.starter.start(container);
      const { pid, startedAt } = await start.launch.monitor.started;
      container.change({
        ...initialState,
        address: container.state.address,
        status: "running",
        pid,
        startedAt: formatNanoseconds(startedAt),
      });
    } catch (cause) {
      await this.#abandon(container, cause, start?.plan);
    }
    if (!start) return;
    container.monitor = start.launch.monitor;
    start.clients.forEach((client, index) => {
      const stream = start.launch.clients[index];
      container.waitingClients.delete(client);
      if (stream) client.connect(stream);
    });
    for (const late of container.waitingClients) this.#connect(container, late);
    container.waitingClients.clear();
    this.#publish(container, "start");
    this.#watch(container, start.launch.monitor);
  }

  /** A start that failed: everything it made goes, the reason stays. */
  async #abandon(container: Container, cause: unknown, plan: Plan | undefined): Promise<never> {
    const { error, exitCode } = describeLaunchFailure(cause, plan, "container");
    await this.starter
      .release(container)
      .catch((problem) => this.#parts.report(problem, "release after a failed start"));
    container.change({ status: "created", pid: 0, exitCode, error: error.message });
    for (const client of container.waitingClients) client.close();
    container.waitingClients.clear();
    container.announceExit(exitCode);
    if (container.record.definition.hostConfig.AutoRemove) await this.#remove(container, true);
    throw error;
  }

  /** Waits for the process's end and does what is to be done then. */
  #watch(container: Container, monitor: Monitor): void {
    monitor.exited
      .then((exit) => container.exclusively(() => this.#ended(container, exit)))
      .catch((error) => this.#parts.report(error, `end of container ${container.id}`));
  }

  async #ended(container: Container, exit: ProcessExit | undefined): Promise<void> {
    const { runtime } = this.#parts;
    const places = runtime.places(container.id, container.record.definition.hostConfig.CgroupParent);
    const known = exit ?? (await runtime.exitRecord(places.exitRecord));
    const oomKilled = runtime.cgroups.oomKills(places.cgroup) > 0;
    await this.starter.release(container);
    container.monitor?.release();
    container.monitor = undefined;
    const changes: Partial<ContainerState> = known
      ? { status: "exited", exitCode: known.exitCode, finishedAt: formatNanoseconds(known.exitedAt) }
      : { status: "exited", exitCode: 137, error: "the container's monitor was lost", finishedAt: now() };
    container.change({ ...changes, pid: 0, oomKilled });
    if (oomKilled) this.#publish(container, "oom");
    this.#publish(container, "die", { exitCode: String(container.state.exitCode) });
    container.announceExit(container.state.exitCode);
    if (container.record.definition.hostConfig.AutoRemove) await this.#remove(container, true);
  }

  /** Sends a signal to process 1. */
  kill(reference: string, signal: string): void {
    const container = this.find(reference);
    const introduction = `cannot kill container: ${reference}: `;
    const number = signalNumber(signal || "SIGKILL", introduction);
    if (!container.running || !container.monitor)
      throw conflict(`${introduction}container ${container.id} is not running`);
    container.monitor.signal(number);
    this.#publish(container, "kill", { signal: String(number) });
  }

  /** Asks the process to end, and makes it after `seconds` (negative: waits for ever). */
  async stop(
    reference: string,
    options: { signal?: string | undefined; seconds?: number | undefined },
  ): Promise<void> {
    const container = this.find(reference);
    const { config } = container.record.definition;
    const signal = options.signal || config.StopSignal || DEFAULT_STOP_SIGNAL;
    const number = signalNumber(signal);
    if (!container.running) throw notModified(`container ${container.id} is not running`);
    await this.#stop(container, number, options.seconds ?? config.StopTimeout ?? DEFAULT_STOP_SECONDS);
    this.#publish(container, "stop");
  }

  async #stop(container: Container, signal: number, seconds: number): Promise<void> {
    const exited = container.nextExit();
    container.stopping = true;
    container.monitor?.signal(signal);
    this.#publish(container, "kill", { signal: String(signal) });
    if (seconds < 0) {
      await exited;
      return;
    }
    const timer = new AbortController();
    const late = delay(seconds * 1000, "late", { signal: timer.signal }).catch(() => "ended");
    const first = await Promise.race([exited, late]);
    timer.abort();
    if (first !== "late") return;
    container.monitor?.signal(9);
    this.#publish(container, "kill", { signal: "9" });
    await exited;
  }

  async restart(
    reference: string,
    options: { signal?: string | undefined; seconds?: number | undefined },
  ): Promise<void> {
    const container = this.find(reference);
    const automatic = container.record.definition.hostConfig.AutoRemove;
    if (container.running) {
      // Not to be removed between its two lives.
      container.record.definition.hostConfig.AutoRemove = false;
      await this.stop(reference, options).finally(() => {
        container.record.definition.hostConfig.AutoRemove = automatic;
      });
    }
    await container.exclusively(() => this.#start(container));
    this.#publish(container, "restart");
  }

  /** Resolves with the exit code once the condition holds. Throws for a condition that there is none of. */
  wait(reference: string, condition: string): Promise<number> {
    if (!["", "not-running", "next-exit", "removed"].includes(condition))
      throw invalid(`invalid condition: "${condition}"`);
    const container = this.find(reference);
    if (condition === "removed") return container.removed().then(() => container.state.exitCode);
    if (condition === "next-exit" || container.running) return container.nextExit();
    return Promise.resolve(container.state.exitCode);
  }

  async remove(reference: string, options: { force: boolean; volumes: boolean }): Promise<void> {
    const container = this.find(reference);
    if (container.removing) throw conflict(`removal of container ${reference} is already in progress`);
    if (container.running && !options.force)
      throw conflict(
        `cannot remove container "/${container.name}": container is running: stop the container before removing or force remove`,
      );
    container.removing = true;
    try {
      if (container.running) {
        const exited = container.nextExit();
        container.stopping = true;
        container.monitor?.signal(9);
        await exited;
      }
      await container.exclusively(() => this.#remove(container, options.volumes));
    } catch (error) {
      container.removing = false;
      throw error;
    }
  }

  /** Takes a container that is not running out of the world: first out of sight, then, at leisure, off the disk. */
  async #remove(container: Container, volumes: boolean): Promise<void> {
    if (!this.registry.all().includes(container)) return; // --rm and rm at once
    container.removing = true;
    for (const client of container.waitingClients) client.close();
    const waiting = join(this.#parts.trash, container.id);
    renameSync(this.starter.directory(container.id), waiting);
    this.registry.delete(container);
    this.#publish(container, "destroy");
    container.announceRemoval();
    const anonymous = volumes ? container.record.definition.mounts.filter((mount) => mount.anonymous) : [];
    this.#trash.discard(waiting, ...anonymous.map(({ source }) => join(source, "..")));
  }

  /** Attaches a client, now or, if the container does not run, when it starts. */
  attach(reference: string, client: Duplex, streams: AttachStreams, detachKeys: string): void {
    const container = this.find(reference);
    const { config } = container.record.definition;
    const keys = config.Tty && streams.stdin ? parseDetachKeys(detachKeys) : undefined;
    const attachment = new Attachment(
      client,
      { ...streams, stdin: streams.stdin && config.OpenStdin },
      keys,
      () => this.#publish(container, "detach"),
    );
    this.#publish(container, "attach");
    if (container.running) this.#connect(container, attachment);
    else {
      container.waitingClients.add(attachment);
      client.on("close", () => container.waitingClients.delete(attachment));
    }
  }

  #connect(container: Container, attachment: Attachment): void {
    const { socket } = this.#parts.runtime.places(container.id);
    attachment.connect(this.#parts.runtime.attach(socket, attachment.streams));
  }

  /** Sets the size of a container's terminal. */
  resize(reference: string, columns: number, rows: number): void {
    const container = this.find(reference);
    if (!container.running || !container.monitor) throw conflict(`container ${container.id} is not running`);
    container.monitor.resize(columns, rows);
    this.#publish(container, "resize", { height: String(rows), width: String(columns) });
  }

  /** After a start of the daemon: finds the monitors again, learns what ended meanwhile, sweeps what is nobody's. */
  async adopt(): Promise<void> {
    const { runtime, network } = this.#parts;
    for (const container of this.registry.all()) {
      if (!container.running) {
        // A start that the last daemon did not live to see the end of: it counts as none.
        await this.starter.release(container);
        continue;
      }
      if (container.state.address) network.reserve(container.state.address);
      const monitor = runtime.adopt(runtime.places(container.id).socket);
      const alive = await monitor.started.then(
        () => true,
        () => false,
      );
      if (alive) {
        container.monitor = monitor;
        this.#watch(container, monitor);
      } else await container.exclusively(() => this.#ended(container, undefined));
    }
    for (const stray of await runtime.strays((prefix) => this.registry.findByIdPrefix(prefix) !== undefined))
      await rm(stray, { recursive: true, force: true });
    for (const name of await readdir(this.#parts.root))
      if (!this.registry.has(name)) await rm(join(this.#parts.root, name), { recursive: true, force: true });
    await rm(this.#parts.trash, { recursive: true, force: true });
  }

  #publish(container: Container, action: string, attributes: Record<string, string> = {}): void {
    const { config } = container.record.definition;
    this.#parts.events.publish({
      Type: "container",
      Action: action,
      Actor: {
        ID: container.id,
        Attributes: { ...config.Labels, image: config.Image, name: container.name, ...attributes },
      },
    });
  }

  /** For the parts that speak of containers in events. */
  announce(container: Container, action: string, attributes: Record<string, string> = {}): void {
    this.#publish(container, action, attributes);
  }
}
