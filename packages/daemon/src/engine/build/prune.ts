// The build cache taken away: images that are only steps of builds, and what RUN --mount=type=cache has kept.

import { closeSync, constants, openSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Archiver, O_PATH } from "@tsd/kernel-bindings";
import type { Caller } from "../access/caller.ts";
import type { Filters } from "../containers/list.ts";
import { EngineError } from "../errors.ts";
import { parseNanoseconds } from "../events/time-parameter.ts";
import type { ImageRecord } from "../images/image.ts";
import type { ImageService } from "../images/service.ts";
import { parseTime } from "../timestamps.ts";

export interface PruneParts {
  images: ImageService;
  archiver: Archiver;
  /** The caller's caches. */
  caches: string;
}

export interface PruneOptions {
  /** What builds have ended in too, if it has no name. */
  all: boolean;
  filters: Filters;
}

export const pruneFilters = ["until", "id"];

export interface PruneReport {
  CachesDeleted: string[];
  SpaceReclaimed: number;
}

/** Removes what no name, no container and no build needs. */
export async function pruneBuildCache(
  parts: PruneParts,
  options: PruneOptions,
  caller: Caller,
): Promise<PruneReport> {
  const { images } = parts;
  const before = images.layerUsage().total;
  const deleted: string[] = [];
  // Each removal may make another image removable: what it was built on goes with it.
  for (const image of images.all(caller)) {
    if (!isLeftover(images, image, options) || !fits(image, options.filters)) continue;
    try {
      const items = await images.remove(image.id, { force: false, prune: true }, caller);
      for (const item of items) if ("Deleted" in item) deleted.push(item.Deleted);
    } catch (error) {
      // Somebody has begun to use it, or others have it too.
      if (!(error instanceof EngineError)) throw error;
    }
  }
  const reclaimed = before - images.layerUsage().total;
  const caches = options.filters.size > 0 ? { names: [], size: 0 } : await pruneMounts(parts);
  return { CachesDeleted: [...deleted, ...caches.names], SpaceReclaimed: reclaimed + caches.size };
}

function isLeftover(images: ImageService, image: ImageRecord, { all }: PruneOptions): boolean {
  const step = images.steps.get(image.id);
  // What somebody committed is no build's.
  const isCommit = step?.result === true && step.key === "";
  if (!step || isCommit || (step.result && !all)) return false;
  return image.repoTags.length === 0 && images.steps.childrenOf(image.id).length === 0;
}

function fits(image: ImageRecord, filters: Filters): boolean {
  const [until] = filters.get("until") ?? [];
  const ids = filters.get("id") ?? [];
  if (ids.length > 0 && !ids.some((id) => image.id.startsWith(id) || image.id.startsWith(`sha256:${id}`)))
    return false;
  if (until === undefined) return true;
  return (parseTime(image.config.created ?? "") ?? 0n) < (parseNanoseconds(until) ?? 0n);
}

async function pruneMounts({ archiver, caches }: PruneParts): Promise<{ names: string[]; size: number }> {
  let names: string[];
  try {
    names = await readdir(caches);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { names: [], size: 0 };
    throw error;
  }
  let size = 0;
  for (const name of names) {
    const directory = openSync(join(caches, name), O_PATH | constants.O_DIRECTORY);
    try {
      const listed = archiver.listLayer({ root: directory, directory });
      const files = new Map((await listed).map((item) => [item.inode, item.size]));
      size += [...files.values()].reduce((sum, one) => sum + one, 0);
    } finally {
      closeSync(directory);
    }
    await rm(join(caches, name), { recursive: true, force: true });
  }
  return { names: names.map((name) => basename(name)), size };
}
