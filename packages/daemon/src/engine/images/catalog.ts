// Which images there are, and what they are called.
import { createHash } from "node:crypto";
import { chainId } from "../../content/layers.ts";
import type { Caller, Sight } from "../access/caller.ts";
import { EngineError, invalid, notFound } from "../errors.ts";
import type { EventSink } from "../events/event.ts";
import { ImageAccess } from "./access.ts";
import type { ImageConfiguration, ImageRecord } from "./image.ts";
import { type LayerUsage, layerUsage } from "./layer-usage.ts";
import type { Layers } from "./layers.ts";
import { looksLikeId, parseReference, taggedName } from "./reference.ts";
import { ImageSteps } from "./steps.ts";
import type { ImageStore, StoredImage, StoredManifest, StoredSignature } from "./store.ts";

export interface CatalogParts {
  store: ImageStore;
  layers: Layers;
  events: EventSink;
}

/** What is enough to know of an image. */
type AnyImage = Pick<StoredImage, "id" | "config" | "owners">;

/** Milliseconds. */
const USE_PRECISION = 60_000;

export class ImageCatalog {
  readonly layers: Layers;
  readonly #store: ImageStore;
  readonly #events: EventSink;
  readonly #images = new Map<string, StoredImage>();
  /** name:tag → image id. */
  readonly #names = new Map<string, string>();
  /** repository@digest → image id. */
  readonly #digests = new Map<string, string>();
  readonly access = new ImageAccess(this.#images, this.#names);
  /** Which image was built on which. */
  readonly steps: ImageSteps;

  constructor({ store, layers, events }: CatalogParts) {
    this.layers = layers;
    this.#store = store;
    this.#events = events;
    this.steps = new ImageSteps(store);
    for (const image of store.images()) this.#images.set(image.id, image);
    for (const { name, image } of store.names()) this.#names.set(name, image);
    for (const { repository, digest, image } of store.digests())
      this.#digests.set(`${repository}@${digest}`, image);
  }

  #record(image: StoredImage): ImageRecord {
    const namesIn = (map: ReadonlyMap<string, string>): string[] =>
      [...map]
        .filter(([, id]) => id === image.id)
        .map(([name]) => name)
        .sort();
    return { ...image, repoTags: namesIn(this.#names), repoDigests: namesIn(this.#digests) };
  }

  all(sight: Sight): ImageRecord[] {
    return [...this.#images.values()]
      .filter((image) => this.access.sees(image, sight))
      .map((image) => this.#record(image));
  }

  /** Whether there is an image of this id, for whoever looks. */
  has(id: string, sight: Sight): boolean {
    const image = this.#images.get(id);
    return image !== undefined && this.access.sees(image, sight);
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
    if (exact && this.access.sees(exact, sight)) return this.#record(exact);
    if (looksLikeId(reference)) {
      const prefix = reference.startsWith("sha256:") ? reference : `sha256:${reference}`;
      const matches = [...this.#images.values()].filter(
        (image) => image.id.startsWith(prefix) && this.access.sees(image, sight),
      );
      const [match] = matches;
      if (match && !this.#names.has(`${reference}:latest`)) {
        if (matches.length > 1) throw invalid(`ambiguous reference: ${reference}`);
        return this.#record(match);
      }
      if (reference.startsWith("sha256:")) throw notFound(`No such image: ${reference}`);
      if (/^[0-9a-f]{64}$/.test(reference)) throw notFound(`No such image: ${reference}`);
    }
    const parsed = parseReference(reference);
    const id = parsed.digest
      ? this.#digests.get(`${parsed.name}@${parsed.digest}`)
      : this.#names.get(taggedName(parsed));
    const image = id === undefined ? undefined : this.#images.get(id);
    return image && this.access.sees(image, sight) ? this.#record(image) : undefined;
  }

  /** Whether a reference is an id, or the beginning of one, rather than a name. */
  isId(reference: string, image: ImageRecord): boolean {
    return image.id === reference || (looksLikeId(reference) && !this.#names.has(`${reference}:latest`));
  }

  /** The image's unpacked layers, lowest first. */
  layersOf(image: AnyImage): { diffId: string; directory: string; size: number }[] {
    return image.config.rootfs.diff_ids.map((diffId) => {
      const layer = this.layers.get(diffId);
      if (!layer) throw new EngineError("system", `layer ${diffId} of image ${image.id} is missing`);
      return { diffId, ...layer };
    });
  }

  /** Bytes of all layers, and of those of each image that another one has, too. */
  layerUsage(): LayerUsage {
    const layers = [...this.#images.values()].map(({ id, config }) => [id, config.rootfs.diff_ids] as const);
    return layerUsage(new Map(layers), (diffId) => this.layers.get(diffId)?.size ?? 0);
  }

  /** The diff ids that images need. */
  neededLayers(): Set<string> {
    return new Set([...this.#images.values()].flatMap(({ config }) => config.rootfs.diff_ids));
  }

  /** Whether somebody may have a layer that is here without showing its bytes: only who has it in an image already. To
   * know a diff id is not to have the layer. */
  hasLayer(diffId: string, sight: Sight): boolean {
    if (!this.layers.get(diffId)) return false;
    if (sight.sees("")) return true;
    return [...this.#images.values()].some(
      (image) => image.config.rootfs.diff_ids.includes(diffId) && this.access.sees(image, sight),
    );
  }

  /** The bytes of an image's configuration, whose digest is its id. */
  bytes(image: AnyImage): Buffer {
    const bytes = this.#store.bytes(image.id);
    if (bytes && `sha256:${createHash("sha256").update(bytes).digest("hex")}` === image.id) return bytes;
    throw new EngineError(
      "system",
      `the configuration of image ${image.id} is not kept as it came: load or pull it again`,
    );
  }

  manifests(image: AnyImage): StoredManifest[] {
    return this.#store.manifests(image.id);
  }

  /** Images that have a manifest or index. */
  withManifest(digest: string, sight: Sight): ImageRecord[] {
    return this.#store.holdersOf(digest).flatMap((id) => this.find(id, sight) ?? []);
  }

  /** Repositories that have a blob, as far as images here came from or went to them: names in familiar form. */
  repositoriesWith(digest: string): string[] {
    const diffId = this.layers.blob(digest)?.diffId ?? "";
    const images = [...this.#images.values()].filter(({ config }) => config.rootfs.diff_ids.includes(diffId));
    return images
      .filter((image) => this.manifests(image).some(({ bytes }) => bytes.includes(digest)))
      .flatMap((image) => this.#record(image).repoDigests.map((name) => name.replace(/@.*$/, "")));
  }

  signatures(image: AnyImage): StoredSignature[] {
    return this.#store.signatures(image.id);
  }

  addSignature(signature: StoredSignature): void {
    this.#store.insertSignature(signature);
  }

  addManifest(manifest: StoredManifest): void {
    this.#store.insertManifest(manifest);
  }

  /** Keeps an image whose layers are there, and returns its id. Whoever has all of an image's bytes has the image: the
   * same one made twice has two owners. */
  insert(bytes: Buffer, config: ImageConfiguration, caller: Caller): string {
    const id = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const known = this.#images.get(id);
    if (known) {
      if (known.owners.includes(caller.id)) return id;
      this.#store.addOwner(id, caller.id);
      known.owners.push(caller.id);
      return id;
    }
    const size = config.rootfs.diff_ids.reduce(
      (sum, diffId) => sum + (this.layers.get(diffId)?.size ?? 0),
      0,
    );
    const image = { id, config, size, owners: [caller.id], used: Date.now() };
    this.#store.insertImage(image, bytes);
    this.#images.set(id, image);
    return id;
  }

  /** Notes that a container was made of an image; to the minute is enough. */
  noteUse(id: string): void {
    const image = this.#images.get(id);
    if (!image || Date.now() - image.used < USE_PRECISION) return;
    image.used = Date.now();
    this.#store.setUsed(id, image.used);
  }

  lastUse({ id }: ImageRecord): number {
    return this.#images.get(id)?.used ?? 0;
  }

  setName(name: string, id: string): void {
    this.#store.setName(name, id);
    this.#names.set(name, id);
  }

  setDigest(repository: string, digest: string, id: string): void {
    this.#store.setDigest({ repository, digest, image: id });
    this.#digests.set(`${repository}@${digest}`, id);
  }

  /** Takes a name:tag or repository@digest away. */
  untag(name: string, id: string): void {
    const [repository = "", digest] = name.split("@");
    if (digest) {
      this.#store.deleteDigest(repository, digest);
      this.#digests.delete(name);
    } else {
      this.#store.deleteName(name);
      this.#names.delete(name);
    }
    this.publish("untag", id, name);
  }

  /** Takes an image away; returns the ids of the chains (OCI image specification) that nobody needs any more, topmost
   * first. */
  delete(image: ImageRecord): string[] {
    this.#store.deleteImage(image.id);
    this.#images.delete(image.id);
    this.steps.delete(image.id);
    this.publish("delete", image.id, undefined, image);
    const needed = new Set([...this.#images.values()].flatMap(({ config }) => chainIds(config)));
    const chains = chainIds(image.config).filter((chain) => !needed.has(chain));
    const layers = this.neededLayers();
    this.layers.remove(image.config.rootfs.diff_ids.filter((diffId) => !layers.has(diffId)));
    return chains.reverse();
  }

  /** A pull or a push, which docker tells of by the reference that was moved. */
  publishMove(action: "pull" | "push", id: string, reference: string): void {
    const image = this.#images.get(id);
    this.#events.publish({
      Type: "image",
      Action: action,
      Actor: {
        ID: reference,
        Attributes: { ...image?.config.config?.Labels, name: parseReference(reference).name },
      },
      owner: image?.owners[0] ?? "",
    });
  }

  publish(
    action: string,
    id: string,
    name: string | undefined,
    image: AnyImage | undefined = this.#images.get(id),
  ): void {
    const { config, owners = [] } = image ?? {};
    const labels = config?.config?.Labels ?? {};
    this.#events.publish({
      Type: "image",
      Action: action,
      Actor: { ID: id, Attributes: { ...labels, name: name ?? id } },
      owner: owners[0] ?? "",
    });
  }
}

/** The chain ids of an image's layers, lowest first. */
function chainIds({ rootfs }: ImageConfiguration): string[] {
  const chain: string[] = [];
  for (const diffId of rootfs.diff_ids) chain.push(chainId(chain.at(-1), diffId));
  return chain;
}
