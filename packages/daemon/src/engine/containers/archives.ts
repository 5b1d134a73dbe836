// Files into and out of containers: stat, copy both ways, export, and what a container has changed.
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  ArchiveError,
  type Archiver,
  KernelError,
  type LayerItem,
  O_PATH,
  openat2,
  type Packing,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
} from "@tsd/kernel-bindings";
import { goFileMode, type Located, locate, openDirectory } from "../../runtime/path.ts";
import { readUserFiles } from "../../runtime/rootview.ts";
import { resolveUser } from "../../runtime/user.ts";
import { EngineError, invalid, notFound } from "../errors.ts";
import { passOn } from "../pass-on.ts";
import { formatNanoseconds } from "../timestamps.ts";
import type { Container } from "./registry.ts";
import type { ContainerRoots } from "./roots.ts";
import type { ContainerService } from "./service.ts";
import type { Sizes } from "./view.ts";

/** What X-Docker-Container-Path-Stat holds. */
export interface PathStat {
  name: string;
  size: number;
  /** Go's FileMode. */
  mode: number;
  mtime: string;
  linkTarget: string;
}

/** One change to a container's files: 0 modified, 1 added, 2 deleted. */
export interface Change {
  Path: string;
  Kind: 0 | 1 | 2;
}

const CHANGES_AT_ONCE = 500;

function pathStat({ name, status, linkTarget }: Located): PathStat {
  return {
    name,
    size: status.size,
    mode: goFileMode(status),
    mtime: formatNanoseconds(BigInt(Math.round(status.mtimeMs * 1e6))),
    linkTarget,
  };
}

export class ContainerArchives {
  readonly #containers: ContainerService;
  readonly #roots: ContainerRoots;
  readonly #archiver: Archiver;

  constructor(containers: ContainerService, roots: ContainerRoots, archiver: Archiver) {
    this.#containers = containers;
    this.#roots = roots;
    this.#archiver = archiver;
  }

  /** Docker's words for a path that is not there, or not what it should be. */
  #refusal(error: unknown, reference: string, path: string): unknown {
    if (!(error instanceof KernelError)) return error;
    if (error.code === "ENOENT") return notFound(`Could not find the file ${path} in container ${reference}`);
    if (error.code === "ENOTDIR") return new EngineError("system", `lstat ${path}: not a directory`);
    return new EngineError("system", `lstat ${path}: ${error.message}`);
  }

  stat(container: Container, reference: string, path: string): Promise<PathStat> {
    return this.#roots.use(container, async ({ descriptor }) => {
      const located = this.#locate(descriptor, reference, path);
      closeSync(located.directory);
      return pathStat(located);
    });
  }

  #locate(root: number, reference: string, path: string): Located {
    try {
      return locate(root, path);
    } catch (error) {
      throw this.#refusal(error, reference, path);
    }
  }

  /** A tar of what a path stands for, passed to `send` with its status; resolves when all of it was taken. */
  copyOut(
    container: Container,
    reference: string,
    path: string,
    send: (stat: PathStat, archive: Readable) => Promise<void>,
  ): Promise<void> {
    return this.#roots.use(container, async ({ descriptor, ...confinement }) => {
      const located = this.#locate(descriptor, reference, path);
      let packing: Packing;
      try {
        const place = { root: descriptor, directory: located.directory, ...confinement };
        packing = this.#archiver.pack(place, located.base, located.name);
      } finally {
        closeSync(located.directory);
      }
      this.#containers.announce(container, "archive-path");
      await passOn(packing, (archive) => send(pathStat(located), archive));
    });
  }

  /** Unpacks a tar into a directory of the container's. */
  copyIn(
    container: Container,
    reference: string,
    path: string,
    archive: Readable,
    options: { sameKind: boolean; userOwned: boolean },
  ): Promise<void> {
    const { definition } = container.record;
    return this.#roots.use(container, async ({ descriptor, ...confinement }) => {
      const directory = this.#extractionPoint(descriptor, reference, path);
      try {
        // Refused before the archive is read, as what the container itself could not write.
        if (isReadOnly(directory)) throw new EngineError("forbidden", "container rootfs is marked read-only");
        const owner =
          options.userOwned && definition.config.User
            ? resolveUser(definition.config.User, [], readUserFiles({ descriptor }))
            : undefined;
        const place = { root: descriptor, directory, ...confinement };
        await this.#archiver.unpack(place, path, archive, { owner, sameKind: options.sameKind });
      } catch (error) {
        throw error instanceof ArchiveError ? invalid(error.message) : error;
      } finally {
        closeSync(directory);
      }
      this.#containers.announce(container, "extract-to-dir");
    });
  }

  #extractionPoint(root: number, reference: string, path: string): number {
    try {
      return openDirectory(root, path.startsWith("/") ? path : `/${path}`);
    } catch (error) {
      if (error instanceof KernelError && error.code === "ENOTDIR")
        throw invalid("extraction point is not a directory");
      throw this.#refusal(error, reference, path);
    }
  }

  /** A tar of the whole root, without what is mounted on it. */
  async export(container: Container, send: (archive: Readable) => Promise<void>): Promise<void> {
    const root = this.#roots.openFiles(container);
    let packing: Packing;
    try {
      packing = this.#archiver.packContents({ root, directory: root });
    } finally {
      closeSync(root);
    }
    this.#containers.announce(container, "export");
    await passOn(packing, send);
  }

  /** A tar of what the container has changed, as an image's layer. */
  packChanges(container: Container): Packing {
    return this.#withUpper(container, (place) => this.#archiver.packLayer(place));
  }

  #withUpper<T>(container: Container, work: (place: { root: number; directory: number }) => T): T {
    const root = openSync(this.#roots.upper(container), O_PATH | constants.O_DIRECTORY);
    try {
      return work({ root, directory: root });
    } finally {
      closeSync(root);
    }
  }

  /** A container that is removed meanwhile has none. */
  async #items(container: Container): Promise<LayerItem[]> {
    try {
      return await this.#withUpper(container, (place) => this.#archiver.listLayer(place));
    } catch (error) {
      if (container.removing) return [];
      throw error;
    }
  }

  /** Bytes of a container's own files, and of everything in its root. */
  async sizes(container: Container, imageSize: number): Promise<Sizes> {
    const files = new Map<string, number>();
    for (const { inode, size } of await this.#items(container)) files.set(inode, size);
    const SizeRw = [...files.values()].reduce((sum, size) => sum + size, 0);
    return { SizeRw, SizeRootFs: SizeRw + imageSize };
  }

  /** What the container has changed of its image's files, in the order of their paths. */
  async changes(container: Container): Promise<Change[] | null> {
    const [, ...layers] = this.#roots.layers(container);
    const items = await this.#items(container);
    const descriptors: number[] = [];
    try {
      for (const layer of layers) descriptors.push(openSync(layer, O_PATH | constants.O_DIRECTORY));
      const changes = await compare(items, descriptors);
      return changes.length > 0 ? changes : null;
    } catch (error) {
      if (container.removing) throw notFound(`No such container: ${container.id}`);
      throw error;
    } finally {
      for (const descriptor of descriptors) closeSync(descriptor);
    }
  }
}

function isReadOnly(directory: number): boolean {
  try {
    closeSync(openSync(`/proc/self/fd/${directory}`, constants.O_WRONLY | O_TMPFILE, 0o600));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EROFS";
  }
}
const O_TMPFILE = 0o20200000;

/** Whether a layer has this path, and as what; links on the way are no way. */
function inLayers(
  layers: readonly number[],
  path: string,
): { mode: number; mtime: string; size: number } | undefined {
  for (const layer of layers) {
    try {
      const node = openat2(layer, path, O_PATH | constants.O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
      try {
        const { mode, rdev, mtimeNs, size } = fstatSync(node, { bigint: true });
        const device = (mode & 0o170000n) === 0o020000n && rdev === 0n;
        if (device) return undefined; // a whiteout of the image's
        const time = String(mtimeNs).padStart(10, "0");
        return { mode: Number(mode), mtime: `${time.slice(0, -9)}.${time.slice(-9)}`, size: Number(size) };
      } finally {
        closeSync(node);
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
  return undefined;
}

async function compare(items: readonly LayerItem[], layers: readonly number[]): Promise<Change[]> {
  const changes = new Map<string, Change["Kind"]>();
  const opaque: string[] = [];
  for (const [index, { kind, path, mode, size, time }] of items.entries()) {
    if (index % CHANGES_AT_ONCE === CHANGES_AT_ONCE - 1) await nextTurn();
    if (kind === "w") {
      changes.set(path, 2);
      continue;
    }
    const hidden = opaque.some((directory) => path.startsWith(`${directory}/`));
    const below = hidden ? undefined : inLayers(layers, path);
    if (kind === "o") opaque.push(path);
    if (!below) changes.set(path, 1);
    // A directory that is only there because of what is in it has not changed itself.
    else if (kind === "f" || below.mode !== mode || below.mtime !== time || below.size !== size)
      changes.set(path, 0);
  }
  for (const [path, kind] of [...changes]) {
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (kind !== 0 && parent && !changes.has(parent)) changes.set(parent, 0);
  }
  return [...changes].map(([Path, Kind]) => ({ Path, Kind })).sort((a, b) => (a.Path < b.Path ? -1 : 1));
}
