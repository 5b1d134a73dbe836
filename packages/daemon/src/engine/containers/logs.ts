// Reads a container's log files: rotated ones, from the tail on, and following while they grow and are rotated.
import { watch } from "node:fs";
import { type EncodingOptions, LogEncoder } from "./log-encoding.ts";
import { type LogFile, openFiles, successor } from "./log-files.ts";

export interface LogOptions extends EncodingOptions {
  follow: boolean;
  /** Lines from the end; undefined for all. */
  tail: number | undefined;
}

/** The life of the container whose log is followed. */
export interface LogLife {
  /** Whether it is still the life that was asked about. */
  alive(): boolean;
  /** Calls back at the next exit; returns what takes that back. */
  onExit(listener: () => void): () => void;
}

/** Those of a log's files that hold the last `tail` lines, the first at where these begin. */
async function fromTail(files: readonly LogFile[], tail: number | undefined): Promise<LogFile[]> {
  if (tail === undefined) return [...files];
  let wanted = tail;
  let first = files.length;
  while (first > 0 && (wanted > 0 || first === files.length)) {
    first--;
    wanted -= (await files[first]?.seekTail(wanted)) ?? 0;
  }
  await Promise.all(files.slice(0, first).map((file) => file.close()));
  return files.slice(first);
}

/** Says when to look again: the file changed or was rotated, or nothing more will come. */
class Ticker {
  #wake: (() => void) | undefined;
  #changed = true; // what came before we began to watch
  #ended: boolean;
  #watcher: ReturnType<typeof watch> | undefined;
  readonly #stop: (() => void)[] = [];

  constructor(path: string, life: LogLife, signal: AbortSignal) {
    this.#ended = !life.alive();
    const tick = (): void => {
      this.#changed = true;
      this.#wake?.();
    };
    const end = (): void => {
      this.#ended = true;
      tick();
    };
    try {
      this.#watcher = watch(path, tick);
      this.#watcher.on("error", tick);
    } catch {
      // Rotated away in this moment: the look that follows finds its successor.
    }
    this.#stop.push(life.onExit(end));
    signal.addEventListener("abort", end, { once: true });
    this.#stop.push(() => signal.removeEventListener("abort", end));
  }

  /** Resolves when there may be more; false when there can't be. */
  async next(): Promise<boolean> {
    if (!this.#changed && !this.#ended)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  close(): void {
    this.#watcher?.close();
    for (const stop of this.#stop) stop();
  }
}

/** The log as a client gets it, many lines at a time; with `follow` until the container ends. Ends when `signal`
 * aborts. The first piece is empty: the files are open then, and removing the container takes nothing away. Without `follow`,
 * files that are begun while it is read are not read. */
export async function* readLog(
  path: string,
  options: LogOptions,
  life: LogLife,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const encoder = new LogEncoder(options);
  const files = await fromTail(await openFiles(path), options.tail);
  let file = files.shift();
  let ticker: Ticker | undefined;
  try {
    yield Buffer.alloc(0);
    while (file && !signal.aborted) {
      const lines: Buffer | undefined = await file.read();
      if (lines) {
        const encoded = encoder.encode(lines);
        if (encoded.length > 0) yield encoded;
        if (encoder.finished) return;
        continue;
      }
      const next: LogFile | undefined =
        files.shift() ?? (options.follow ? await successor(path, file) : undefined);
      if (next) {
        // It is complete now: what was written between our last look and its rotation is still to be read.
        for (let rest = await file.read(); rest && !encoder.finished; rest = await file.read())
          yield encoder.encode(rest);
        ticker?.close();
        ticker = undefined;
        await file.close();
        file = next;
        continue;
      }
      if (!options.follow) return;
      ticker ??= new Ticker(file.path, life, signal);
      if (!(await ticker.next())) return;
    }
  } finally {
    ticker?.close();
    await Promise.all([file, ...files].map((one) => one?.close()));
  }
}
