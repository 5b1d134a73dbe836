// Streams of statistics: one round each second for all clients that watch, a few containers in each turn of the event loop.
import type { Writable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { KeptFiles } from "@tsd/kernel-bindings";
import type { LifecycleObserver } from "./lifecycle.ts";
import type { Container } from "./registry.ts";
import { type Sample, type StatsSources, sample, statsText } from "./stats.ts";

const SECOND = 1000;
/** Streams that are served in one turn of the event loop, which takes one to two milliseconds. */
const AT_ONCE = 10;

/** So often also a container that does nothing is looked at closely: its memory may have been taken back. */
const CLOSELY_AFTER = 5;

/** What one client is told of one container: lines of JSON. */
class StatsStream {
  readonly container: Container;
  readonly #sources: StatsSources;
  readonly #out: Writable;
  readonly #files = new KeptFiles();
  #previous: Sample | undefined;
  #told: number;

  /** Streams of different `turn`s look closely in different rounds. */
  constructor(container: Container, sources: StatsSources, out: Writable, turn: number) {
    this.container = container;
    this.#sources = sources;
    this.#out = out;
    this.#told = turn % CLOSELY_AFTER;
  }

  /** Says what the container uses now, unless the client has not taken yet what was said before. */
  async tell(): Promise<void> {
    if (this.#out.writableNeedDrain) return;
    const before = ++this.#told % CLOSELY_AFTER === 0 ? undefined : this.#previous;
    const present = await sample(this.container, this.#sources, this.#files, before);
    if (this.#out.destroyed) return this.close();
    this.#out.write(`${statsText(this.container, present, this.#previous)}\n`, "latin1"); // all of it is ASCII
    this.#previous = present;
  }

  /** Next time it is looked at closely. */
  doubt(): void {
    this.#told = -1;
  }

  end(): void {
    this.#out.end();
  }

  /** Lets go of the container's files: by the time it runs again they are others. */
  close(): void {
    this.#files.close();
  }
}

export class StatsStreams implements LifecycleObserver {
  readonly #sources: StatsSources;
  readonly #isThere: (container: Container) => boolean;
  readonly #streams = new Map<StatsStream, (error: Error) => void>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  /** `isThere`: whether a container has not been removed. */
  constructor(sources: StatsSources, isThere: (container: Container) => boolean) {
    this.#sources = sources;
    this.#isThere = isThere;
  }

  /** A sample now and one each second, until the container is removed or `out` closes. */
  open(container: Container, out: Writable, failed: (error: Error) => void): void {
    const stream = new StatsStream(container, this.#sources, out, this.#streams.size);
    this.#streams.set(stream, failed);
    out.once("close", () => this.#forget(stream));
    stream.tell().catch(failed);
    this.#timer ??= setInterval(() => {
      this.#round ??= this.#tellAll().finally(() => {
        this.#round = undefined;
      });
    }, SECOND).unref();
  }

  async #tellAll(): Promise<void> {
    let told = 0;
    for (const [stream, failed] of [...this.#streams]) {
      if (++told % AT_ONCE === 0) await nextTurn();
      if (!this.#streams.has(stream)) continue;
      if (this.#isThere(stream.container)) await stream.tell().catch(failed);
      else stream.end();
    }
  }

  started(): void {
    // its streams find the files again by themselves
  }

  ended(container: Container): void {
    for (const stream of this.#streams.keys()) if (stream.container === container) stream.close();
  }

  /** Told when a container's limits have changed. */
  changed(container: Container): void {
    for (const stream of this.#streams.keys()) if (stream.container === container) stream.doubt();
  }

  #forget(stream: StatsStream): void {
    stream.close();
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
