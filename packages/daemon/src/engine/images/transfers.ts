// Layers on their way in: each is fetched, checked and unpacked in one pass, once for all who wait for it.
import { Readable } from "node:stream";
import { RegistryError } from "../../registry/errors.ts";
import type { Descriptor } from "../../registry/manifest.ts";
import type { Repository } from "../../registry/repository.ts";
import { EngineError } from "../errors.ts";
import type { Layers } from "./layers.ts";
import { amount, type Progress, type ProgressLine, shortDigest, step, throttle } from "./progress.ts";

export interface TransferSettings {
  maximumDownloads: number;
  downloadAttempts: number;
}

interface Transfer {
  done: Promise<void>;
  watchers: Set<Progress>;
  last: ProgressLine;
  abort: AbortController;
}

/** Undoes what was done to a layer's bytes before they were pushed (encryption). */
export type Opening = (bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;

export interface LayerRequest {
  /** Where to ask, in this order. */
  sources: readonly Repository[];
  descriptor: Descriptor;
  /** What the image's configuration says that it unpacks to. */
  diffId: string;
  opening?: Opening | undefined;
  /** Who may share the transfer: others must show that the registry lets them have it. */
  audience: string;
}

export class LayerTransfers {
  readonly #layers: Layers;
  readonly #settings: () => TransferSettings;
  readonly #transfers = new Map<string, Transfer>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(layers: Layers, settings: () => TransferSettings) {
    this.#layers = layers;
    this.#settings = settings;
  }

  /** Sees to it that a layer is there. Who goes away first leaves it to the others; with the last one it ends. */
  async fetch(request: LayerRequest, progress: Progress, signal: AbortSignal): Promise<void> {
    const { digest } = request.descriptor;
    const key = `${digest} ${request.diffId} ${request.audience}`;
    let transfer = this.#transfers.get(key);
    if (!transfer || transfer.abort.signal.aborted) transfer = this.#begin(key, request);
    else progress(transfer.last);
    const { watchers, abort, done } = transfer;
    watchers.add(progress);
    let leave: (() => void) | undefined;
    const gone = new Promise<never>((_resolve, reject) => {
      leave = () => reject(signal.reason);
      signal.addEventListener("abort", leave, { once: true });
      if (signal.aborted) leave();
    });
    try {
      await Promise.race([done, gone]);
    } finally {
      if (leave) signal.removeEventListener("abort", leave);
      watchers.delete(progress);
      if (watchers.size === 0) abort.abort();
    }
  }

  #begin(key: string, request: LayerRequest): Transfer {
    const id = shortDigest(request.descriptor.digest);
    const watchers = new Set<Progress>();
    const abort = new AbortController();
    const transfer: Transfer = {
      done: Promise.resolve(),
      watchers,
      last: step(id, "Pulling fs layer"),
      abort,
    };
    const tell = (line: ProgressLine): void => {
      transfer.last = line;
      for (const watcher of watchers) watcher(line);
    };
    this.#transfers.set(key, transfer);
    const release = this.#layers.hold([request.diffId]);
    // The first watcher is there before the first line.
    transfer.done = Promise.resolve()
      .then(() => this.#run(request, tell, abort.signal))
      .finally(() => {
        release();
        if (this.#transfers.get(key) === transfer) this.#transfers.delete(key);
      });
    transfer.done.catch(() => undefined); // heard of by those who wait, if any is left
    return transfer;
  }

  async #slot(signal: AbortSignal): Promise<() => void> {
    while (this.#running >= this.#settings().maximumDownloads)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    signal.throwIfAborted();
    this.#running++;
    return () => {
      this.#running--;
      this.#waiting.shift()?.();
    };
  }

  async #run(request: LayerRequest, tell: Progress, signal: AbortSignal): Promise<void> {
    const { descriptor, diffId, sources } = request;
    const id = shortDigest(descriptor.digest);
    tell(step(id, "Pulling fs layer"));
    const free = await this.#slot(signal);
    try {
      const received = this.#layers.blobs.receive({
        digest: descriptor.digest,
        size: descriptor.size,
        attempts: this.#settings().downloadAttempts,
        signal,
        source: (offset, ended) => firstSource(sources, descriptor.digest, offset, ended),
        worthAnother: (error) => !(error instanceof RegistryError) || error.transient,
        progress: throttle((current) => tell(amount(id, "Downloading", current, descriptor.size))),
      });
      // What was encrypted is kept as it came, to be pushed again, and opened, to be held against its files.
      const opened = request.opening && this.#layers.copying(request.opening(received));
      const bytes = opened?.stream ?? Readable.from(received, { objectMode: false });
      const unpacked = await this.#layers.unpack(bytes).catch(async (error: unknown) => {
        await opened?.discard();
        throw error;
      });
      if (unpacked.diffId !== diffId) {
        await Promise.all([this.#layers.discard(unpacked), opened?.discard()]);
        throw new EngineError(
          "system",
          `layer ${descriptor.digest} unpacks to ${unpacked.diffId}, and the image's configuration says ${diffId}`,
        );
      }
      tell(step(id, "Verifying Checksum"));
      tell(step(id, "Download complete"));
      tell(amount(id, "Extracting", descriptor.size, descriptor.size));
      await this.#layers.keep(unpacked);
      const { digest, mediaType, size } = descriptor;
      this.#layers.addBlob({ digest, diffId, mediaType, size });
      await opened?.keep(diffId);
      tell(step(id, "Pull complete"));
    } finally {
      free();
    }
  }
}

/** The first source that has a blob. */
async function firstSource(
  sources: readonly Repository[],
  digest: string,
  offset: number,
  signal: AbortSignal,
): ReturnType<Repository["blob"]> {
  let problem: unknown;
  for (const source of sources) {
    try {
      return await source.blob(digest, offset, signal);
    } catch (error) {
      signal.throwIfAborted();
      problem = error;
    }
  }
  throw problem ?? new Error(`no source for ${digest}`);
}
