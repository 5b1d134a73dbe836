// Images: made from archives and containers, added with their layers, named.
import type { Readable } from "node:stream";
import type { UnpackedLayer } from "../../content/layers.ts";
import { type Caller, everything, type Sight } from "../access/caller.ts";
import { invalid, notFound } from "../errors.ts";
import { now } from "../timestamps.ts";
import type { ImageTrust } from "../trust/service.ts";
import type { ImageCatalog } from "./catalog.ts";
import { applyChanges } from "./changes.ts";
import type { HistoryEntry, ImageConfiguration, ImageDefaults, ImageRecord, ImageSource } from "./image.ts";
import { Integrity } from "./integrity.ts";
import type { LayerUsage } from "./layer-usage.ts";
import { hostPlatform, type WantedPlatform } from "./platform.ts";
import { isDigestAlgorithm, parseReference, taggedName } from "./reference.ts";
import { type ImageUse, type RemovalItem, removeImage } from "./removal.ts";
import type { ImageSteps } from "./steps.ts";

/** What a build's step makes of an image. */
export interface ImageStep {
  /** Undefined: from scratch. */
  base: ImageRecord | undefined;
  /** What it adds, if that is anything. */
  layer: UnpackedLayer | undefined;
  config: ImageDefaults;
  /** Of the base's history and this step's. */
  history: HistoryEntry;
  author: string;
  key: string;
}

export class ImageService implements ImageSource {
  readonly catalog: ImageCatalog;
  readonly integrity: Integrity;
  /** Whether anybody signed it, as far as is known here; not whether it is somebody who counts. */
  isSigned(image: ImageRecord): boolean {
    return this.catalog.signatures(image).length > 0;
  }

  /** Which containers use an image; set once there are containers. */
  usesOf: (imageId: string) => ImageUse[] = () => [];

  readonly #trust: ImageTrust;

  constructor(catalog: ImageCatalog, trust: ImageTrust) {
    this.catalog = catalog;
    this.#trust = trust;
    this.integrity = new Integrity(catalog);
  }

  open(): Promise<void> {
    return this.catalog.layers.open();
  }

  checkUse(image: ImageRecord, caller: Caller): void {
    this.catalog.access.checkUse(image, caller);
    this.#trust.checkRun(image, caller);
  }

  ready(image: ImageRecord): Promise<void> | undefined {
    this.#trust.checkRun(image);
    return this.integrity.check(image);
  }

  hold(image: ImageRecord): () => void {
    return this.catalog.layers.hold(image.config.rootfs.diff_ids);
  }

  noteUse(image: ImageRecord): void {
    if (!this.catalog.has(image.id, everything)) throw notFound(`No such image: ${image.id}`);
    this.catalog.noteUse(image.id);
  }

  all(sight: Sight): ImageRecord[] {
    return this.catalog.all(sight);
  }

  get(reference: string, sight: Sight): ImageRecord {
    return this.catalog.get(reference, sight);
  }

  find(reference: string, sight: Sight): ImageRecord | undefined {
    return this.catalog.find(reference, sight);
  }

  layerDirectories(image: ImageRecord): string[] {
    const topmostFirst = this.catalog.layersOf(image).reverse();
    // The overlay takes no directory twice; what an equal layer further down has and hides, the upper one has and hides.
    return [...new Set(topmostFirst.map(({ directory }) => directory))];
  }

  layerSizes(image: ImageRecord): number[] {
    return this.catalog.layersOf(image).map(({ size }) => size);
  }

  layerUsage(): LayerUsage {
    return this.catalog.layerUsage();
  }

  #insert(config: ImageConfiguration, caller: Caller): string {
    return this.catalog.insert(Buffer.from(JSON.stringify(config)), config, caller);
  }

  #checkedName(reference: string | undefined, caller: Caller): string | undefined {
    return reference ? this.checkName(reference, caller) : undefined;
  }

  /** Makes an image of one root file system. */
  async import(
    source: Readable,
    caller: Caller,
    options: {
      reference: string | undefined;
      message: string;
      changes: readonly string[];
      platform: WantedPlatform | undefined;
    },
  ): Promise<string> {
    const name = this.#checkedName(options.reference, caller);
    const config = applyChanges({}, options.changes);
    const { architecture, os, variant }: WantedPlatform = options.platform ?? hostPlatform;
    const { layers } = this.catalog;
    const { diffId, release } = await layers.takeIn(source);
    try {
      const created = now();
      const imported: ImageConfiguration = {
        architecture,
        os,
        ...(variant ? { variant } : {}),
        created,
        config,
        rootfs: { type: "layers", diff_ids: [diffId] },
        history: [{ created, comment: options.message || "Imported from -" }],
      };
      const id = this.#insert(imported, caller);
      if (name) this.catalog.setName(name, id);
      this.catalog.publish("import", id, name);
      return id;
    } finally {
      release();
    }
  }

  /** Makes an image of another one and one more layer, which counts once `whole` says that the tar was. */
  async commit(
    base: ImageRecord,
    changes: Readable,
    caller: Caller,
    options: {
      config: ImageDefaults;
      author: string;
      comment: string;
      createdBy: string;
      reference: string | undefined;
      whole: Promise<void>;
    },
  ): Promise<string> {
    const name = this.#checkedName(options.reference, caller);
    const { layers } = this.catalog;
    const releaseBase = layers.hold(base.config.rootfs.diff_ids);
    try {
      const { diffId, release } = await layers.takeInPacked(changes, options.whole);
      try {
        const created = now();
        const { author, comment, createdBy } = options;
        const committed: ImageConfiguration = {
          architecture: base.config.architecture,
          os: base.config.os,
          ...(base.config.variant ? { variant: base.config.variant } : {}),
          created,
          ...(author ? { author } : {}),
          config: options.config,
          rootfs: { type: "layers", diff_ids: [...base.config.rootfs.diff_ids, diffId] },
          history: [
            ...(base.config.history ?? []),
            { created, created_by: createdBy, comment, ...(author ? { author } : {}) },
          ],
        };
        const id = this.#insert(committed, caller);
        // No build's step, so that none finds it in its cache; and nobody's intermediate image.
        if (this.catalog.has(base.id, everything))
          this.steps.add({ image: id, parent: base.id, key: "", result: true });
        if (name) this.catalog.setName(name, id);
        this.catalog.publish("create", id, name);
        return id;
      } finally {
        release();
      }
    } finally {
      releaseBase();
    }
  }

  /** Makes an image by a step of a build. A layer that is not kept is gone. */
  async addStep(step: ImageStep, caller: Caller): Promise<ImageRecord> {
    const { base, layer } = step;
    const { layers, steps } = this.catalog;
    const release = layers.hold(layer ? [layer.diffId] : []);
    try {
      if (layer) await layers.keep(layer);
      if (base && !this.catalog.has(base.id, everything)) throw notFound(`No such image: ${base.id}`);
      const made: ImageConfiguration = {
        architecture: base?.config.architecture ?? hostPlatform.architecture,
        os: base?.config.os ?? hostPlatform.os,
        ...(base?.config.variant ? { variant: base.config.variant } : {}),
        created: step.history.created ?? now(),
        ...(step.author ? { author: step.author } : {}),
        config: step.config,
        rootfs: {
          type: "layers",
          diff_ids: [...(base?.config.rootfs.diff_ids ?? []), ...(layer ? [layer.diffId] : [])],
        },
        history: [...(base?.config.history ?? []), step.history],
      };
      const id = this.#insert(made, caller);
      steps.add({ image: id, parent: base?.id ?? "", key: step.key, result: false });
      return this.get(id, caller);
    } finally {
      release();
    }
  }

  /** Makes an image of the first steps of another one, up to `entry` on top of `parent`; its layers are there. */
  restoreStep(
    source: ImageRecord,
    parent: ImageRecord | undefined,
    { key, config, entry }: { key: string; config: ImageDefaults; entry: HistoryEntry },
    caller: Caller,
  ): ImageRecord {
    if (!this.catalog.has(source.id, everything)) throw notFound(`No such image: ${source.id}`);
    const history = [...(parent?.config.history ?? []), entry];
    const count = (parent?.config.rootfs.diff_ids.length ?? 0) + (entry.empty_layer ? 0 : 1);
    const restored: ImageConfiguration = {
      ...source.config,
      ...(entry.created ? { created: entry.created } : {}),
      config,
      rootfs: { type: "layers", diff_ids: source.config.rootfs.diff_ids.slice(0, count) },
      history,
    };
    const whole = history.length === source.config.history?.length;
    const id = whole ? source.id : this.#insert(restored, caller);
    this.catalog.steps.add({ image: id, parent: parent?.id ?? "", key, result: false });
    return this.get(id, caller);
  }

  /** Adds an image whose configuration came with it, unpacking the layers that are not there yet. `takeIn` sees to it
   * that a layer is there, by its index. The bytes are the id's preimage, so they are kept as they were. */
  async add(
    bytes: Buffer,
    config: ImageConfiguration,
    takeIn: (index: number, diffId: string) => Promise<void>,
    names: readonly string[],
    caller: Caller,
  ): Promise<string> {
    for (const name of names) this.catalog.access.checkName(name, caller);
    const { layers } = this.catalog;
    const release = layers.hold(config.rootfs.diff_ids);
    try {
      for (const [index, diffId] of config.rootfs.diff_ids.entries())
        if (!this.catalog.hasLayer(diffId, caller)) await takeIn(index, diffId);
      const id = this.catalog.insert(bytes, config, caller);
      for (const name of names) this.catalog.setName(name, id);
      this.catalog.publish("load", id, names[0]);
      return id;
    } finally {
      release();
    }
  }

  get steps(): ImageSteps {
    return this.catalog.steps;
  }

  /** Throws for a name that the caller may not give. Returns it in full. */
  checkName(text: string, caller: Caller): string {
    const name = taggedName(parseReference(text));
    this.catalog.access.checkName(name, caller);
    return name;
  }

  tag(reference: string, repository: string, tag: string, caller: Caller): void {
    const image = this.get(reference, caller);
    const parsed = parseReference(tag ? `${repository}:${tag}` : repository);
    if (parsed.digest) throw invalid("refusing to create a tag with a digest reference");
    if (isDigestAlgorithm(parsed.name))
      throw invalid("refusing to create an ambiguous tag using digest algorithm as name");
    const name = taggedName(parsed);
    this.catalog.access.checkName(name, caller);
    this.catalog.setName(name, image.id);
    this.catalog.publish("tag", image.id, name);
  }

  /** Removes a name, or an image with all its names. */
  remove(reference: string, options: { force: boolean; prune: boolean }, caller: Caller): RemovalItem[] {
    return removeImage(this.catalog, this.usesOf, reference, options, caller);
  }
}
