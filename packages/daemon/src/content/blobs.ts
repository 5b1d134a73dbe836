// Blobs on disk by digest, as registries keep them: what was taken in is whole and checked, what broke off goes on later.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as wait } from "node:timers/promises";
import { compressionOf } from "./decompress.ts";

/** Gives a blob's bytes from `offset` on; `skip` of them are before it. */
export type BlobSource = (offset: number, signal: AbortSignal) => Promise<{ stream: Readable; skip: number }>;

export interface Receiving {
  digest: string;
  /** Bytes it must have. */
  size: number;
  source: BlobSource;
  /** Attempts without a byte in between before it is given up. */
  attempts: number;
  signal: AbortSignal;
  /** Whether another attempt may help after this error. */
  worthAnother(error: unknown): boolean;
  /** Told how many bytes are there. */
  progress(received: number): void;
}

/** The blob is not what its digest says. */
export class BlobError extends Error {}

const READ_SIZE = 1 << 18;
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 8000;
/** Nobody goes on with a download after so long. */
const PARTIAL_LIFETIME = 7 * 24 * 3600 * 1000;

export class BlobDirectory {
  readonly #root: string;
  readonly #receiving = new Set<string>();
  constructor(root: string) {
    this.#root = root;
  }

  /** Removes blobs that nobody `isKnown`, and downloads that nobody went on with for a week. */
  async open(isKnown: (digest: string) => boolean): Promise<void> {
    for (const directory of ["sha256", "partial"])
      await mkdir(join(this.#root, directory), { recursive: true, mode: 0o700 });
    for (const name of await readdir(join(this.#root, "sha256")))
      if (!isKnown(`sha256:${name}`)) await rm(join(this.#root, "sha256", name));
    await this.sweep(PARTIAL_LIFETIME);
  }

  /** Removes unfinished downloads that were not touched for `age` milliseconds, and returns their bytes. */
  async sweep(age: number): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(join(this.#root, "partial"))) {
      const path = join(this.#root, "partial", name);
      const { mtimeMs, size } = await stat(path);
      if (Date.now() - mtimeMs < age) continue;
      await rm(path, { force: true });
      bytes += size;
    }
    return bytes;
  }

  path(digest: string): string {
    return join(this.#root, digest.replace(":", "/"));
  }

  #partial(digest: string): string {
    return join(this.#root, "partial", digest.replace("sha256:", ""));
  }

  read(digest: string, offset = 0): Readable {
    return createReadStream(this.path(digest), { start: offset, highWaterMark: READ_SIZE });
  }

  /** The bytes of a blob on their way in, from the first on, while they are kept. Ends after the last one, when the
   * digest is right and the blob in its place; throws before that otherwise. What is received stays for another attempt,
   * but for bytes that are wrong. */
  async *receive(blob: Receiving): AsyncGenerator<Buffer> {
    const shared = this.#partial(blob.digest);
    const busy = this.#receiving.has(shared);
    // Two at once can't write one file: the second one's is its own, and does not outlast a failure.
    const path = busy ? join(this.#root, "partial", `new-${randomBytes(8).toString("hex")}`) : shared;
    this.#receiving.add(path);
    try {
      yield* this.#receiveInto(path, blob);
    } finally {
      this.#receiving.delete(path);
      if (busy) await rm(path, { force: true });
    }
  }

  async *#receiveInto(path: string, blob: Receiving): AsyncGenerator<Buffer> {
    const file = await open(path, "a+", 0o600);
    const hash = createHash("sha256");
    try {
      let offset = (await file.stat()).size;
      if (offset > blob.size) {
        await file.truncate(0);
        offset = 0;
      }
      if (offset > 0)
        for await (const chunk of file.createReadStream({
          start: 0,
          end: offset - 1,
          autoClose: false,
          highWaterMark: READ_SIZE,
        }) as AsyncIterable<Buffer>) {
          hash.update(chunk);
          yield chunk;
        }
      blob.progress(offset);
      for (let attempt = 1; offset < blob.size; attempt++) {
        try {
          const { stream, skip } = await blob.source(offset, blob.signal);
          let unwanted = skip;
          for await (const received of stream as AsyncIterable<Buffer>) {
            const chunk = received.subarray(Math.min(unwanted, received.length));
            unwanted -= received.length - chunk.length;
            if (chunk.length === 0) continue;
            if (offset + chunk.length > blob.size)
              throw new BlobError(`blob ${blob.digest} is longer than the ${blob.size} bytes it should have`);
            await file.appendFile(chunk);
            offset += chunk.length;
            hash.update(chunk);
            attempt = 1;
            yield chunk;
            blob.progress(offset);
          }
          if (offset < blob.size) throw new Error(`blob ${blob.digest}: broke off after ${offset} bytes`);
        } catch (error) {
          blob.signal.throwIfAborted();
          if (error instanceof BlobError) await rm(path, { force: true });
          if (error instanceof BlobError || attempt >= blob.attempts || !blob.worthAnother(error))
            throw error;
          await wait(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt), undefined, { signal: blob.signal });
        }
      }
      const actual = `sha256:${hash.digest("hex")}`;
      if (actual !== blob.digest) {
        await rm(path, { force: true });
        throw new BlobError(
          `filesystem layer verification failed for digest ${blob.digest}: its content has ${actual}`,
        );
      }
      await rename(path, this.path(blob.digest));
    } finally {
      await file.close();
    }
  }

  /** Keeps a stream as a blob; returns its digest and bytes. */
  async write(source: Readable): Promise<{ digest: string; size: number }> {
    const path = join(this.#root, "partial", `new-${randomBytes(8).toString("hex")}`);
    const hash = createHash("sha256");
    let size = 0;
    try {
      await pipeline(
        source,
        async function* (chunks: AsyncIterable<Buffer>) {
          for await (const chunk of chunks) {
            hash.update(chunk);
            size += chunk.length;
            yield chunk;
          }
        },
        createWriteStream(path, { mode: 0o600 }),
      );
      const digest = `sha256:${hash.digest("hex")}`;
      await rename(path, this.path(digest));
      return { digest, size };
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** How a blob is compressed; "" for not at all. */
  async compression(digest: string): Promise<string> {
    const file = await open(this.path(digest), "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, 6, 0);
      return compressionOf(buffer.subarray(0, bytesRead));
    } finally {
      await file.close();
    }
  }

  /** Takes a file in the same file system over as a blob of this digest. */
  async adopt(path: string, digest: string): Promise<void> {
    await rename(path, this.path(digest));
  }

  async remove(digest: string): Promise<void> {
    await rm(this.path(digest), { force: true });
  }
}
