// What a step has made before: by the step itself, in images of this engine, or in those that the client says to look into.
import { createHash } from "node:crypto";
import type { Caller } from "../access/caller.ts";
import type { HistoryEntry, ImageDefaults, ImageRecord } from "../images/image.ts";
import type { ImageService } from "../images/service.ts";

/** A digest of a step: its command, what it leaves of the configuration, and what else decides its outcome. */
export function stepKey(command: readonly string[], config: ImageDefaults, more: readonly string[]): string {
  const fields = Object.entries(config)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256")
    .update(JSON.stringify([command, fields, more]))
    .digest("hex");
}

const sameEntry = (a: HistoryEntry, b: HistoryEntry): boolean =>
  a.created === b.created &&
  (a.created_by ?? "") === (b.created_by ?? "") &&
  (a.author ?? "") === (b.author ?? "") &&
  (a.comment ?? "") === (b.comment ?? "") &&
  Boolean(a.empty_layer) === Boolean(b.empty_layer);

/** Whether an image begins with all of another one's steps and layers. */
function standsOn(image: ImageRecord, parent: ImageRecord | undefined): boolean {
  const history = image.config.history ?? [];
  if (history.length === 0) return false;
  const steps = parent?.config.history ?? [];
  const layers = parent?.config.rootfs.diff_ids ?? [];
  return (
    steps.length < history.length &&
    steps.every((entry, index) => sameEntry(entry, history[index] ?? {})) &&
    layers.every((layer, index) => layer === image.config.rootfs.diff_ids[index])
  );
}

export class BuildCache {
  readonly #images: ImageService;
  readonly #caller: Caller;
  /** Images to look into; undefined: all that were built here. */
  #sources: ImageRecord[] | undefined;

  constructor(images: ImageService, caller: Caller, from: readonly string[]) {
    this.#images = images;
    this.#caller = caller;
    if (from.length > 0) this.#sources = from.flatMap((reference) => images.find(reference, caller) ?? []);
  }

  /** The image that a step has made of `parent` before. */
  async find(
    parent: ImageRecord | undefined,
    key: string,
    command: readonly string[],
    config: ImageDefaults,
  ): Promise<ImageRecord | undefined> {
    for (const id of this.#images.steps.made(parent?.id ?? "", key)) {
      const image = this.#images.find(id, this.#caller);
      if (image && this.#mayUse(id)) return image;
    }
    return this.#sources && this.#fromSources(parent, key, command.join(" "), config);
  }

  #mayUse(id: string): boolean {
    if (!this.#sources) return true;
    return this.#sources.some((source) => {
      for (let at = source.id; at !== ""; at = this.#images.steps.parentOf(at)) if (at === id) return true;
      return false;
    });
  }

  /** Looks for the step in the history of images that came from elsewhere, and makes an image of its outcome. */
  async #fromSources(
    parent: ImageRecord | undefined,
    key: string,
    createdBy: string,
    config: ImageDefaults,
  ): Promise<ImageRecord | undefined> {
    const count = parent?.config.history?.length ?? 0;
    for (const source of this.#sources ?? []) {
      const entry = source.config.history?.[count];
      if (!entry || !standsOn(source, parent) || entry.created_by !== createdBy) continue;
      // From one image only: the next step's files fit this one's.
      this.#sources = [source];
      return this.#images.restoreStep(source, parent, { key, config, entry }, this.#caller);
    }
    return undefined;
  }
}
