// Limits by size: for each tree a sparse file with an ext4 in it, mounted from a loop device of its own.
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statfsSync,
} from "node:fs";
import { open, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { KernelError } from "../errors.ts";
import { ioctlLater, ioctlRequest } from "./later.ts";
import { adoptSize, isMounted, loopObstacle, mountFile, unmount } from "./loop.ts";
import { type QuotaDriver, QuotaError, type QuotaUsage } from "./port.ts";
import { Templates } from "./template.ts";

const RESIZE_FS = ioctlRequest("in", 0x66, 16, 8);
const MEBIBYTE = 1 << 20;
const BLOCK = 4096;
const INODE = 256;
const GROUP = 128 * MEBIBYTE;
/** A fiftieth, or so much. */
const RESERVE = 4096 * BLOCK;
/** One inode for so many bytes. */
const BYTES_PER_INODE = 8192;
/** The smallest there is: what is to be done once more after a crash is little. */
const JOURNAL = 4 * MEBIBYTE;
/** How far a limit may be from what it should be: its layout is not ours. */
const TOLERANCE = 0.025;
const FORMAT = [
  ...["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-b", String(BLOCK), "-I", String(INODE)],
  ...["-i", String(BYTES_PER_INODE), "-J", `size=${JOURNAL / MEBIBYTE}`],
  ...["-O", "meta_bg,^resize_inode", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"],
];
const MOUNTS_AT_ONCE = 4;
const SUFFIX = ".img";
/** In the names of what is not finished. */
const DRAFT = ".new";
/** A tree's spare inodes: empty files beside what its owner sees. It has no spare blocks: mounting it frees what it takes. */
const SPARE = ".spare";
const SPARES = ["0", "1", "2", "3"];

/** The size of a file in which there is room for `limit`: with journal, inodes, each group's maps, and what the kernel
 * keeps for itself. */
function fileSize(limit: number): number {
  const inodes = Math.ceil(limit / BYTES_PER_INODE) * INODE;
  const contents = limit + JOURNAL + inodes;
  const size =
    contents + Math.min(RESERVE, contents / 49) + Math.ceil(contents / GROUP) * 8 * BLOCK + 64 * BLOCK;
  return size - (size % BLOCK) + BLOCK;
}

/** As many as can be had. */
function makeSpares(tree: string): void {
  try {
    mkdirSync(join(tree, SPARE), { recursive: true, mode: 0o700 });
    for (const name of SPARES) closeSync(openSync(join(tree, SPARE, name), "a", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}

/** The file system in a file, from its superblock: the file may be larger, where growing was interrupted. */
async function layoutOf(file: string): Promise<{ size: number; inodesInGroup: number }> {
  const handle = await open(file);
  try {
    const superblock = Buffer.alloc(1024);
    await handle.read(superblock, 0, superblock.length, 1024);
    const blocks = superblock.readUInt32LE(0x4) + superblock.readUInt32LE(0x150) * 2 ** 32;
    return { size: blocks * BLOCK, inodesInGroup: superblock.readUInt32LE(0x28) };
  } finally {
    await handle.close();
  }
}

export class Ext4Quota implements QuotaDriver {
  readonly name = "ext4";
  readonly title = "one ext4 in a loop file for each";
  readonly minimum = 4 * MEBIBYTE;
  readonly #root: string;
  readonly #report: (problem: unknown, what: string) => void;
  readonly #templates = new Templates(FORMAT, makeSpares);
  #opening: Promise<void> | undefined;

  /** `root` is the directory for the directory of its files and mount points, without links in its path. */
  constructor(root: string, report: (problem: unknown, what: string) => void) {
    this.#root = join(root, "ext4");
    this.#report = report;
  }

  async obstacle(): Promise<string | undefined> {
    return loopObstacle("ext4", "mkfs.ext4");
  }

  async recover(): Promise<void> {
    if (existsSync(this.#root)) await this.open();
  }

  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Mounts each of them that is not, or no longer. One that can't be is told of, and keeps nobody else. */
  async #open(): Promise<void> {
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(this.#root))
      if (file.includes(DRAFT)) rmSync(join(this.#root, file), { recursive: true, force: true });
    const names = this.names().filter((name) => existsSync(this.#file(name)));
    const mountSome = async (): Promise<void> => {
      for (let name = names.pop(); name !== undefined; name = names.pop())
        await this.#mount(name, false).catch((error) => this.#report(error, `mounting ${this.#file(name)}`));
    };
    await Promise.all(Array.from({ length: MOUNTS_AT_ONCE }, mountSome));
  }

  #file(name: string): string {
    return join(this.#root, `${name}${SUFFIX}`);
  }

  /** By their files, or by mount points whose file has gone already. */
  names(): string[] {
    if (!existsSync(this.#root)) return [];
    const names = readdirSync(this.#root).map((name) =>
      name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : name,
    );
    return [...new Set(names)].filter((name) => !name.includes(DRAFT));
  }

  directory(name: string): string {
    return join(this.#root, name);
  }

  async #mount(name: string, fresh: boolean): Promise<void> {
    mkdirSync(this.directory(name), { recursive: true, mode: 0o700 });
    await mountFile(this.#file(name), this.directory(name), "ext4", "discard", fresh);
  }

  async make(name: string, limit: number): Promise<void> {
    await this.open();
    const file = this.#file(name);
    const draft = `${file}${DRAFT}`;
    try {
      await this.#templates.write(draft, fileSize(limit));
      renameSync(draft, file);
      await this.#mount(name, true);
    } catch (error) {
      rmSync(draft, { force: true });
      await this.remove(name);
      throw error;
    }
  }

  async limit(name: string, limit: number): Promise<void> {
    const file = this.#file(name);
    const { limit: present } = await this.usage(name);
    if (Math.abs(limit - present) < limit * TOLERANCE) return;
    if (limit < present)
      throw new QuotaError("a mounted ext4 can't be made smaller: only growing is possible with this driver");
    const { size, inodesInGroup } = await layoutOf(file);
    const more = Math.ceil((size + limit - present) / GROUP) - Math.ceil(size / GROUP);
    const added = limit - present + more * (inodesInGroup * INODE + 8 * BLOCK);
    const wanted = size + added - (added % BLOCK);
    await truncate(file, wanted);
    await adoptSize(file);
    try {
      await this.#resize(name, Math.floor(wanted / BLOCK));
    } catch (error) {
      await truncate(file, size);
      await adoptSize(file);
      if (!(error instanceof KernelError && error.code === "EPERM")) throw error;
      throw new QuotaError(
        "a mounted ext4 can't be made larger without CAP_SYS_RESOURCE, which is missing here",
      );
    }
  }

  async #resize(name: string, count: number): Promise<void> {
    const descriptor = openSync(this.directory(name), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const blocks = Buffer.alloc(8);
      blocks.writeBigUInt64LE(BigInt(count));
      await ioctlLater(descriptor, RESIZE_FS, blocks);
    } finally {
      closeSync(descriptor);
    }
  }

  async usage(name: string): Promise<QuotaUsage> {
    if (!isMounted(this.directory(name))) throw new QuotaError(`${this.#file(name)} is not mounted`);
    const { blocks, bfree, bavail, bsize } = statfsSync(this.directory(name));
    return { usage: (blocks - bfree) * bsize, limit: (blocks - bfree + bavail) * bsize };
  }

  async makeRoom(name: string): Promise<(() => Promise<void>) | undefined> {
    const tree = this.directory(name);
    if (!isMounted(tree)) return undefined; // what is there then is the host's
    const spares = SPARES.map((name) => join(tree, SPARE, name));
    const full = statfsSync(tree).ffree < spares.length;
    // An earlier process may have died before it took them back.
    if (!full && spares.every((spare) => existsSync(spare))) return undefined;
    if (full) for (const spare of spares) rmSync(spare, { force: true });
    return async () => makeSpares(tree);
  }

  /** The file goes first: what is left then is only a mount, which does not come back. */
  async remove(name: string): Promise<void> {
    await rm(this.#file(name), { force: true });
    const directory = this.directory(name);
    if (isMounted(directory)) await unmount(directory);
    if (existsSync(directory)) rmdirSync(directory);
  }

  async close(inUse: (name: string) => boolean): Promise<void> {
    await this.#opening;
    for (const name of this.names())
      if (!inUse(name) && isMounted(this.directory(name))) await unmount(this.directory(name));
  }
}
