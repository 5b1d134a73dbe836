// Limits by btrfs's quota groups: one sparse file as a btrfs, a subvolume for each tree.

import { execFile } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { KernelError } from "../errors.ts";
import { ioctl } from "../libc.ts";
import { ioctlLater, ioctlNumberLater, ioctlRequest } from "./later.ts";
import { adoptSize, isMounted, loopObstacle, mountFile, unmount } from "./loop.ts";
import { type QuotaDriver, QuotaError, type QuotaUsage, ROOM_LENT, ROOM_TO_MOUNT } from "./port.ts";

const run = promisify(execFile);
const MAGIC = 0x94;
const ARGUMENTS = 4096;
const NAME_OFFSET = 8;
const FIRST_TREE = 256;
const SUBVOL_CREATE = ioctlRequest("in", MAGIC, 14, ARGUMENTS);
const SNAP_DESTROY = ioctlRequest("in", MAGIC, 15, ARGUMENTS);
const RESIZE = ioctlRequest("in", MAGIC, 3, ARGUMENTS);
const INO_LOOKUP = ioctlRequest("both", MAGIC, 18, ARGUMENTS);
const FS_INFO = ioctlRequest("out", MAGIC, 31, 1024);
const QUOTA_CTL = ioctlRequest("both", MAGIC, 40, 16);
const QGROUP_CREATE = ioctlRequest("in", MAGIC, 42, 16);
const QGROUP_LIMIT = ioctlRequest("out", MAGIC, 43, 48);
const SYNC = ioctlRequest("none", MAGIC, 8);
const QUOTA_ENABLE = 1n;
/** Counts what each subvolume has written, without looking for shared extents (Linux 6.7). */
const QUOTA_ENABLE_SIMPLE = 4n;
const LIMIT_REFERENCED = 1n;
const MEBIBYTE = 1 << 20;
/** Of the free space around it: so much is left to others, and so much more is worth growing for. */
const SHARE = 0.95;
const SMALLEST_POOL = 256 * MEBIBYTE;
/** A removed subvolume is taken apart by the kernel after a commit, and its blocks given back with the next one. */
const TIDY_DELAYS = [200, 500, 1000];
/** Without copy on write, what is overwritten takes no second place: a full tree's files can still be changed. What was
 * deleted counts until the next commit, every five seconds; one that meets the limit does not wait for it. */
const OPTIONS = "nodatacow,discard,commit=5";

export class BtrfsQuota implements QuotaDriver {
  readonly name = "btrfs";
  readonly title = "btrfs qgroups in a loop file";
  readonly minimum = MEBIBYTE;
  readonly #root: string;
  readonly #file: string;
  readonly #mountPoint: string;
  readonly #report: (problem: unknown, what: string) => void;
  #opening: Promise<void> | undefined;
  /** The kernel's figures of each quota group. */
  #groups = "";
  readonly #treeIds = new Map<string, number>();
  /** Something was removed since it was last tidied up. */
  #removed = false;
  #tidying = false;
  #making = 0;

  /** `root` is the directory for its file and its mount point, without links in its path. */
  constructor(root: string, report: (problem: unknown, what: string) => void) {
    this.#root = root;
    this.#file = join(root, "btrfs.img");
    this.#mountPoint = join(root, "btrfs");
    this.#report = report;
  }

  async obstacle(): Promise<string | undefined> {
    return loopObstacle("btrfs", "mkfs.btrfs");
  }

  async recover(): Promise<void> {
    rmSync(`${this.#file}.new`, { force: true });
    if (existsSync(this.#file)) await this.open();
  }

  open(): Promise<void> {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<void> {
    mkdirSync(this.#mountPoint, { recursive: true, mode: 0o700 });
    const fresh = !existsSync(this.#file);
    if (fresh) await this.#format();
    await mountFile(this.#file, this.#mountPoint, "btrfs", OPTIONS, fresh);
    await this.#with(this.#mountPoint, async (descriptor) => {
      if (!fresh) await this.#grow(descriptor);
      await enableQuotas(descriptor);
      const facts = Buffer.alloc(1024);
      await ioctlLater(descriptor, FS_INFO, facts);
      const id = facts.toString("hex", 16, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
      this.#groups = `/sys/fs/btrfs/${id}/qgroups`;
    });
  }

  /** Nothing is kept open: the mount is to be free when it is to go. */
  async #with<T>(directory: string, work: (descriptor: number) => Promise<T>): Promise<T> {
    const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return await work(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  #ioctl(request: number, argument: Buffer): Promise<number> {
    return this.#with(this.#mountPoint, (descriptor) => ioctlLater(descriptor, request, argument));
  }

  /** A whole file system, or none: it gets its name when it is made. */
  async #format(): Promise<void> {
    const size = this.#wantedSize(0);
    if (size < SMALLEST_POOL) throw new QuotaError("there is too little room for a btrfs");
    const draft = `${this.#file}.new`;
    await writeFile(draft, "", { mode: 0o600 });
    await truncate(draft, size);
    await run("mkfs.btrfs", ["-q", "-f", "-K", "-m", "single", "-d", "single", draft]);
    await rename(draft, this.#file);
  }

  /** As large as what is free around it, with what it takes already: never promising what is not there. */
  #wantedSize(taken: number): number {
    const { bavail, bsize } = statfsSync(this.#root);
    const size = taken + Math.floor(bavail * bsize * SHARE);
    return size - (size % MEBIBYTE);
  }

  async #grow(descriptor: number): Promise<void> {
    const { size, blocks } = statSync(this.#file);
    const wanted = this.#wantedSize(blocks * 512);
    if (wanted < size * 1.1) return;
    await truncate(this.#file, wanted);
    await adoptSize(this.#file);
    await ioctlLater(descriptor, RESIZE, named("max"));
  }

  names(): string[] {
    return isMounted(this.#mountPoint) ? readdirSync(this.#mountPoint) : [];
  }

  directory(name: string): string {
    return join(this.#mountPoint, name);
  }

  async make(name: string, limit: number): Promise<void> {
    await this.open();
    this.#making++;
    try {
      await this.#ioctl(SUBVOL_CREATE, named(name));
      await this.limit(name, limit);
    } catch (error) {
      await this.remove(name);
      throw error;
    } finally {
      this.#making--;
    }
  }

  /** The subvolume's number, which is its quota group's too: known to whoever has its directory open, no disk is asked. */
  #treeId(name: string): number {
    const known = this.#treeIds.get(name);
    if (known !== undefined) return known;
    const argument = Buffer.alloc(ARGUMENTS);
    argument.writeBigUInt64LE(BigInt(FIRST_TREE), 8);
    const descriptor = openSync(this.directory(name), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      ioctl(descriptor, INO_LOOKUP, argument);
    } finally {
      closeSync(descriptor);
    }
    const id = Number(argument.readBigUInt64LE(0));
    this.#treeIds.set(name, id);
    return id;
  }

  async limit(name: string, limit: number): Promise<void> {
    const argument = Buffer.alloc(48);
    argument.writeBigUInt64LE(BigInt(this.#treeId(name)), 0);
    argument.writeBigUInt64LE(LIMIT_REFERENCED, 8);
    argument.writeBigUInt64LE(BigInt(limit), 16);
    await this.#ioctl(QGROUP_LIMIT, argument);
  }

  async usage(name: string): Promise<QuotaUsage> {
    const group = `${this.#groups}/0_${this.#treeId(name)}`;
    const figure = (file: string): number => Number(readFileSync(`${group}/${file}`, "latin1"));
    // What is written but not yet on the disk is reserved.
    return { usage: figure("referenced") + figure("rsv_data"), limit: figure("max_referenced") };
  }

  async makeRoom(name: string): Promise<(() => Promise<void>) | undefined> {
    const { usage, limit } = await this.usage(name);
    if (usage + ROOM_TO_MOUNT <= limit) return undefined;
    await this.limit(name, limit + ROOM_LENT);
    return () => this.limit(name, limit);
  }

  async remove(name: string): Promise<void> {
    await this.open();
    try {
      await this.#ioctl(SNAP_DESTROY, named(name));
    } catch (error) {
      if (!(error instanceof KernelError && error.code === "ENOENT")) throw error;
    }
    this.#treeIds.delete(name);
    this.#removed = true;
    if (this.#tidying) return;
    this.#tidying = true;
    this.#tidy()
      .catch((error) => this.#report(error, "tidying the btrfs of quotas up"))
      .finally(() => {
        this.#tidying = false;
      });
  }

  /** Has removed subvolumes taken apart and their room given back; quota groups go with them, by us on older kernels. */
  async #tidy(): Promise<void> {
    while (this.#removed) {
      this.#removed = false;
      for (const milliseconds of TIDY_DELAYS) {
        await delay(milliseconds, undefined, { ref: false });
        if (!this.#opening) return;
        await this.#with(this.#mountPoint, (descriptor) => ioctlNumberLater(descriptor, SYNC));
      }
    }
    // While a tree is being made, its group may be there before its name.
    if (!this.#opening || this.#making > 0) return;
    const groups = readdirSync(this.#groups);
    const names = this.names();
    const live = new Set<number>();
    for (const name of names) live.add(this.#treeId(name));
    for (const group of groups) {
      const id = Number(/^0_(\d+)$/.exec(group)?.[1] ?? 0);
      if (id < FIRST_TREE || live.has(id)) continue;
      const argument = Buffer.alloc(16);
      argument.writeBigUInt64LE(BigInt(id), 8);
      // One whose subvolume is still being taken apart is busy, and goes the next time.
      await this.#ioctl(QGROUP_CREATE, argument).catch(() => undefined);
    }
  }

  /** An empty pool goes whole, file and all. */
  async close(inUse: (name: string) => boolean): Promise<void> {
    if (!this.#opening) return;
    await this.#opening;
    const names = this.names();
    if (names.some(inUse)) return;
    this.#opening = undefined;
    await unmount(this.#mountPoint);
    if (names.length === 0) rmSync(this.#file, { force: true });
  }
}

async function enableQuotas(descriptor: number): Promise<void> {
  const enable = async (how: bigint): Promise<void> => {
    const argument = Buffer.alloc(16);
    argument.writeBigUInt64LE(how);
    await ioctlLater(descriptor, QUOTA_CTL, argument);
  };
  try {
    await enable(QUOTA_ENABLE_SIMPLE);
  } catch (error) {
    if (!(error instanceof KernelError && error.code === "EINVAL")) throw error;
    await enable(QUOTA_ENABLE);
  }
}

/** struct btrfs_ioctl_vol_args. */
function named(name: string): Buffer {
  const argument = Buffer.alloc(ARGUMENTS);
  argument.write(name, NAME_OFFSET);
  return argument;
}
