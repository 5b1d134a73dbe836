// Copy-up: an empty volume that is put over a directory of an image becomes like that directory.
import { closeSync, fstatSync } from "node:fs";
import { type Archiver, KernelError } from "@tsd/kernel-bindings";
import { openInside } from "../../runtime/path.ts";
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
): Promise<void> {
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
