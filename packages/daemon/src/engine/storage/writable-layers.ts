// Where containers keep what they write: plain directories, or trees of limited size by one of the quota drivers.
import { mkdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type QuotaDriver, QuotaError, type QuotaUsage } from "@tsd/kernel-bindings";
import { conflict, EngineError, invalid } from "../errors.ts";
import { checkSize, requestedSize } from "./options.ts";

export interface WritableLayerParts {
  /** Where containers have their directories. */
  root: string;
  /** The best first. */
  drivers: readonly QuotaDriver[];
  /** The name of the one to use, whatever others there are. */
  wanted: string | undefined;
  /** The limit of containers that ask for none, as it was given; undefined for no limit. */
  defaultSize: string | undefined;
  report: (problem: unknown, what: string) => void;
}

/** What overlayfs needs, with their modes. */
const parts = [
  ["diff", 0o755],
  ["work", 0o700],
] as const;
/** Each of them may hold a thread of the pool for as long as a disk takes. */
const REMOVALS_AT_ONCE = 2;
/** What the sweep takes for containers'; other trees are somebody else's. */
const containerId = /^[0-9a-f]{64}$/;

export class WritableLayers {
  readonly #parts: WritableLayerParts;
  /** The drivers of those that have a limit. */
  readonly #limited = new Map<string, QuotaDriver>();
  /** Drivers that may work, the best first, and why others don't. */
  #candidates: QuotaDriver[] = [];
  #obstacle = "";
  readonly #removals: Promise<void>[] = [];
  #turn = 0;

  constructor(parts: WritableLayerParts) {
    this.#parts = parts;
  }

  get defaultSize(): string | undefined {
    return this.#parts.defaultSize;
  }

  /** What limits are kept by, for people. */
  get description(): string {
    return this.#candidates[0]?.title ?? `none (${this.#obstacle})`;
  }

  /** Chooses a driver, and takes up what an earlier daemon left with any of them. */
  async open(): Promise<void> {
    const { drivers, wanted, defaultSize, report } = this.#parts;
    for (const driver of drivers) {
      await driver.recover().catch((error) => report(error, `taking up what is kept by ${driver.title}`));
      for (const name of driver.names()) this.#limited.set(name, driver);
    }
    const obstacles: string[] = [];
    for (const driver of drivers) {
      if (wanted !== undefined && driver.name !== wanted) continue;
      const obstacle = await driver.obstacle();
      if (obstacle === undefined) this.#candidates.push(driver);
      else obstacles.push(`${driver.name}: ${obstacle}`);
    }
    this.#obstacle = obstacles.join("; ");
    const size = requestedSize(defaultSize ? { size: defaultSize } : undefined);
    const minimum = this.#candidates[0]?.minimum ?? 0;
    if (size !== undefined && size < minimum)
      throw new Error(`--storage-opt size=${defaultSize}: must be ${minimum} bytes at least`);
    if (this.#candidates.length > 0) return;
    if (wanted !== undefined) throw new Error(`--storage-opt quota-driver=${wanted}: ${this.#obstacle}`);
    if (defaultSize) throw new Error(`--storage-opt size=${defaultSize}: no quota driver: ${this.#obstacle}`);
  }

  /** The directory with a container's diff and work in it. */
  directory(id: string): string {
    return this.#limited.get(id)?.directory(id) ?? join(this.#parts.root, id);
  }

  /** Throws for a size that no container could have here. */
  check(size: number): void {
    const [driver] = this.#candidates;
    if (!driver)
      throw invalid(
        `HostConfig.StorageOpt.size: there is no quota driver on this machine: ${this.#obstacle}`,
      );
    checkSize(size, driver.minimum);
  }

  /** Makes the directories of a container, whose own is there. Nothing is left of a limited one that can't be made. */
  async make(id: string, size: number | undefined): Promise<void> {
    if (size !== undefined) await this.#makeLimited(id, size);
    const directory = this.directory(id);
    // A loop device's file system may be busy for a moment; the host's takes less time than the way to another thread.
    if (size !== undefined)
      await Promise.all(parts.map(([name, mode]) => mkdir(join(directory, name), { mode })));
    else for (const [name, mode] of parts) mkdirSync(join(directory, name), { mode });
  }

  /** Whether a tree of so many bytes could be made at all. */
  hasRoomFor(size: number): boolean {
    const [driver] = this.#candidates;
    return driver !== undefined && size >= driver.minimum;
  }

  /** Makes an empty tree of limited size for somebody else, who names it by what is no container's id. */
  async makeTree(name: string, size: number): Promise<void> {
    await this.#makeLimited(name, size);
  }

  /** Names of trees that are nobody's here. */
  otherTrees(): string[] {
    return [...this.#limited.keys()].filter((name) => !containerId.test(name));
  }

  /** A driver that turns out not to work is given up for the next one, until the daemon's next start. */
  async #makeLimited(id: string, size: number): Promise<void> {
    this.check(size);
    for (;;) {
      const [driver, next] = this.#candidates;
      if (!driver) throw invalid("HostConfig.StorageOpt.size: there is no quota driver");
      try {
        await driver.open();
      } catch (error) {
        if (!next) throw systemError(error, driver.title);
        this.#parts.report(error, `${driver.title}: given up for ${next.title}`);
        this.#candidates = this.#candidates.filter((candidate) => candidate !== driver);
        continue;
      }
      try {
        await driver.make(id, size);
      } catch (error) {
        throw systemError(error, "making the container's files");
      }
      this.#limited.set(id, driver);
      return;
    }
  }

  /** Usage and limit of a container that has one. */
  async usage(id: string): Promise<QuotaUsage | undefined> {
    try {
      return await this.#limited.get(id)?.usage(id);
    } catch (error) {
      this.#parts.report(error, `what ${id} has written`);
      return undefined;
    }
  }

  /** Does what mounts a container's files, which takes a little room even in a tree that is full. */
  async withRoom<T>(id: string, mount: () => Promise<T>): Promise<T> {
    const takeBack = await this.#limited.get(id)?.makeRoom(id);
    try {
      return await mount();
    } finally {
      await takeBack?.().catch((error) => this.#parts.report(error, `the limit of ${id}`));
    }
  }

  /** Changes a limit, whether the container runs or not; returns what takes that back. */
  async resize(id: string, size: number): Promise<() => Promise<void>> {
    const refuse = (reason: string): EngineError => conflict(`Cannot update container ${id}: ${reason}`);
    const driver = this.#limited.get(id);
    if (!driver)
      throw refuse("it was created without StorageOpt.size: its files are in a directory without a limit");
    checkSize(size, driver.minimum);
    const before = await driver.usage(id);
    if (size < before.usage)
      throw refuse(`StorageOpt.size of ${size} bytes is less than the ${before.usage} in use`);
    try {
      await driver.limit(id, size);
    } catch (error) {
      if (error instanceof QuotaError) throw refuse(`StorageOpt.size: ${error.message}`);
      throw systemError(error, `Cannot update container ${id}`);
    }
    return () => driver.limit(id, before.limit);
  }

  /** Sees to it that a limit is what the record says: the daemon may have died between the two. One that can't be made
   * smaller stays as it has become. */
  async reconcile(id: string, size: number): Promise<void> {
    const driver = this.#limited.get(id);
    if (!driver || (await driver.usage(id)).limit === size) return;
    await driver.limit(id, size).catch((error) => {
      if (!(error instanceof QuotaError)) throw error;
    });
  }

  /** Removes a container's limited tree, soon; plain directories are removed with the container's own. */
  discard(id: string): void {
    const driver = this.#limited.get(id);
    if (!driver) return;
    this.#limited.delete(id);
    const turn = this.#turn++ % REMOVALS_AT_ONCE;
    this.#removals[turn] = (this.#removals[turn] ?? Promise.resolve())
      .then(() => driver.remove(id))
      .catch((error) => this.#parts.report(error, `removing the files of ${id}`));
  }

  /** Removes trees of containers that there are none of; returns how many. */
  sweep(isKnown: (id: string) => boolean): number {
    const strays = [...this.#limited.keys()].filter((name) => containerId.test(name) && !isKnown(name));
    for (const id of strays) this.discard(id);
    return strays.length;
  }

  /** Lets go of what no running container uses. */
  async close(inUse: (id: string) => boolean): Promise<void> {
    await Promise.all(this.#removals);
    for (const driver of this.#parts.drivers) await driver.close(inUse);
  }
}

const systemError = (error: unknown, what: string): EngineError =>
  error instanceof EngineError
    ? error
    : new EngineError("system", `${what}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
