// What clients ask of containers that are there: start, stop, kill, restart, wait, remove, attach.
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { AttachStreams } from "@tsd/kernel-bindings";
import type { Sight } from "../access/caller.ts";
import { conflict, invalid, notModified } from "../errors.ts";
import { signalNumber } from "../signals.ts";
import { Attachment } from "./attachment.ts";
import { ContainerCreation } from "./creation.ts";
import { Demultiplexer } from "./demultiplex.ts";
import { parseDetachKeys } from "./detach-keys.ts";
import { killAndWait } from "./kill.ts";
import { ContainerLifecycle, type LifecycleParts } from "./lifecycle.ts";
import type { Container, ContainerRegistry } from "./registry.ts";
import type { ContainerStarter } from "./starter.ts";

const SIGKILL = 9;
const DEFAULT_STOP_SIGNAL = "SIGTERM";
const DEFAULT_STOP_SECONDS = 10;

export interface StopOptions {
  signal?: string | undefined;
  seconds?: number | undefined;
}

export class ContainerService {
  readonly lifecycle: ContainerLifecycle;
  readonly creation: ContainerCreation;

  constructor(parts: LifecycleParts) {
    this.lifecycle = new ContainerLifecycle(parts);
    this.creation = new ContainerCreation(parts, this.lifecycle);
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
