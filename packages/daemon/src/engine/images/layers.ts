// Layers and their blobs: each is on disk once, by what it holds, for all the images that have it.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { PassThrough, Readable, Transform, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { BlobDirectory } from "../../content/blobs.ts";
import { decompress } from "../../content/decompress.ts";
import type { LayerDirectory, UnpackedLayer } from "../../content/layers.ts";
import { isEncrypted, layerType } from "../../registry/media-types.ts";
import { EngineError, invalid } from "../errors.ts";
import type { LayerStore, StoredBlob } from "./store.ts";

export interface Layer {
  directory: string;
  /** Bytes of its files' contents. */
  size: number;
  /** Of its files when they were last known to be right; "" where that is not known. */
  fingerprint: string;
}

export interface LayersParts {
  store: LayerStore;
  directory: LayerDirectory;
  blobs: BlobDirectory;
  report: (problem: unknown, what: string) => void;
}

export class Layers {
  readonly #parts: LayersParts;
  readonly #layers = new Map<string, Layer>();
  readonly #blobs = new Map<string, StoredBlob>();
  readonly #holds = new Map<string, number>();
  readonly #removals = new Set<Promise<void>>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: LayersParts) {
    this.#parts = parts;
    for (const { diffId, ...layer } of parts.store.layers())
      if (!this.#layers.has(diffId)) this.#layers.set(diffId, layer);
    for (const blob of parts.store.blobs()) this.#blobs.set(blob.digest, blob);
  }

  get blobs(): BlobDirectory {
    return this.#parts.blobs;
  }

  /** Clears away what an earlier daemon left unfinished. */
  async open(): Promise<void> {
    const known = new Set(this.#parts.store.layers().map(({ directory }) => directory));
    await this.#parts.directory.open((directory) => known.has(directory));
    await this.#parts.blobs.open((digest) => this.#blobs.has(digest));
  }

  get(diffId: string): Layer | undefined {
    return this.#layers.get(diffId);
  }

  blob(digest: string): StoredBlob | undefined {
    return this.#blobs.get(digest);
  }

  /** The blobs that a layer's tar is kept in: none for a layer that was made here and not pushed yet. */
  blobsOf(diffId: string): StoredBlob[] {
    return [...this.#blobs.values()].filter((blob) => blob.diffId === diffId);
  }

  all(): [diffId: string, layer: Layer][] {
    return [...this.#layers];
  }

  /** Keeps layers from being removed until the returned function is called; those not there yet, too. */
  hold(diffIds: readonly string[]): () => void {
    for (const diffId of diffIds) this.#holds.set(diffId, (this.#holds.get(diffId) ?? 0) + 1);
    return () => {
      for (const diffId of diffIds) {
        const left = (this.#holds.get(diffId) ?? 1) - 1;
        if (left > 0) this.#holds.set(diffId, left);
        else this.#holds.delete(diffId);
      }
    };
  }

  isHeld(diffId: string): boolean {
    return this.#holds.has(diffId);
  }

  /** Unpacks a layer's tar, compressed or not, beside the others. */
  async unpack(source: Readable): Promise<UnpackedLayer> {
    try {
      return await this.#parts.directory.unpack(source);
    } catch (error) {
      if (error instanceof EngineError) throw error;
      throw new EngineError("system", error instanceof Error ? error.message : String(error), {
        cause: error,
      });
    }
  }

  /** Keeps an unpacked layer, or drops it if it is there already. */
  keep(layer: UnpackedLayer): Promise<void> {
    const kept = this.#turn.then(async () => {
      if (this.#layers.has(layer.diffId)) return this.discard(layer);
      const { diffId, size } = layer;
      const directory = await this.#parts.directory.keep(layer);
      const fingerprint = await this.#parts.directory.fingerprint(directory);
      this.#parts.store.insertLayer({ diffId, directory, size, fingerprint });
      this.#layers.set(diffId, { directory, size, fingerprint });
    });
    this.#turn = kept.catch(() => undefined);
    return kept;
  }

  discard(layer: UnpackedLayer): Promise<void> {
    return this.#parts.directory.discard(layer);
  }

  /** A stream whose bytes are kept as a blob while they are read; in the end `keep` or `discard` it. */
  copying(source: AsyncIterable<Buffer>): {
    stream: Readable;
    keep: (diffId: string) => Promise<void>;
    discard: () => Promise<void>;
  } {
    const copied = new PassThrough();
    const kept = this.blobs.write(copied);
    const stream = Readable.from(tee(source, copied), { objectMode: false });
    kept.catch((error: Error) => stream.destroy(error));
    return {
      stream,
      keep: async (diffId) => {
        copied.end();
        const { digest, size } = await kept;
        await this.#noteBlob(digest, diffId, size);
      },
      discard: async () => {
        copied.destroy(new Error("not wanted"));
        await kept.catch(() => undefined); // it failed as it was meant to
      },
    };
  }

  /** Takes a foreign tar in, and keeps its bytes: they can't be made again of what it unpacks to. The layer is held until
   * `release`. */
  async takeIn(source: Readable): Promise<{ diffId: string; release: () => void }> {
    const copy = this.copying(source);
    const unpacked = await this.unpack(copy.stream).catch(async (error: unknown) => {
      await copy.discard();
      throw error;
    });
    const release = this.hold([unpacked.diffId]);
    try {
      await this.keep(unpacked);
      await copy.keep(unpacked.diffId);
    } catch (error) {
      await Promise.all([this.discard(unpacked), copy.discard()]);
      release();
      throw error;
    }
    return { diffId: unpacked.diffId, release };
  }

  /** Takes in a layer of an archive whose files were spooled, and the file itself with it. */
  async takeInFile(
    file: { path: string; digest: string; size: number },
    diffId: string,
    index: number,
  ): Promise<void> {
    const unpacked = await this.unpack(createReadStream(file.path, { highWaterMark: 1 << 18 }));
    if (unpacked.diffId !== diffId) {
      await this.discard(unpacked);
      throw invalid(`invalid diffID for layer ${index}: expected "${diffId}", got "${unpacked.diffId}"`);
    }
    await this.keep(unpacked);
    if (this.#blobs.has(file.digest)) return;
    await this.blobs.adopt(file.path, file.digest);
    await this.#noteBlob(file.digest, diffId, file.size);
  }

  async #noteBlob(digest: string, diffId: string, size: number): Promise<void> {
    const compression = await this.blobs.compression(digest);
    const mediaType = layerType(compression);
    this.addBlob({ digest, diffId, mediaType, size });
  }

  /** Takes in a tar that the archiver packs; `whole` says whether it did. The layer is held until `release`. */
  async takeInPacked(
    source: Readable,
    whole: Promise<void>,
  ): Promise<{ diffId: string; release: () => void }> {
    const unpacked = await this.unpack(source);
    const release = this.hold([unpacked.diffId]);
    try {
      await whole;
      await this.keep(unpacked);
    } catch (error) {
      await this.discard(unpacked);
      release();
      throw error;
    }
    return { diffId: unpacked.diffId, release };
  }

  addBlob(blob: StoredBlob): void {
    this.#parts.store.insertBlob(blob);
    this.#blobs.set(blob.digest, blob);
  }

  async removeBlob(digest: string): Promise<void> {
    this.#parts.store.deleteBlob(digest);
    this.#blobs.delete(digest);
    await this.#parts.blobs.remove(digest);
  }

  /** A layer's tar: out of a blob, or packed again where there is none. It is whole once `done` says so. */
  async tar(diffId: string): Promise<{ stream: Readable; done: Promise<void> }> {
    const layer = this.#layers.get(diffId);
    if (!layer) throw new EngineError("system", `layer ${diffId} is missing`);
    const blob = this.blobsOf(diffId).find(({ mediaType }) => !isEncrypted(mediaType));
    const packing = blob ? undefined : this.#parts.directory.pack(layer.directory);
    const source = packing?.stream ?? (await decompress(this.blobs.read(blob?.digest ?? "")));
    const hash = createHash("sha256");
    const checked = new Transform({
      transform(chunk: Buffer, _encoding, taken) {
        hash.update(chunk);
        taken(null, chunk);
      },
    });
    const done = pipeline(source, checked).then(async () => {
      await packing?.done;
      const actual = `sha256:${hash.digest("hex")}`;
      if (actual !== diffId)
        throw new EngineError("system", `layer ${diffId} is damaged: its tar has ${actual}`);
    });
    done.catch(() => undefined); // heard of by whoever awaits it
    return { stream: checked, done };
  }

  /** What is wrong with a layer's files; undefined for nothing. Files that nobody touched since they were known to be right
   * need not be read, where `thorough` does not ask for that. */
  async examine(diffId: string, thorough: boolean): Promise<string | undefined> {
    const layer = this.#layers.get(diffId);
    if (!layer) return `layer ${diffId} is missing`;
    const { directory } = this.#parts;
    try {
      const before = await directory.fingerprint(layer.directory);
      if (!thorough && layer.fingerprint === before) return undefined;
      // An older daemon kept neither a fingerprint nor the tar: there is nothing to hold the files against.
      const unknown = layer.fingerprint === "" && this.blobsOf(diffId).length === 0;
      if (unknown) return this.#noteFingerprint(diffId, layer, before);
      const { stream, done } = await this.tar(diffId);
      if (this.blobsOf(diffId).some(({ mediaType }) => !isEncrypted(mediaType))) {
        const path = await directory.compare(layer.directory, stream);
        await done;
        if (path !== undefined) return `layer ${diffId}: ${path} is not as it was unpacked`;
      } else {
        // Made here: its files, packed again, are its tar.
        stream.resume();
        await done;
      }
      return this.#noteFingerprint(diffId, layer, before);
    } catch (error) {
      return (error as Error).message;
    }
  }

  #noteFingerprint(diffId: string, layer: Layer, fingerprint: string): undefined {
    if (layer.fingerprint === fingerprint) return;
    layer.fingerprint = fingerprint;
    this.#parts.store.setFingerprint(diffId, fingerprint);
  }

  /** What is wrong with a blob; undefined for nothing. */
  async examineBlob(digest: string): Promise<string | undefined> {
    const hash = createHash("sha256");
    try {
      for await (const chunk of this.blobs.read(digest) as AsyncIterable<Buffer>) hash.update(chunk);
    } catch (error) {
      return `blob ${digest}: ${(error as Error).message}`;
    }
    const actual = `sha256:${hash.digest("hex")}`;
    return actual === digest ? undefined : `blob ${digest} was changed: its content has ${actual}`;
  }

  /** Removes layers that nobody holds, with their blobs. Their files go in the background. */
  remove(diffIds: readonly string[]): void {
    for (const diffId of diffIds) {
      const layer = this.#layers.get(diffId);
      if (!layer || this.isHeld(diffId)) continue;
      for (const { digest } of this.blobsOf(diffId))
        this.#later(this.removeBlob(digest), `deleting blob ${digest}`);
      this.#parts.store.deleteLayer(diffId);
      this.#layers.delete(diffId);
      this.#later(this.#parts.directory.drop(layer.directory), `deleting layer ${diffId}`);
    }
  }

  #later(removal: Promise<void>, what: string): void {
    const done = removal
      .catch((error) => this.#parts.report(error, what))
      .finally(() => this.#removals.delete(done));
    this.#removals.add(done);
  }

  /** Resolves when the files of what was removed are gone. */
  async settled(): Promise<void> {
    await Promise.all(this.#removals);
  }
}

/** A stream's chunks, with a copy of each for another; no faster than both take them. */
async function* tee(source: AsyncIterable<Buffer>, copy: Writable): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    if (!copy.write(chunk)) await once(copy, "drain");
    yield chunk;
  }
}
