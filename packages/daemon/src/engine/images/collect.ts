// Garbage: what pruning takes away, and what the daemon does by itself where it was told to.
import { statfs } from "node:fs/promises";
import { type Caller, everything } from "../access/caller.ts";
import { type Filters, matchesLabels } from "../containers/list.ts";
import { invalid } from "../errors.ts";
import type { EventSink } from "../events/event.ts";
import { parseNanoseconds } from "../events/time-parameter.ts";
import { parseTime } from "../timestamps.ts";
import type { ImageCatalog } from "./catalog.ts";
import type { ImageRecord } from "./image.ts";
import { deleteImage, deleteParents, type ImageUse, type RemovalItem } from "./removal.ts";

export const pruneFilters = ["dangling", "label", "label!", "until"];

/** When images go that no container uses; nothing goes by itself where neither is set. */
export interface CollectionPolicy {
  /** Milliseconds since a container was last made of it. */
  unusedFor: number | undefined;
  /** Per cent of the data root's file system: above it the longest unused go, until it is under. */
  fullerThan: number | undefined;
}

export interface CollectorParts {
  catalog: ImageCatalog;
  usesOf: (imageId: string) => readonly ImageUse[];
  events: EventSink;
  dataRoot: string;
  policy: () => CollectionPolicy;
  report: (problem: unknown, what: string) => void;
}

const INTERVAL = 10 * 60_000;
/** A pull that failed may go on with the layers it got; unfinished blobs are kept as long (content/blobs.ts: a week). */
const LEFTOVER_AGE = 24 * 3600_000;

export class ImageCollector {
  readonly #parts: CollectorParts;
  readonly #orphans = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: CollectorParts) {
    this.#parts = parts;
  }

  start(): void {
    const collect = (): void => {
      this.collect().catch((error) => this.#parts.report(error, "collecting unused images"));
    };
    this.#timer = setInterval(collect, INTERVAL);
    this.#timer.unref();
    collect();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** POST /images/prune. */
  async prune(
    filters: Filters,
    caller: Caller,
  ): Promise<{ ImagesDeleted: RemovalItem[] | null; SpaceReclaimed: number }> {
    const { catalog, usesOf, events } = this.#parts;
    const fits = pruneTest(filters);
    const items: RemovalItem[] = [];
    const before = this.#size();
    for (const image of catalog.all(caller)) {
      if (!catalog.has(image.id, caller) || !catalog.access.ownsAlone(image, caller)) continue;
      if (this.#isNeeded(image.id) || !fits(image)) continue;
      const parent = catalog.steps.parentOf(image.id);
      for (const name of [...image.repoTags, ...image.repoDigests]) {
        catalog.untag(name, image.id);
        items.push({ Untagged: name });
      }
      items.push(...deleteImage(catalog, image), ...deleteParents(catalog, usesOf, parent, caller));
    }
    if (caller.sees("")) {
      this.#sweepOrphans(0);
      await catalog.layers.blobs.sweep(LEFTOVER_AGE);
    }
    const SpaceReclaimed = before - this.#size();
    events.publish({
      Type: "image",
      Action: "prune",
      Actor: { ID: "", Attributes: { reclaimed: String(SpaceReclaimed) } },
      owner: caller.id,
    });
    return { ImagesDeleted: items.length > 0 ? items : null, SpaceReclaimed };
  }

  /** Whether a container stands on an image, another one was built on it, or a build is at it. */
  #isNeeded(id: string): boolean {
    const { catalog, usesOf } = this.#parts;
    return usesOf(id).length > 0 || catalog.steps.childrenOf(id).length > 0 || catalog.steps.isHeld(id);
  }

  #size(): number {
    return this.#parts.catalog.layers.all().reduce((sum, [, { size }]) => sum + size, 0);
  }

  /** What the policy says, and layers that belong to no image since a day. */
  async collect(): Promise<void> {
    const { catalog, policy } = this.#parts;
    this.#sweepOrphans(LEFTOVER_AGE);
    const { unusedFor, fullerThan } = policy();
    const unused = catalog
      .all(everything)
      .filter(({ id }) => !this.#isNeeded(id))
      .map((image) => ({ image, used: catalog.lastUse(image) }))
      .sort((a, b) => a.used - b.used);
    for (const { image, used } of unused) {
      const tooOld = unusedFor !== undefined && Date.now() - used > unusedFor;
      const tooFull = fullerThan !== undefined && (await this.#fullness()) > fullerThan;
      if (!tooOld && !tooFull) break;
      // A container may have been made of it while the disk was asked.
      if (this.#isNeeded(image.id)) continue;
      for (const name of [...image.repoTags, ...image.repoDigests]) catalog.untag(name, image.id);
      deleteImage(catalog, image);
      await catalog.layers.settled();
    }
  }

  async #fullness(): Promise<number> {
    const { blocks, bavail } = await statfs(this.#parts.dataRoot);
    return (1 - bavail / blocks) * 100;
  }

  /** Removes layers that belonged to no image for `age` milliseconds: pulls that were never gone on with. */
  #sweepOrphans(age: number): void {
    const { layers } = this.#parts.catalog;
    const needed = this.#parts.catalog.neededLayers();
    const orphans = layers.all().filter(([diffId]) => !needed.has(diffId) && !layers.isHeld(diffId));
    for (const [diffId] of orphans) this.#orphans.set(diffId, this.#orphans.get(diffId) ?? Date.now());
    for (const [diffId, since] of this.#orphans) {
      const still = orphans.some(([one]) => one === diffId);
      if (still && Date.now() - since < age) continue;
      this.#orphans.delete(diffId);
      if (still) layers.remove([diffId]);
    }
  }
}

/** Which images a prune's filters mean. */
function pruneTest(filters: Filters): (image: ImageRecord) => boolean {
  const dangling = filters.get("dangling")?.[0] ?? "true";
  if (!["true", "false", "1", "0"].includes(dangling))
    throw invalid(`invalid filter 'dangling=[${dangling}]'`);
  const onlyDangling = dangling === "true" || dangling === "1";
  const until = parseNanoseconds(filters.get("until")?.[0]);
  const wanted = filters.get("label") ?? [];
  const unwanted = filters.get("label!") ?? [];
  return ({ config, repoTags, repoDigests }) => {
    const labels = config.config?.Labels ?? {};
    if (onlyDangling && repoTags.length + repoDigests.length > 0) return false;
    if (until !== undefined && (parseTime(config.created ?? "") ?? 0n) >= until) return false;
    return matchesLabels(wanted, labels) && !unwanted.some((label) => matchesLabels([label], labels));
  };
}
