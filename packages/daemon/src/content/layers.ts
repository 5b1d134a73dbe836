// Layers on disk: each unpacked once, in a process that can reach nothing else, and in place only when it is whole.
import { createHash, randomBytes } from "node:crypto";
import { closeSync, constants, openSync, renameSync } from "node:fs";
import { chmod, chown, mkdir, readdir, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  type Archiver,
  type LayerItem,
  O_PATH,
  openat2,
  type Packing,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  setAttribute,
  type UnpackedContents,
} from "@tsd/kernel-bindings";
import { decompress } from "./decompress.ts";
import { openWritable } from "./overlay.ts";
import { firstDifference } from "./tree-difference.ts";

/** A layer that is unpacked but not in its place yet. */
export interface UnpackedLayer {
  /** sha256:… of the uncompressed tar. */
  diffId: string;
  size: number;
  temporary: string;
}

const TEMPORARY = "new-";

export class LayerDirectory {
  readonly #root: string;
  readonly #archiver: Archiver;
  readonly #limit: number;

  /** `limit` is the most bytes a layer may unpack to. */
  constructor(root: string, archiver: Archiver, limit: number) {
    this.#root = root;
    this.#archiver = archiver;
    this.#limit = limit;
  }

  /** Removes what an earlier daemon left unfinished, and directories that nobody `isKnown`. */
  async open(isKnown: (directory: string) => boolean): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o710 });
    for (const name of await readdir(this.#root))
      if (name.startsWith(TEMPORARY) || !isKnown(this.path(name)))
        await rm(this.path(name), { recursive: true, force: true });
  }

  /** Kept short: the overlay takes at most 255 bytes for a layer's path. */
  path(name: string): string {
    return join(this.#root, name);
  }

  /** Unpacks a layer's tar, compressed or not. On failure nothing is left. */
  async unpack(source: Readable): Promise<UnpackedLayer> {
    const temporary = this.path(`${TEMPORARY}${randomBytes(8).toString("hex")}`);
    await mkdir(temporary, { mode: 0o755 });
    try {
      const hash = createHash("sha256");
      const measure = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          hash.update(chunk);
          done(null, chunk);
        },
      });
      const result = await this.#fill(temporary, await decompress(source), measure);
      this.#markOpaque(temporary, result.opaque);
      return { diffId: `sha256:${hash.digest("hex")}`, size: result.size, temporary };
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  async #fill(directory: string, source: Readable, measure: Transform): Promise<UnpackedContents> {
    const root = openSync(directory, O_PATH | constants.O_DIRECTORY);
    let unpacking: Promise<UnpackedContents>;
    const fed = pipeline(source, measure);
    try {
      unpacking = this.#archiver.unpackLayer({ root, directory: root }, measure, this.#limit);
    } finally {
      closeSync(root);
    }
    const [unpacked, problem] = await Promise.all([
      unpacking.catch((error: Error) => {
        source.destroy();
        return error;
      }),
      fed.then(
        () => undefined,
        (error: Error) => error,
      ),
    ]);
    if (unpacked instanceof Error) throw new Error(`unpacking layer: ${unpacked.message}`);
    if (problem) throw problem;
    return unpacked;
  }

  /** Nothing that is opaque lies behind a link. */
  #openBelow(top: number, path: string): number {
    try {
      return openat2(
        top,
        path,
        constants.O_RDONLY | constants.O_DIRECTORY,
        RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
      );
    } catch (error) {
      throw new Error(
        `unpacking layer: ${path}: an opaque directory must be one: ${(error as Error).message}`,
      );
    }
  }

  #markOpaque(root: string, directories: readonly string[]): void {
    if (directories.length === 0) return;
    const top = openSync(root, O_PATH | constants.O_DIRECTORY);
    try {
      for (const path of directories) {
        const directory = this.#openBelow(top, path);
        try {
          setAttribute(`/proc/self/fd/${directory}/.`, "trusted.overlay.opaque", Buffer.from("y"));
        } finally {
          closeSync(directory);
        }
      }
    } finally {
      closeSync(top);
    }
  }

  /** Makes a layer of what `work` does in a root that stands on other layers (topmost first); undefined if it does nothing.
   * On failure nothing is left. */
  async make(
    lower: readonly string[],
    work: (root: number) => Promise<void>,
  ): Promise<UnpackedLayer | undefined> {
    const place = this.path(`${TEMPORARY}${randomBytes(8).toString("hex")}`);
    const upper = join(place, "diff");
    await mkdir(upper, { recursive: true, mode: 0o755 });
    await mkdir(join(place, "work"), { mode: 0o700 });
    try {
      const root = openWritable(lower, upper, join(place, "work"));
      try {
        await work(root);
      } finally {
        closeSync(root);
      }
      return await this.take(upper);
    } finally {
      await rm(place, { recursive: true, force: true });
    }
  }

  /** Makes a layer of an overlay's upper directory that nobody writes to any more; undefined if there is nothing in it. The
   * directory itself becomes the layer, unless `keep` says that it is still needed, or it is on another file system. */
  async take(upper: string, keep = false): Promise<UnpackedLayer | undefined> {
    const items = await this.#in(upper, (place) => this.#archiver.listLayer(place));
    if (items.length === 0) return undefined;
    const temporary = this.path(`${TEMPORARY}${randomBytes(8).toString("hex")}`);
    if (keep || !(await this.#move(upper, temporary))) return this.#copy(upper);
    try {
      // What no archive holds: the layer is the same here and wherever it is carried to.
      for (const { mode, path } of items)
        if ((mode & constants.S_IFMT) === constants.S_IFSOCK) await unlink(join(temporary, path));
      await chmod(temporary, 0o755);
      await chown(temporary, 0, 0);
      const packing = this.#in(temporary, (place) => this.#archiver.packLayer(place));
      const hash = createHash("sha256");
      for await (const chunk of packing.stream as AsyncIterable<Buffer>) hash.update(chunk);
      await packing.done;
      return { diffId: `sha256:${hash.digest("hex")}`, size: contentSize(items), temporary };
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  async #move(from: string, to: string): Promise<boolean> {
    try {
      await rename(from, to);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EXDEV") return false;
      throw error;
    }
  }

  async #copy(upper: string): Promise<UnpackedLayer> {
    const packing = this.#in(upper, (place) => this.#archiver.packLayer(place));
    const layer = await this.unpack(packing.stream);
    try {
      await packing.done;
      return layer;
    } catch (error) {
      await this.discard(layer);
      throw error;
    }
  }

  #in<T>(path: string, work: (place: { root: number; directory: number }) => T): T {
    const root = openSync(path, O_PATH | constants.O_DIRECTORY);
    try {
      return work({ root, directory: root });
    } finally {
      closeSync(root);
    }
  }

  /** Puts an unpacked layer in its place; returns its directory. */
  async keep(layer: UnpackedLayer): Promise<string> {
    const directory = this.path(layer.diffId.replace("sha256:", "").slice(0, 24));
    // A directory without a row is a leftover of a crash between the two.
    await this.drop(directory);
    await rename(layer.temporary, directory);
    return directory;
  }

  /** Removes a layer's directory. Its name is free at once, for the same layer to come back. */
  async drop(directory: string): Promise<void> {
    const trash = this.path(`${TEMPORARY}${randomBytes(8).toString("hex")}`);
    try {
      renameSync(directory, trash);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await rm(trash, { recursive: true, force: true });
  }

  async discard(layer: UnpackedLayer): Promise<void> {
    await rm(layer.temporary, { recursive: true, force: true });
  }

  /** What tells whether anybody touched a layer's files since: names, modes, sizes, and when each was last changed. */
  async fingerprint(directory: string): Promise<string> {
    const root = openSync(directory, O_PATH | constants.O_DIRECTORY);
    const listing = this.#archiver.listLayer({ root, directory: root });
    closeSync(root);
    const records = (await listing).map(
      ({ kind, mode, size, time, changed, path }) => `${path}\0${kind} ${mode} ${size} ${time} ${changed}`,
    );
    return createHash("sha256").update(records.sort().join("\n")).digest("hex");
  }

  /** The first path at which a layer's files differ from what its tar unpacks to; undefined where none does. */
  async compare(directory: string, tar: Readable): Promise<string | undefined> {
    const fresh = await this.unpack(tar);
    try {
      return await firstDifference(this.pack(directory), this.pack(fresh.temporary));
    } finally {
      await this.discard(fresh);
    }
  }

  /** A layer's tar again, for a layer that was made here: the same bytes, since the archiver goes by the order of names. */
  pack(directory: string): Packing {
    const root = openSync(directory, O_PATH | constants.O_DIRECTORY);
    try {
      return this.#archiver.packLayer({ root, directory: root });
    } finally {
      closeSync(root);
    }
  }
}

/** Bytes of files, those with several names once. */
function contentSize(items: readonly LayerItem[]): number {
  const files = items.filter(({ mode }) => (mode & constants.S_IFMT) === constants.S_IFREG);
  const sizes = new Map(files.map(({ inode, size }) => [inode, size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** The chain id of a layer on top of a chain (OCI image specification, "Layer ChainID"). */
export const chainId = (parent: string | undefined, diffId: string): string =>
  parent ? `sha256:${createHash("sha256").update(`${parent} ${diffId}`).digest("hex")}` : diffId;
