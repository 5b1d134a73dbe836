// Where volumes are on the disk: NAME/_data below one root, or, for one of limited size, a link there to a tree's _data.
// Everything that takes time to make has another name until it is whole, so that a death in the middle leaves no half of it.
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { mkdir, open, readdir, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { WritableLayers } from "../storage/writable-layers.ts";
import type { VolumeRecord } from "./record.ts";

const DATA = "_data";
/** A copy on its way, and one that is whole and waits to be moved into _data. */
const FILLING = "_fill";
const FULL = "_full";
/** Contents that are to replace the old ones, on their way and whole. */
const RESTORING = "_restore";
const RESTORED = "_restored";
/** What was replaced, until it is deleted: in the same tree, since a rename can't leave one. */
const OLD = "_old-";
const TRASH = ".trash";

type Named = Pick<VolumeRecord, "name" | "tree">;

export class VolumePlaces {
  readonly #root: string;
  readonly #trees: WritableLayers;
  readonly #report: (problem: unknown, what: string) => void;

  constructor(root: string, trees: WritableLayers, report: (problem: unknown, what: string) => void) {
    this.#root = root;
    this.#trees = trees;
    this.#report = report;
  }

  /** What the API shows, and what containers mount. */
  mountPoint(name: string): string {
    return join(this.#root, name, DATA);
  }

  /** The directory that holds _data itself. */
  #base({ name, tree }: Named): string {
    return tree ? this.#trees.directory(tree) : join(this.#root, name);
  }

  data(volume: Named): string {
    return join(this.#base(volume), DATA);
  }

  /** Names of directories that may be volumes of before there were records. */
  names(): string[] {
    return readdirSync(this.#root).filter(
      (name) => !name.startsWith(".") && existsSync(this.mountPoint(name)),
    );
  }

  /** When a volume's directory was made, RFC 3339. */
  created(name: string): string {
    return statSync(this.mountPoint(name)).birthtime.toISOString();
  }

  /** Whether a volume was made to the end, and its removal has not begun. (Its tree may be out of reach for now.) */
  isThere({ name }: Named): boolean {
    return existsSync(join(this.#root, name));
  }

  /** Makes a volume's directories; `limit` in bytes for one with a tree. */
  async make(volume: Named, limit: number): Promise<void> {
    const own = join(this.#root, volume.name);
    if (volume.tree) await this.#trees.makeTree(volume.tree, limit);
    await mkdir(own, { mode: 0o701 });
    if (volume.tree) await symlink(this.data(volume), join(own, DATA));
    await mkdir(this.data(volume), { mode: 0o755 });
  }

  /** Takes a volume out of sight at once, and off the disk at leisure. */
  discard(volume: Named): void {
    const own = join(this.#root, volume.name);
    if (existsSync(own)) this.#throwAway(own);
    if (volume.tree) this.#trees.discard(volume.tree);
  }

  #throwAway(path: string): void {
    const trash = join(this.#root, TRASH);
    mkdirSync(trash, { recursive: true, mode: 0o700 });
    const waiting = join(trash, randomBytes(8).toString("hex"));
    renameSync(path, waiting);
    void rm(waiting, { recursive: true, force: true }).catch((error) =>
      this.#report(error, `deleting ${path}`),
    );
  }

  /** Finishes or takes back what an earlier daemon had begun. */
  settle(volume: Named): void {
    const base = this.#base(volume);
    const unfinished = readdirSync(base).filter(
      (name) => [FILLING, RESTORING].includes(name) || name.startsWith(OLD),
    );
    for (const name of unfinished) rmSync(join(base, name), { recursive: true, force: true });
    if (existsSync(join(base, RESTORED))) this.#swap(base);
    if (existsSync(join(base, FULL))) this.#pour(base);
    if (!existsSync(join(base, DATA))) mkdirSync(join(base, DATA), { mode: 0o755 });
    const link = this.mountPoint(volume.name);
    // Trees move with the data root.
    if (volume.tree && (!existsSync(link) || readlinkSync(link) !== this.data(volume))) {
      rmSync(link, { force: true });
      symlinkSync(this.data(volume), link);
    }
  }

  /** Removes what removed volumes have left. */
  async sweep(): Promise<void> {
    await rm(join(this.#root, TRASH), { recursive: true, force: true });
  }

  async isEmpty(volume: Named): Promise<boolean> {
    return (await readdir(this.data(volume))).length === 0;
  }

  /** Gives `work` an empty directory to fill, which becomes the volume's contents when it is whole: of an empty volume that
   * may be in use (`live`: what is mounted already must stay what it is), or instead of what there was. */
  async replace(
    volume: Named,
    how: "fill" | "fill-live" | "restore",
    work: (directory: number) => Promise<void>,
  ): Promise<void> {
    const base = this.#base(volume);
    const [making, made] = how === "restore" ? [RESTORING, RESTORED] : [FILLING, FULL];
    const place = join(base, making);
    await rm(place, { recursive: true, force: true });
    await mkdir(place, { mode: 0o755 });
    try {
      await withDirectory(place, work);
      if (how === "fill") await rename(place, join(base, DATA));
      else await rename(place, join(base, made));
    } catch (error) {
      await rm(place, { recursive: true, force: true });
      throw error;
    }
    if (how === "fill-live") this.#pour(base);
    if (how === "restore") this.#swap(base);
  }

  #swap(base: string): void {
    const data = join(base, DATA);
    if (existsSync(data)) {
      const old = join(base, `${OLD}${randomBytes(4).toString("hex")}`);
      renameSync(data, old);
      void rm(old, { recursive: true, force: true }).catch((error) => this.#report(error, `deleting ${old}`));
    }
    renameSync(join(base, RESTORED), data);
  }

  /** Moves a whole copy into the directory that is mounted already. */
  #pour(base: string): void {
    const [full, data] = [join(base, FULL), join(base, DATA)];
    for (const name of readdirSync(full))
      if (!existsSync(join(data, name))) renameSync(join(full, name), join(data, name));
    const { uid, gid, mode, atime, mtime } = statSync(full);
    chownSync(data, uid, gid);
    chmodSync(data, mode & 0o7777);
    utimesSync(data, atime, mtime);
    rmSync(full, { recursive: true, force: true });
  }
}

/** Calls with a descriptor of a directory, which is closed in the end. */
export async function withDirectory<T>(path: string, work: (descriptor: number) => Promise<T>): Promise<T> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await work(handle.fd);
  } finally {
    await handle.close();
  }
}
