// Limits by project quotas, where the file system keeps them: a directory for each tree, with a project of its own.

import { randomInt } from "node:crypto";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { KernelError } from "../errors.ts";
import { ioctlLater, ioctlRequest, projectQuotaLater } from "./later.ts";
import { type QuotaDriver, type QuotaUsage, ROOM_LENT, ROOM_TO_MOUNT } from "./port.ts";

const Q_GETQUOTA = 0x800007;
const Q_SETQUOTA = 0x800008;
/** struct fs_quota_stat, which every file system with quotas fills in. */
const Q_XGETQSTAT = 0x5805;
const QUOTA_STAT = 80;
const PROJECTS_ENFORCED = 1 << 5;
const FSXATTR = 28;
const GET_XATTR = ioctlRequest("out", 0x58, 31, FSXATTR);
const SET_XATTR = ioctlRequest("in", 0x58, 32, FSXATTR);
const PROJECT_OFFSET = 12;
const XFLAG_PROJECT_INHERIT = 0x200;
const DQBLK = 72;
const LIMITS_VALID = 1 | 4;
const KIBIBYTE = 1024;
/** One inode for so many bytes. */
const BYTES_PER_INODE = 4096;
const INODES_TO_MOUNT = 8;
/** Projects that people number by hand are small. */
const FIRST_PROJECT = 1 << 30;
const TRIAL_NAME = ".trial";
const TRIAL = 64 * KIBIBYTE;

export class ProjectQuota implements QuotaDriver {
  readonly name = "project";
  readonly title = "project quotas of the data root's file system";
  readonly minimum = 64 * KIBIBYTE;
  readonly #root: string;
  readonly #projects = new Map<string, number>();

  constructor(root: string) {
    this.#root = join(root, "project");
  }

  /** Found out by trying: limits must hold, and what is written into a tree must count. (That it is refused can't be tried:
   * the limits of some file systems are not for who has this process's capabilities.) */
  async obstacle(): Promise<string | undefined> {
    const there = existsSync(this.#root);
    try {
      await this.remove(TRIAL_NAME);
      await this.make(TRIAL_NAME, TRIAL);
      writeFileSync(join(this.directory(TRIAL_NAME), "file"), Buffer.alloc(TRIAL / 2), { flush: true });
      const { usage, limit } = await this.usage(TRIAL_NAME);
      if (usage < TRIAL / 2 || limit !== TRIAL) return "what a project writes is not counted";
      return (await this.#with(".", isEnforced)) ? undefined : "limits of projects are not enforced";
    } catch (error) {
      if (error instanceof KernelError) return error.message;
      throw error;
    } finally {
      await this.remove(TRIAL_NAME).catch(() => undefined);
      if (!there) rmSync(this.#root, { recursive: true, force: true });
    }
  }

  async recover(): Promise<void> {
    for (const name of this.names()) await this.#with(name, (descriptor) => this.#project(name, descriptor));
  }

  async open(): Promise<void> {
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  names(): string[] {
    return existsSync(this.#root) ? readdirSync(this.#root).filter((name) => name !== TRIAL_NAME) : [];
  }

  directory(name: string): string {
    return join(this.#root, name);
  }

  async #with<T>(name: string, work: (descriptor: number) => Promise<T>): Promise<T> {
    const descriptor = openSync(this.directory(name), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return await work(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  async make(name: string, limit: number): Promise<void> {
    await this.open();
    mkdirSync(this.directory(name), { mode: 0o700 });
    try {
      await this.#with(name, async (descriptor) => {
        const project = await this.#freeProject(descriptor);
        this.#projects.set(name, project);
        const attributes = Buffer.alloc(FSXATTR);
        await ioctlLater(descriptor, GET_XATTR, attributes);
        attributes.writeUInt32LE(attributes.readUInt32LE(0) | XFLAG_PROJECT_INHERIT, 0);
        attributes.writeUInt32LE(project, PROJECT_OFFSET);
        await setLimit(descriptor, project, limit);
        await ioctlLater(descriptor, SET_XATTR, attributes);
      });
    } catch (error) {
      await this.remove(name);
      throw error;
    }
  }

  /** A project that nobody has, with nothing counted for it. */
  async #freeProject(descriptor: number): Promise<number> {
    const taken = new Set(this.#projects.values());
    for (;;) {
      const project = FIRST_PROJECT + randomInt(FIRST_PROJECT);
      if (!taken.has(project) && (await figures(descriptor, project)).inodes === 0) return project;
    }
  }

  async #project(name: string, descriptor: number): Promise<number> {
    const known = this.#projects.get(name);
    if (known !== undefined) return known;
    const attributes = Buffer.alloc(FSXATTR);
    await ioctlLater(descriptor, GET_XATTR, attributes);
    const project = attributes.readUInt32LE(PROJECT_OFFSET);
    this.#projects.set(name, project);
    return project;
  }

  limit(name: string, limit: number): Promise<void> {
    return this.#with(name, async (descriptor) =>
      setLimit(descriptor, await this.#project(name, descriptor), limit),
    );
  }

  usage(name: string): Promise<QuotaUsage> {
    return this.#with(name, async (descriptor) => figures(descriptor, await this.#project(name, descriptor)));
  }

  async makeRoom(name: string): Promise<(() => Promise<void>) | undefined> {
    const { usage, limit, inodes } = await this.#with(name, async (descriptor) =>
      figures(descriptor, await this.#project(name, descriptor)),
    );
    if (usage + ROOM_TO_MOUNT <= limit && inodes + INODES_TO_MOUNT <= inodesFor(limit)) return undefined;
    await this.limit(name, limit + ROOM_LENT);
    return () => this.limit(name, limit);
  }

  async remove(name: string): Promise<void> {
    if (!existsSync(this.directory(name))) return;
    const project = await this.#with(name, (descriptor) => this.#project(name, descriptor)).catch(() => 0);
    await rm(this.directory(name), { recursive: true, force: true });
    this.#projects.delete(name);
    if (project < FIRST_PROJECT) return;
    const root = openSync(this.#root, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await setLimit(root, project, 0);
    } finally {
      closeSync(root);
    }
  }

  async close(): Promise<void> {
    this.#projects.clear();
  }
}

const inodesFor = (limit: number): number => Math.ceil(limit / BYTES_PER_INODE);

/** Limits the bytes and inodes of a project; 0 lifts the limit. */
async function setLimit(descriptor: number, project: number, limit: number): Promise<void> {
  const quota = Buffer.alloc(DQBLK);
  quota.writeBigUInt64LE(BigInt(Math.floor(limit / KIBIBYTE)), 0);
  quota.writeBigUInt64LE(BigInt(inodesFor(limit)), 24);
  quota.writeUInt32LE(LIMITS_VALID, 64);
  await projectQuotaLater(descriptor, Q_SETQUOTA, project, quota);
}

async function isEnforced(descriptor: number): Promise<boolean> {
  const state = Buffer.alloc(QUOTA_STAT);
  await projectQuotaLater(descriptor, Q_XGETQSTAT, 0, state);
  return (state.readUInt16LE(2) & PROJECTS_ENFORCED) !== 0;
}

async function figures(descriptor: number, project: number): Promise<QuotaUsage & { inodes: number }> {
  const quota = Buffer.alloc(DQBLK);
  try {
    await projectQuotaLater(descriptor, Q_GETQUOTA, project, quota);
  } catch (error) {
    // Nothing was ever counted for it.
    if (!(error instanceof KernelError && error.code === "ENOENT")) throw error;
  }
  const figure = (offset: number): number => Number(quota.readBigUInt64LE(offset));
  return { limit: figure(0) * KIBIBYTE, usage: figure(16), inodes: figure(40) };
}
