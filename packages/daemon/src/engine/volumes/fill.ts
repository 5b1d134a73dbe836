// Copy-up: an empty volume that is put over a directory of an image becomes like that directory.
import { closeSync, fstatSync, readdirSync } from "node:fs";
import { type Archiver, KernelError } from "@tsd/kernel-bindings";
import { openDirectory, openInside } from "../../runtime/path.ts";
import { openLayers } from "../../runtime/rootview.ts";
import { EngineError } from "../errors.ts";
import type { VolumeMounts } from "./mounts.ts";
import { type VolumePlaces, withDirectory } from "./places.ts";
import type { Volume } from "./volume.ts";

export interface FillParts {
  places: VolumePlaces;
  mounts: VolumeMounts;
  archiver: Archiver;
}

/** Opens what an image has at a path; undefined when it has nothing there. The caller closes it. */
function openImagePath(layers: readonly string[], target: string): number | undefined {
  const root = openLayers(layers);
  try {
    const found = openInside(root, target);
    if (fstatSync(found).isDirectory()) return found;
    closeSync(found);
    throw new EngineError("system", `source ${target} is not directory`);
  } catch (error) {
    if (error instanceof KernelError && ["ENOENT", "ENOTDIR"].includes(error.code)) return undefined;
    throw error;
  } finally {
    closeSync(root);
  }
}

/** Copies what an image (its layers, topmost first) has at `target` into the volume, if that is empty. */
export async function fillVolume(
  { places, mounts, archiver }: FillParts,
  volume: Volume,
  layers: readonly string[],
  target: string,
  subpath = "",
): Promise<void> {
  if (subpath) return fillDirectory({ places, mounts, archiver }, volume, layers, target, subpath);
  // Most volumes that have been used before are not empty; what is mounted on the others is not known yet.
  if (!volume.plan && !(await places.isEmpty(volume.record))) return;
  await volume.exclusively(async () => {
    const source = openImagePath(layers, target);
    if (source === undefined) return;
    const holder = `fill ${target}`;
    try {
      const live = volume.holders.size > 0;
      await mounts.acquireNow(volume, holder);
      if (!(await places.isEmpty(volume.record))) return;
      const copy = (into: number): Promise<void> => archiver.copy(source, into);
      if (volume.plan) await withDirectory(places.data(volume.record), copy);
      else await places.replace(volume.record, live ? "fill-live" : "fill", copy);
    } finally {
      closeSync(source);
      mounts.release(volume, holder);
    }
  });
}

/** As fillVolume, for one directory of a volume, if that is there and empty. */
async function fillDirectory(
  { places, mounts, archiver }: FillParts,
  volume: Volume,
  layers: readonly string[],
  target: string,
  subpath: string,
): Promise<void> {
  await volume.exclusively(async () => {
    const source = openImagePath(layers, target);
    if (source === undefined) return;
    const holder = `fill ${target}`;
    try {
      await mounts.acquireNow(volume, holder);
      await withDirectory(places.data(volume.record), async (data) => {
        const into = openThere(data, subpath);
        if (into === undefined) return; // whoever starts the container is told
        try {
          if (readdirSync(`/proc/self/fd/${into}`).length === 0) await archiver.copy(source, into);
        } finally {
          closeSync(into);
        }
      });
    } finally {
      closeSync(source);
      mounts.release(volume, holder);
    }
  });
}

function openThere(root: number, path: string): number | undefined {
  try {
    return openDirectory(root, path);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}
