// Streams of statistics: one round each second for all clients that watch, a few containers in each turn of the event loop.
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { KeptFiles } from "@tsd/kernel-bindings";
import type { Container } from "./registry.ts";
import { type PastSample, type StatsSources, sample, statsView } from "./stats.ts";

const SECOND = 1000;
/** Streams that are served in one turn of the event loop, which takes one to two milliseconds. */
const AT_ONCE = 10;

/** What one client is told of one container: lines of JSON. */
class StatsStream extends Readable {
  readonly #container: Container;
  readonly #sources: StatsSources;
  readonly #files = new KeptFiles();
  readonly #closed: (stream: StatsStream) => void;
  #previous: PastSample | undefined;

  constructor(container: Container, sources: StatsSources, closed: (stream: StatsStream) => void) {
    super();
    this.#container = container;
    this.#sources = sources;
    this.#closed = closed;
  }

  override _read(): void {
    // What there is to say comes by the clock.
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#files.close();
    this.#closed(this);
    done(error);
  }

  /** Says what the container uses now, unless the client has not taken yet what was said before. */
  async tell(): Promise<void> {
    if (this.readableLength > 0 || this.destroyed) return;
    try {
      const present = await sample(this.#container, this.#sources, this.#files.read);
      if (!present) this.#files.close();
      if (this.destroyed) return;
      this.push(`${JSON.stringify(statsView(this.#container, present, this.#previous))}\n`);
      this.#previous = present && { read: present.read, cpu: present.cpu };
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  /** Ends it if its container is no more. */
  endIfGone(isThere: (container: Container) => boolean): void {
    if (!isThere(this.#container) && !this.readableEnded) this.push(null);
  }
}

export class StatsStreams {
  readonly #sources: StatsSources;
  readonly #isThere: (container: Container) => boolean;
  readonly #streams = new Set<StatsStream>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  /** `isThere`: whether a container has not been removed. */
  constructor(sources: StatsSources, isThere: (container: Container) => boolean) {
    this.#sources = sources;
    this.#isThere = isThere;
  }

  /** A sample now and one each second, until the container is removed or the stream destroyed. */
  open(container: Container): Readable {
    const stream = new StatsStream(container, this.#sources, (closed) => this.#forget(closed));
    void stream.tell();
    this.#streams.add(stream);
    this.#timer ??= setInterval(() => {
      this.#round ??= this.#tellAll().finally(() => {
        this.#round = undefined;
      });
    }, SECOND).unref();
    return stream;
  }

  async #tellAll(): Promise<void> {
    let told = 0;
    for (const stream of [...this.#streams]) {
      if (++told % AT_ONCE === 0) await nextTurn();
      stream.endIfGone(this.#isThere);
      if (!stream.readableEnded) await stream.tell();
    }
  }

  #forget(stream: StatsStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
