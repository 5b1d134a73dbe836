// One container's life as it happens: start, end, the next start by its policy, removal. Callers see to it that one thing
// happens to a container at a time (Container.exclusively).
import { renameSync } from "node:fs";
import { join } from "node:path";
import { KernelError, type Monitor, type Plan, type ProcessExit } from "@tsd/kernel-bindings";
import type { LinkReaper } from "../../runtime/network/link-reaper.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { everything } from "../access/caller.ts";
import { conflict, notModified } from "../errors.ts";
import type { EventSink } from "../events/event.ts";
import type { ImageSource } from "../images/image.ts";
import type { Memberships } from "../networks/memberships.ts";
import type { Names } from "../networks/names.ts";
import type { NetworkService } from "../networks/service.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import { formatNanoseconds, milliseconds, now } from "../timestamps.ts";
import type { UserNamespaces } from "../user-namespaces/service.ts";
import type { VolumeService } from "../volumes/service.ts";
import { initialHealth } from "./health.ts";
import { describeLaunchFailure } from "./launch-error.ts";
import { volumeNames } from "./mount-spec.ts";
import { type ContainerStore, initialState } from "./record.ts";
import { type Container, ContainerRegistry } from "./registry.ts";
import { nextDelay, restartsAfterExit } from "./restart-policy.ts";
import { ContainerStarter, type Start } from "./starter.ts";
import { Trash } from "./trash.ts";

export interface LifecycleParts {
  store: ContainerStore;
  runtime: Runtime;
  images: ImageSource;
  networks: NetworkService;
  memberships: Memberships;
  reaper: LinkReaper;
  names: Names;
  volumes: VolumeService;
  userNamespaces: UserNamespaces;
  layers: WritableLayers;
  events: EventSink;
  /** The daemon's own data. */
  dataRoot: string;
  /** Where containers keep their directories, and removed ones wait for deletion. */
  root: string;
  skeleton: string;
  /** The lowest layer of other images, where they are mounted: a directory with nothing in it. */
  empty: string;
  trash: string;
  /** Problems that no client waits for. */
  report: (problem: unknown, what: string) => void;
}

/** Told when containers start and end: healthchecks and execs belong to a life. */
export interface LifecycleObserver {
  started(container: Container): void;
  ended(container: Container): void;
}

const LOST = 137;
const SIGHUP = 1;
const SIGINT = 2;

/** How a container ended, from what its monitor said or left; nothing means that the monitor itself was lost. */
interface End {
  exitCode: number;
  finishedAt: string;
  error: string;
  dead: boolean;
  /** A whole system asked to be started again (reboot). */
  reboot: boolean;
}

const SIGKILL = 9;

export class ContainerLifecycle {
  readonly registry: ContainerRegistry;
  readonly starter: ContainerStarter;
  readonly parts: LifecycleParts;
  readonly #trash: Trash;
  readonly #observers: LifecycleObserver[] = [];
  /** Set while the daemon ends its containers: no policy starts them again before the next daemon. */
  closing = false;

  constructor(parts: LifecycleParts) {
    this.parts = parts;
    this.#trash = new Trash(parts.report);
    this.registry = new ContainerRegistry(parts.store);
    this.starter = new ContainerStarter({ ...parts, registry: this.registry });
  }

  observe(observer: LifecycleObserver): void {
    this.#observers.push(observer);
  }

  announce(container: Container, action: string, attributes: Record<string, string> = {}): void {
    const { config } = container.record.definition;
    this.parts.events.publish({
      Type: "container",
      Action: action,
      Actor: {
        ID: container.id,
        Attributes: { ...config.Labels, image: config.Image, name: container.name, ...attributes },
      },
      owner: container.owner,
    });
  }

  /** Starts a container. Throws with Docker's words; nothing of the start is left then. */
  async start(container: Container, automatic = false): Promise<void> {
    if (container.removing) throw conflict("container is marked for removal and cannot be started");
    if (container.alive) throw notModified(`container ${container.id} is already running`);
    this.cancelRestart(container);
    let start: Start | undefined;
    try {
      const ready = this.starter.ready(container);
      if (ready) {
        await ready;
        if (container.alive) return;
      }
      const mounting = this.parts.volumes.use(volumeNames(container), container.id);
      if (mounting) await mounting;
      const { pid, startedAt } = await this.parts.layers.withRoom(container.id, () => {
        const begun = this.starter.start(container);
        start = begun;
        return begun.launch.monitor.started;
      });
      container.change({
        ...initialState,
        endpoints: container.state.endpoints,
        ports: container.state.ports,
        userNamespace: container.state.userNamespace,
        linkEnvironment: container.state.linkEnvironment,
        restartCount: automatic ? container.state.restartCount + 1 : 0,
        finishedAt: container.state.finishedAt,
        status: "running",
        pid,
        startedAt: formatNanoseconds(startedAt),
        health: initialHealth(container.record.definition.config),
      });
    } catch (cause) {
      start?.launch.monitor.release();
      // What the kernel refused may have been to join a container that has ended meanwhile.
      const lost = cause instanceof KernelError ? this.starter.sharing.lost(container) : undefined;
      await this.#abandon(container, lost ?? cause, start?.plan, automatic);
    }
    if (!start) return;
    await this.#refreshLinks();
    if (!automatic) container.restartDelay = 0;
    this.#announceAttachments(container, true);
    for (const [index, client] of start.clients.entries()) {
      const stream = start.launch.clients[index];
      container.waitingClients.delete(client);
      if (stream) client.connect(stream);
    }
    for (const late of container.waitingClients) this.starter.connect(container, late);
    container.waitingClients.clear();
    this.announce(container, "start");
    this.#follow(container, start.launch.monitor);
  }

  /** Takes a running container up: its end is waited for, its healthcheck runs. */
  #follow(container: Container, monitor: Monitor): void {
    container.monitor = monitor;
    monitor.exited
      .then((exit) => container.exclusively(() => this.ended(container, exit)))
      .catch((error) => this.parts.report(error, `end of container ${container.id}`));
    monitor.onOutOfMemory((_times, now) => this.#outOfMemory(container, now));
    for (const observer of this.#observers) observer.started(container);
  }

  /** A process of its was killed, or waits, for want of memory: `now`, or while there was no daemon, of which an earlier one
   * may have told. */
  #outOfMemory(container: Container, now: boolean): void {
    if (!container.alive || (container.state.oomKilled && !now)) return;
    container.note({ oomKilled: true });
    this.announce(container, "oom");
  }

  /** Finds the monitor of a container that an earlier daemon started; false when it is gone. */
  async adopt(container: Container): Promise<boolean> {
    const { runtime, memberships, report } = this.parts;
    memberships.takeUp(this.starter.member(container), container.state, report);
    this.#takeUpIds(container);
    const monitor = runtime.adopt(runtime.places(container.id).socket);
    const alive = await monitor.started.then(
      () => true,
      () => false,
    );
    if (alive) this.#follow(container, monitor);
    return alive;
  }

  /** The ids that an earlier daemon gave it are nobody else's. */
  #takeUpIds({ id, state }: Container): void {
    if (state.userNamespace?.exclusive) this.parts.userNamespaces.takeUp(id, state.userNamespace.maps);
  }

  /** Finds out what became of a start that an earlier daemon did not live to tell of; false when nothing did. */
  async adoptStart(container: Container): Promise<boolean> {
    const { runtime } = this.parts;
    const places = runtime.places(container.id);
    const monitor = runtime.adopt(places.socket);
    const running = await monitor.started.catch(() => undefined);
    const exit = running ? undefined : await runtime.exitRecord(places.exitRecord);
    if (!running && !exit) return false;
    const { endpoints, ports, linkEnvironment, userNamespace } = container.state;
    this.parts.memberships.takeUp(this.starter.member(container), { endpoints, ports }, this.parts.report);
    this.#takeUpIds(container);
    container.note({
      ...initialState,
      endpoints,
      ports,
      userNamespace,
      linkEnvironment,
      status: "running",
      pid: running?.pid ?? 0,
      startedAt: formatNanoseconds(running?.startedAt ?? exit?.exitedAt ?? 0n),
      health: initialHealth(container.record.definition.config),
    });
    this.#announceAttachments(container, true);
    this.announce(container, "start");
    if (running) this.#follow(container, monitor);
    else await this.ended(container, exit);
    return true;
  }

  /** A start that failed: everything it made goes, the reason stays. */
  async #abandon(
    container: Container,
    cause: unknown,
    plan: Plan | undefined,
    automatic: boolean,
  ): Promise<never> {
    const { error, exitCode } = describeLaunchFailure(cause, plan, "container");
    const { runtime } = this.parts;
    await this.starter
      .release(container)
      .catch((problem) => this.parts.report(problem, "release after a failed start"));
    runtime.forget(runtime.places(container.id));
    const status = automatic ? "exited" : "created";
    container.note({ status, pid: 0, exitCode, error: error.message });
    for (const client of container.waitingClients) client.close();
    container.waitingClients.clear();
    container.announceExit(exitCode);
    if (container.record.definition.hostConfig.AutoRemove) await this.remove(container, true);
    throw error;
  }

  /** What happened, for the record. */
  async #end(container: Container, exit: ProcessExit | undefined): Promise<End> {
    const { runtime } = this.parts;
    const known = exit ?? (await runtime.exitRecord(runtime.places(container.id).exitRecord));
    if (!known) {
      const error = "the container's monitor was lost (it was killed, or the machine was restarted)";
      return { exitCode: LOST, finishedAt: now(), error, dead: true, reboot: false };
    }
    const system = container.record.definition.hostConfig.Type === "system";
    // reboot(2) in a PID namespace ends its init by these signals (pid_namespaces(7)).
    const reboot = system && known.signal === SIGHUP;
    const halted = system && known.signal === SIGINT;
    return {
      exitCode: reboot || halted ? 0 : known.exitCode,
      finishedAt: formatNanoseconds(known.exitedAt),
      error: "",
      dead: false,
      reboot,
    };
  }

  /** The process has ended, or its monitor has. */
  async ended(container: Container, exit: ProcessExit | undefined): Promise<void> {
    if (!container.alive) return;
    const { runtime, report } = this.parts;
    // What has ended has ended, whatever an observer makes of it.
    for (const observer of this.#observers)
      try {
        observer.ended(container);
      } catch (error) {
        report(error, `end of container ${container.id}`);
      }
    const places = runtime.places(container.id, container.record.definition.hostConfig.CgroupParent);
    const end = await this.#end(container, exit);
    const toldBefore = container.state.oomKilled;
    const oomKilled = toldBefore || runtime.cgroups.oomKills(places.cgroup) > 0;
    const left = container.state.endpoints;
    await this.starter.release(container).catch((error) => report(error, `release of ${container.id}`));
    container.monitor?.release();
    container.monitor = undefined;
    const restarts = end.reboot ? !container.state.manuallyStopped : this.#restarts(container, end.exitCode);
    const { exitCode, error, finishedAt } = end;
    const changes = { exitCode, error, finishedAt, oomKilled, pid: 0, endpoints: {}, ports: [] };
    const started = milliseconds(container.state.startedAt);
    const status = restarts ? "restarting" : end.dead ? "dead" : "exited";
    // What the monitor wrote down stays until we have written it down ourselves.
    container.note({ ...changes, status }, () => runtime.forget(places));
    if (oomKilled && !toldBefore) this.announce(container, "oom");
    const seconds = Math.max(0, Math.floor((milliseconds(finishedAt) - started) / 1000));
    this.announce(container, "die", { exitCode: String(exitCode), execDuration: String(seconds) });
    this.#announceAttachments(container, false, left);
    void this.#refreshLinks();
    container.announceExit(exitCode);
    if (container.record.definition.hostConfig.AutoRemove && !restarts) await this.remove(container, true);
    else if (restarts) this.#restartLater(container, end.reboot ? 0 : milliseconds(finishedAt) - started);
  }

  #refreshLinks(): Promise<void> {
    const { networks, report } = this.parts;
    return networks.refreshLinks().catch((error) => report(error, "ports of linked containers"));
  }

  #restarts(container: Container, exitCode: number): boolean {
    if (container.removing || this.closing) return false;
    const { RestartPolicy } = container.record.definition.hostConfig;
    return restartsAfterExit(RestartPolicy, { ...container.state, exitCode });
  }

  /** Starts a container that its policy wants running, after the delay of its back-off. */
  #restartLater(container: Container, ranMilliseconds: number): void {
    container.restartDelay = nextDelay(container.restartDelay, ranMilliseconds);
    const again = (): Promise<void> =>
      container.exclusively(async () => {
        if (container.state.status !== "restarting" || this.closing) return;
        await this.start(container, true);
      });
    container.restartTimer = setTimeout(() => {
      again().catch((error) => {
        this.parts.report(error, `restart of container ${container.id}`);
        if (container.removing || !this.#restarts(container, container.state.exitCode)) return;
        container.note({ status: "restarting", restartCount: container.state.restartCount + 1 });
        this.#restartLater(container, 0);
      });
    }, container.restartDelay);
  }

  /** Starts a container that its policy wants running now that there is a daemon again. */
  startSoon(container: Container): void {
    container.note({ status: "restarting" });
    this.#restartLater(container, 0);
  }

  /** Forgets about a start that was to come. */
  cancelRestart(container: Container): void {
    clearTimeout(container.restartTimer);
    container.restartTimer = undefined;
  }

  /** Sends a signal; with `thaw` a paused container goes on, so that it can take it. What is to die dies, whoever froze it. */
  signal(container: Container, signal: number, thaw: boolean): void {
    container.monitor?.signal(signal);
    this.announce(container, "kill", { signal: String(signal) });
    const { runtime } = this.parts;
    const cgroup = runtime.cgroupOf(container.id, container.record.definition.hostConfig.CgroupParent);
    const { paused } = container;
    if (thaw && (paused || (signal === SIGKILL && runtime.cgroups.isFrozen(cgroup))))
      runtime.cgroups.freeze(cgroup, false);
    if (!thaw || !paused) return;
    container.note({ status: "running" });
    this.announce(container, "unpause");
  }

  /** Takes a container that is not running out of the world: first out of sight, then, at leisure, off the disk. */
  async remove(container: Container, volumes: boolean): Promise<void> {
    if (!this.registry.look(container.id, everything)) return; // --rm and rm at once
    container.removing = true;
    this.cancelRestart(container);
    const anonymous = volumes ? container.record.definition.mounts.filter((mount) => mount.anonymous) : [];
    // A record without a directory is one whose removal had begun; only volumes need more to be remembered than that.
    if (anonymous.length > 0) container.note({ removal: "with-volumes" });
    for (const client of container.waitingClients) client.close();
    const waiting = join(this.parts.trash, container.id);
    try {
      renameSync(this.starter.directory(container.id), waiting);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    this.registry.delete(container);
    this.announce(container, "destroy");
    container.announceRemoval();
    for (const { name } of anonymous) this.parts.volumes.removeUnused(name);
    this.parts.layers.discard(container.id);
    this.#trash.discard(waiting);
  }

  #announceVolume(
    container: Container,
    name: string,
    action: string,
    attributes: Record<string, string>,
  ): void {
    this.parts.events.publish({
      Type: "volume",
      Action: action,
      Actor: { ID: name, Attributes: { driver: "local", ...attributes } },
      owner: container.owner,
    });
  }

  /** A start and an end are events of the networks and volumes that a container uses, too. */
  #announceAttachments(container: Container, begun: boolean, endpoints = container.state.endpoints): void {
    const { mounts } = container.record.definition;
    for (const mount of mounts)
      if (mount.type === "volume")
        this.#announceVolume(container, mount.name, begun ? "mount" : "unmount", {
          container: container.id,
          ...(begun
            ? { destination: mount.target, "read/write": String(!mount.readOnly), propagation: "" }
            : {}),
        });
    const { networks } = this.parts;
    for (const { networkId } of Object.values(endpoints)) {
      const network = networks.look(networkId, everything);
      if (network) networks.announce(network, begun ? "connect" : "disconnect", { container: container.id });
    }
  }
}
