// Images: found by reference, made from archives, named, described, removed.
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { chainId, type LayerDirectory, type UnpackedLayer } from "../../content/layers.ts";
import type { Caller, Sight } from "../access/caller.ts";
import { conflict, EngineError, invalid, notFound } from "../errors.ts";
import type { EventSink } from "../events/event.ts";
import { now } from "../timestamps.ts";
import { ImageAccess } from "./access.ts";
import { applyChanges } from "./changes.ts";
import type { HistoryEntry, ImageConfiguration, ImageDefaults, ImageRecord, ImageSource } from "./image.ts";
import { type LayerUsage, layerUsage } from "./layer-usage.ts";
import { looksLikeId, parseReference, taggedName } from "./reference.ts";
import { ImageSteps } from "./steps.ts";
import type { ImageStore, StoredImage } from "./store.ts";

/** A container that uses an image. */
export interface ImageUse {
  id: string;
  running: boolean;
}

export interface ImageServiceParts {
  store: ImageStore;
  layers: LayerDirectory;
  events: EventSink;
  report: (problem: unknown, what: string) => void;
}

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

/** One entry of the answer to a removal. */
export type RemovalItem = { Untagged: string } | { Deleted: string };

const goArchitecture: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  arm64: "arm64",
  arm: "arm",
};

export class ImageService implements ImageSource {
  readonly #parts: ImageServiceParts;
  readonly #images = new Map<string, StoredImage>();
  readonly #names = new Map<string, string>();
  readonly #chains = new Map<string, { directory: string; size: number }>();
  readonly #access = new ImageAccess(this.#images, this.#names);
  readonly steps: ImageSteps;
  /** Which containers use an image; set once there are containers. */
  usesOf: (imageId: string) => ImageUse[] = () => [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: ImageServiceParts) {
    this.#parts = parts;
    this.steps = new ImageSteps(parts.store);
    for (const image of parts.store.images()) this.#images.set(image.id, image);
    for (const { name, image } of parts.store.names()) this.#names.set(name, image);
    for (const { chainId: chain, directory, size } of parts.store.layers())
      this.#chains.set(chain, { directory, size });
  }

  async open(): Promise<void> {
    const known = new Set([...this.#chains.values()].map(({ directory }) => directory));
    await this.#parts.layers.open((directory) => known.has(directory));
  }

  /** Changes to the store come one after the other. */
  #exclusively<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(operation);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #record(image: StoredImage): ImageRecord {
    const repoTags = [...this.#names].filter(([, id]) => id === image.id).map(([name]) => name);
    return { ...image, repoTags: repoTags.sort(), repoDigests: [] };
  }

  checkUse(image: ImageRecord, caller: Caller): void {
    this.#access.checkUse(image, caller);
  }

  all(sight: Sight): ImageRecord[] {
    return [...this.#images.values()]
      .filter((image) => this.#access.sees(image, sight))
      .map((image) => this.#record(image));
  }

  get(reference: string, sight: Sight): ImageRecord {
    const image = this.find(reference, sight);
    if (image) return image;
    const { name, tag, digest } = parseReference(reference);
    throw notFound(`No such image: ${digest ? `${name}@${digest}` : `${name}:${tag ?? "latest"}`}`);
  }

  /** The image a reference names, or undefined. Throws only for what is no reference. */
  find(reference: string, sight: Sight): ImageRecord | undefined {
    const exact = this.#images.get(reference);
    if (exact && this.#access.sees(exact, sight)) return this.#record(exact);
    if (looksLikeId(reference)) {
      const prefix = reference.startsWith("sha256:") ? reference : `sha256:${reference}`;
      const matches = [...this.#images.values()].filter(
        (image) => image.id.startsWith(prefix) && this.#access.sees(image, sight),
      );
      const [match] = matches;
      const named = this.#names.get(`${reference}:latest`);
      if (match && !named) {
        if (matches.length > 1) throw invalid(`ambiguous reference: ${reference}`);
        return this.#record(match);
      }
      if (reference.startsWith("sha256:")) throw notFound(`No such image: ${reference}`);
      if (/^[0-9a-f]{64}$/.test(reference)) throw notFound(`No such image: ${reference}`);
    }
    const parsed = parseReference(reference);
    if (parsed.digest && !parsed.tag) return undefined;
    const id = this.#names.get(taggedName(parsed));
    const image = id === undefined ? undefined : this.#images.get(id);
    return image && this.#access.sees(image, sight) ? this.#record(image) : undefined;
  }

  /** The chain ids of an image's layers, lowest first. */
  #chainIds(config: ImageConfiguration): string[] {
    const chain: string[] = [];
    for (const diffId of config.rootfs.diff_ids) chain.push(chainId(chain.at(-1), diffId));
    return chain;
  }

  layerDirectories(image: ImageRecord): string[] {
    return this.#chainIds(image.config)
      .map((chain) => {
        const layer = this.#chains.get(chain);
        if (!layer) throw new EngineError("system", `layer ${chain} of image ${image.id} is missing`);
        return layer.directory;
      })
      .reverse();
  }

  layerSizes(image: ImageRecord): number[] {
    return this.#chainIds(image.config).map((chain) => this.#chains.get(chain)?.size ?? 0);
  }

  /** Bytes of all layers, and of those of each image that another one has, too. */
  layerUsage(): LayerUsage {
    const chains = [...this.#images.values()].map(({ id, config }) => [id, this.#chainIds(config)] as const);
    return layerUsage(new Map(chains), (chain) => this.#chains.get(chain)?.size ?? 0);
  }

  hasLayer(chain: string): boolean {
    return this.#chains.has(chain);
  }

  /** Makes an image of one root file system. */
  import(
    source: Readable,
    caller: Caller,
    options: { reference: string | undefined; message: string; changes: readonly string[] },
  ): Promise<string> {
    const name = options.reference ? taggedName(parseReference(options.reference)) : undefined;
    if (name) this.#access.checkName(name, caller);
    const config = applyChanges({}, options.changes);
    return this.#exclusively(async () => {
      const layer = await this.#unpack(source);
      await this.#keepLayer(layer, undefined);
      const created = now();
      const imported: ImageConfiguration = {
        architecture: goArchitecture[process.arch] ?? process.arch,
        os: "linux",
        created,
        config,
        rootfs: { type: "layers", diff_ids: [layer.diffId] },
        history: [{ created, comment: options.message || "Imported from -" }],
      };
      const id = this.#insert(imported, caller);
      if (name) this.#setName(name, id);
      this.#publish("import", id, name);
      return id;
    });
  }

  /** Makes an image of another one and one more layer, which counts once `whole` says that the tar was. */
  commit(
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
    const name = options.reference ? taggedName(parseReference(options.reference)) : undefined;
    if (name) this.#access.checkName(name, caller);
    return this.#exclusively(async () => {
      const layer = await this.#unpack(changes);
      try {
        await options.whole;
      } catch (error) {
        await this.#parts.layers.discard(layer);
        throw error;
      }
      await this.#keepLayer(layer, this.#chainIds(base.config).at(-1));
      const created = now();
      const { author, comment, createdBy } = options;
      const committed: ImageConfiguration = {
        architecture: base.config.architecture,
        os: base.config.os,
        ...(base.config.variant ? { variant: base.config.variant } : {}),
        created,
        ...(author ? { author } : {}),
        config: options.config,
        rootfs: { type: "layers", diff_ids: [...base.config.rootfs.diff_ids, layer.diffId] },
        history: [
          ...(base.config.history ?? []),
          { created, created_by: createdBy, comment, ...(author ? { author } : {}) },
        ],
      };
      const id = this.#insert(committed, caller);
      if (name) this.#setName(name, id);
      this.#publish("create", id, name);
      return id;
    });
  }

  /** Makes an image by a step of a build. A layer that is not kept is gone. */
  addStep(step: ImageStep, caller: Caller): Promise<ImageRecord> {
    const { base, layer } = step;
    return this.#exclusively(async () => {
      if (base && !this.#images.has(base.id)) {
        if (layer) await this.#parts.layers.discard(layer);
        throw notFound(`No such image: ${base.id}`);
      }
      if (layer) await this.#keepLayer(layer, base && this.#chainIds(base.config).at(-1));
      const { created, author } = { created: step.history.created ?? now(), author: step.author };
      const made: ImageConfiguration = {
        architecture: base?.config.architecture ?? goArchitecture[process.arch] ?? process.arch,
        os: base?.config.os ?? "linux",
        ...(base?.config.variant ? { variant: base.config.variant } : {}),
        created,
        ...(author ? { author } : {}),
        config: step.config,
        rootfs: {
          type: "layers",
          diff_ids: [...(base?.config.rootfs.diff_ids ?? []), ...(layer ? [layer.diffId] : [])],
        },
        history: [...(base?.config.history ?? []), step.history],
      };
      const id = this.#insert(made, caller);
      this.steps.add({ image: id, parent: base?.id ?? "", key: step.key, result: false });
      return this.get(id, caller);
    });
  }

  /** Makes an image of the first steps of another one, up to `entry` on top of `parent`; its layers are there. */
  restoreStep(
    source: ImageRecord,
    parent: ImageRecord | undefined,
    { key, config, entry }: { key: string; config: ImageDefaults; entry: HistoryEntry },
    caller: Caller,
  ): Promise<ImageRecord> {
    const history = [...(parent?.config.history ?? []), entry];
    const layers = (parent?.config.rootfs.diff_ids.length ?? 0) + (entry.empty_layer ? 0 : 1);
    return this.#exclusively(async () => {
      if (!this.#images.has(source.id)) throw notFound(`No such image: ${source.id}`);
      const whole = history.length === source.config.history?.length;
      const restored: ImageConfiguration = {
        ...source.config,
        ...(entry.created ? { created: entry.created } : {}),
        config,
        rootfs: { type: "layers", diff_ids: source.config.rootfs.diff_ids.slice(0, layers) },
        history,
      };
      const id = whole ? source.id : this.#insert(restored, caller);
      this.steps.add({ image: id, parent: parent?.id ?? "", key, result: false });
      return this.get(id, caller);
    });
  }

  async #unpack(source: Readable): Promise<UnpackedLayer> {
    try {
      return await this.#parts.layers.unpack(source);
    } catch (error) {
      throw new EngineError("system", error instanceof Error ? error.message : String(error), {
        cause: error,
      });
    }
  }

  /** Keeps an unpacked layer on top of a chain, or drops it if it is there already; returns the new chain id. */
  async #keepLayer(layer: UnpackedLayer, parent: string | undefined): Promise<string> {
    const chain = chainId(parent, layer.diffId);
    if (this.#chains.has(chain)) {
      await this.#parts.layers.discard(layer);
      return chain;
    }
    const directory = await this.#parts.layers.keep(layer, chain);
    this.#parts.store.insertLayer({ chainId: chain, diffId: layer.diffId, directory, size: layer.size });
    this.#chains.set(chain, { directory, size: layer.size });
    return chain;
  }

  /** Adds an image whose configuration came with it, unpacking the layers that are not there yet. `openLayer` gives a
   * layer's tar by its index. The bytes are the id's preimage, so they are kept as they were. */
  add(
    bytes: Buffer,
    config: ImageConfiguration,
    openLayer: (index: number) => Readable,
    names: readonly string[],
    caller: Caller,
  ): Promise<string> {
    for (const name of names) this.#access.checkName(name, caller);
    const id = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    return this.#exclusively(async () => {
      let parent: string | undefined;
      for (const [index, diffId] of config.rootfs.diff_ids.entries()) {
        const chain = chainId(parent, diffId);
        if (!this.#chains.has(chain)) {
          const layer = await this.#unpack(openLayer(index));
          if (layer.diffId !== diffId) {
            await this.#parts.layers.discard(layer);
            throw invalid(`invalid diffID for layer ${index}: expected "${diffId}", got "${layer.diffId}"`);
          }
          await this.#keepLayer(layer, parent);
        }
        parent = chain;
      }
      this.#store(id, config, caller);
      for (const name of names) this.#setName(name, id);
      this.#publish("load", id, names[0]);
      return id;
    });
  }

  #insert(config: ImageConfiguration, caller: Caller): string {
    const id = `sha256:${createHash("sha256").update(JSON.stringify(config)).digest("hex")}`;
    this.#store(id, config, caller);
    return id;
  }

  /** Whoever has all of an image's bytes has the image: the same one made twice has two owners. */
  #store(id: string, config: ImageConfiguration, caller: Caller): void {
    const known = this.#images.get(id);
    if (known) {
      if (known.owners.includes(caller.id)) return;
      this.#parts.store.addOwner(id, caller.id);
      known.owners.push(caller.id);
      return;
    }
    const size = this.#chainIds(config).reduce((sum, chain) => sum + (this.#chains.get(chain)?.size ?? 0), 0);
    const image = { id, config, size, owners: [caller.id] };
    this.#parts.store.insertImage(image);
    this.#images.set(id, image);
  }

  #setName(name: string, id: string): void {
    this.#parts.store.setName(name, id);
    this.#names.set(name, id);
  }

  /** Throws for a name that the caller may not give. Returns it in full. */
  checkName(text: string, caller: Caller): string {
    const name = taggedName(parseReference(text));
    this.#access.checkName(name, caller);
    return name;
  }

  tag(reference: string, repository: string, tag: string, caller: Caller): void {
    const image = this.get(reference, caller);
    const name = taggedName(parseReference(tag ? `${repository}:${tag}` : repository));
    this.#access.checkName(name, caller);
    this.#setName(name, image.id);
    this.#publish("tag", image.id, name);
  }

  /** Removes a name, or an image with all its names. */
  remove(
    reference: string,
    options: { force: boolean; prune: boolean },
    caller: Caller,
  ): Promise<RemovalItem[]> {
    return this.#exclusively(() => this.#remove(reference, options, caller));
  }

  async #remove(
    reference: string,
    options: { force: boolean; prune: boolean },
    caller: Caller,
  ): Promise<RemovalItem[]> {
    const image = this.get(reference, caller);
    this.#access.checkRemoval(image, reference, caller);
    const byId =
      image.id === reference || (looksLikeId(reference) && !this.#names.has(`${reference}:latest`));
    const short = image.id.replace("sha256:", "").slice(0, 12);
    const uses = this.usesOf(image.id);
    const running = uses.find((use) => use.running);
    const stopped = uses[0];
    if (!byId && image.repoTags.length > 1)
      return [this.#untag(taggedName(parseReference(reference)), image.id)];
    if (!byId && !options.force && stopped)
      throw conflict(
        `conflict: unable to remove repository reference "${reference}" (must force) - container ${(running ?? stopped).id.slice(0, 12)} is using its referenced image ${short}`,
      );
    if (byId && image.repoTags.length > 1 && !options.force)
      throw conflict(
        `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
      );
    if (running && byId)
      throw conflict(
        `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container ${running.id.slice(0, 12)}`,
      );
    if (stopped && byId && !options.force)
      throw conflict(
        `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container ${stopped.id.slice(0, 12)}`,
      );
    const hasChildren = this.steps.childrenOf(image.id).length > 0;
    if (byId && (hasChildren || this.steps.isHeld(image.id)))
      throw conflict(
        `conflict: unable to delete ${short} (cannot be forced) - image ${hasChildren ? "has dependent child images" : "is being used by a build"}`,
      );
    const items: RemovalItem[] = image.repoTags.map((name) => this.#untag(name, image.id));
    // Layers of an image that a container still stands on stay until it goes, and so does what others were built on.
    if (uses.length > 0 || hasChildren || this.steps.isHeld(image.id)) return items;
    items.push(...(await this.#delete(image)));
    if (options.prune) items.push(...(await this.#deleteParents(this.steps.parentOf(image.id), caller)));
    this.steps.delete(image.id);
    return items;
  }

  /** Removes the steps a removed image was built on, up to one that is needed for anything else. */
  async #deleteParents(first: string, caller: Caller): Promise<RemovalItem[]> {
    const items: RemovalItem[] = [];
    for (let id = first; id !== ""; ) {
      const image = this.find(id, caller);
      const needed = this.steps.childrenOf(id).length > (items.length === 0 ? 1 : 0);
      if (!image || needed || image.repoTags.length > 0 || image.repoDigests.length > 0) break;
      if (this.usesOf(id).length > 0 || this.steps.isHeld(id) || !this.#access.mayRemove(image, caller))
        break;
      const parent = this.steps.parentOf(id);
      items.push(...(await this.#delete(image)));
      this.steps.delete(id);
      id = parent;
    }
    return items;
  }

  #untag(name: string, id: string): RemovalItem {
    this.#parts.store.deleteName(name);
    this.#names.delete(name);
    this.#publish("untag", id, name);
    return { Untagged: name };
  }

  async #delete(image: ImageRecord): Promise<RemovalItem[]> {
    this.#parts.store.deleteImage(image.id);
    this.#images.delete(image.id);
    this.#publish("delete", image.id, undefined, image);
    const needed = new Set([...this.#images.values()].flatMap(({ config }) => this.#chainIds(config)));
    const items: RemovalItem[] = [{ Deleted: image.id }];
    for (const chain of this.#chainIds(image.config).reverse()) {
      const layer = this.#chains.get(chain);
      if (needed.has(chain) || !layer) continue;
      this.#parts.store.deleteLayer(chain);
      this.#chains.delete(chain);
      items.push({ Deleted: chain });
      rm(layer.directory, { recursive: true, force: true }).catch((error) =>
        this.#parts.report(error, `deleting layer ${chain}`),
      );
    }
    return items;
  }

  #publish(
    action: string,
    id: string,
    name: string | undefined,
    image: StoredImage | undefined = this.#images.get(id),
  ): void {
    const { config, owners = [] } = image ?? {};
    const labels = config?.config?.Labels ?? {};
    this.#parts.events.publish({
      Type: "image",
      Action: action,
      Actor: { ID: id, Attributes: { ...labels, name: name ?? id } },
      owner: owners[0] ?? "",
    });
  }
}
