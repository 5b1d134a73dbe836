// Carries out COPY and ADD: packs each source where it is, and unpacks it in the new layer's root.
import { closeSync, createReadStream } from "node:fs";
import { posix } from "node:path";
import { ArchiveError, type Archiver, KernelError, type Packing } from "@tsd/kernel-bindings";
import { isTar } from "../../content/tar-kind.ts";
import { followLinks, makeDirectory, openDirectory } from "../../runtime/path.ts";
import { EngineError } from "../errors.ts";
import { type Source, useLocated } from "./sources.ts";

export interface Owner {
  uid: number;
  gid: number;
}

const ROOT: Owner = { uid: 0, gid: 0 };

export interface CopyTask {
  sources: readonly Source[];
  /** Absolute; a slash at its end says that it is a directory. */
  target: string;
  /** Undefined: as it was. */
  owner: Owner | undefined;
  /** Of everything but links; undefined: as it was. */
  mode: number | undefined;
  /** Tars are unpacked, as ADD does with those of the context. */
  unpacks: boolean;
}

const failed = (error: unknown): unknown =>
  error instanceof ArchiveError || error instanceof KernelError
    ? new EngineError("system", `failed to copy files: ${error.message}`, { cause: error })
    : error;

const isDirectory = (root: number, path: string): boolean => {
  try {
    closeSync(openDirectory(root, path));
    return true;
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
};

class Copier {
  readonly #archiver: Archiver;
  readonly #root: number;
  readonly #task: CopyTask;

  constructor(archiver: Archiver, root: number, task: CopyTask) {
    this.#archiver = archiver;
    this.#root = root;
    this.#task = task;
  }

  /** Opens a directory of the new root, making it. The caller closes it. */
  #directory(path: string, owner: Owner): number {
    try {
      return makeDirectory(this.#root, path, owner);
    } catch (error) {
      if (error instanceof KernelError || (error as NodeJS.ErrnoException).code === "EEXIST")
        throw new EngineError("system", `failed to copy files: mkdir ${path}: not a directory`, {
          cause: error,
        });
      throw error;
    }
  }

  async #unpack(path: string, packing: Packing, directory: number, owned = true): Promise<void> {
    const { owner, mode } = this.#task;
    try {
      const place = { root: this.#root, directory };
      const options = { owner: owned ? owner : undefined, mode: owned ? mode : undefined, sameKind: false };
      await this.#archiver.unpack(place, path, packing.stream, options);
      await packing.done;
    } finally {
      packing.cancel();
      closeSync(directory);
    }
  }

  /** A tar of a directory's contents. */
  #contents({ root, path }: Source): Packing {
    const directory = openDirectory(root, path);
    try {
      return this.#archiver.packContents({ root, directory });
    } finally {
      closeSync(directory);
    }
  }

  /** A tar of one file, which is called `name`. */
  #file({ root, path }: Source, name: string): Packing {
    return useLocated(root, path, ({ directory, base }) =>
      this.#archiver.pack({ root, directory }, base, name),
    );
  }

  async copy(source: Source): Promise<void> {
    const { target, unpacks } = this.#task;
    const place = followLinks(this.#root, posix.join("/", target).replace(/(?<=.)\/$/, ""));
    const owner = this.#task.owner ?? ROOT;
    if (source.isDirectory) {
      // The directory belongs to the new owner, those on the way to it to root.
      closeSync(this.#directory(posix.dirname(place), ROOT));
      const directory = this.#directory(place, owner);
      await this.#unpack(place, this.#contents(source), directory);
      return;
    }
    if (unpacks && (await this.#isArchive(source))) {
      await this.#unpackArchive(source, place);
      return;
    }
    const into = target.endsWith("/") || isDirectory(this.#root, place);
    const whole = into ? posix.join(place, source.name) : place;
    const parent = posix.dirname(whole);
    const directory = this.#directory(parent, owner);
    await this.#unpack(parent, this.#file(source, posix.basename(whole)), directory);
  }

  #isArchive({ root, path }: Source): Promise<boolean> {
    return this.#withPath(root, path, isTar);
  }

  async #withPath<T>(root: number, path: string, work: (path: string) => Promise<T>): Promise<T> {
    const directory = openDirectory(root, posix.dirname(path));
    try {
      return await work(`/proc/self/fd/${directory}/${posix.basename(path)}`);
    } finally {
      closeSync(directory);
    }
  }

  /** An archive's files keep the owners it says. */
  #unpackArchive({ root, path }: Source, place: string): Promise<void> {
    return this.#withPath(root, path, async (file) => {
      const stream = createReadStream(file, { highWaterMark: 1 << 18 });
      const packing = { stream, done: Promise.resolve(), cancel: () => stream.destroy() };
      await this.#unpack(place, packing, this.#directory(place, ROOT), false);
    });
  }
}

/** Copies into a root that is a layer in the making. */
export async function copyInto(archiver: Archiver, root: number, task: CopyTask): Promise<void> {
  const copier = new Copier(archiver, root, task);
  try {
    for (const source of task.sources) await copier.copy(source);
  } catch (error) {
    throw failed(error);
  }
}
