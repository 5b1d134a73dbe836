// Pushes: an image to a registry, only what is not there yet, by the digests it came with.
import { Readable } from "node:stream";
import type { Credentials } from "../../registry/credentials.ts";
import { RegistryError } from "../../registry/errors.ts";
import { type Descriptor, type Document, readDocument } from "../../registry/manifest.ts";
import type { Registries, RepositoryName } from "../../registry/registries.ts";
import type { Repository, Upload } from "../../registry/repository.ts";
import type { Caller } from "../access/caller.ts";
import { EngineError } from "../errors.ts";
import type { ImageTrust } from "../trust/service.ts";
import type { ImageCatalog } from "./catalog.ts";
import type { ImageRecord } from "./image.ts";
import type { Manifests } from "./manifests.ts";
import { fit, type WantedPlatform } from "./platform.ts";
import { amount, type Progress, shortDigest, step, throttle } from "./progress.ts";
import { parseReference, repositoryName } from "./reference.ts";
import type { StoredBlob } from "./store.ts";

export interface PushOptions {
  credentials: Credentials;
  platform: WantedPlatform | undefined;
  progress: Progress;
  signal: AbortSignal;
}

export interface PushParts {
  catalog: ImageCatalog;
  registries: Registries;
  manifests: Manifests;
  trust: ImageTrust;
}

export class Pushes {
  readonly #parts: PushParts;
  constructor(parts: PushParts) {
    this.#parts = parts;
  }

  /** Pushes one tag of a name, or all of them where `tag` is empty. */
  async push(name: string, tag: string, caller: Caller, options: PushOptions): Promise<void> {
    const reference = parseReference(tag ? `${name}:${tag}` : name);
    this.#parts.trust.checkPush(reference.name, caller);
    const target = repositoryName(reference.name);
    const { progress } = options;
    progress({ status: `The push refers to repository [${target.registry}/${target.path}]` });
    const images = this.#images(reference.name, reference.tag, caller);
    if (images.length === 0)
      throw new EngineError(
        "not-found",
        reference.tag
          ? `tag does not exist: ${reference.name}:${reference.tag}`
          : `An image does not exist locally with the tag: ${reference.name}`,
      );
    try {
      const repository = await this.#parts.registries.target(target, options.credentials, options.signal);
      for (const [pushed, image] of images)
        await this.#one(repository, target, reference.name, pushed, image, caller, options);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      throw new EngineError("system", error.message.replace(/^\w+ "[^"]*": (no basic auth.*)$/, "$1"), {
        cause: error,
      });
    }
  }

  #images(name: string, tag: string | undefined, caller: Caller): [tag: string, image: ImageRecord][] {
    const { catalog } = this.#parts;
    if (tag) {
      const image = catalog.find(`${name}:${tag}`, caller);
      return image ? [[tag, image]] : [];
    }
    return catalog
      .all(caller)
      .flatMap((image) =>
        image.repoTags
          .filter((one) => one.startsWith(`${name}:`))
          .map((one): [string, ImageRecord] => [one.slice(name.length + 1), image]),
      );
  }

  async #one(
    repository: Repository,
    target: RepositoryName,
    name: string,
    tag: string,
    image: ImageRecord,
    caller: Caller,
    options: PushOptions,
  ): Promise<void> {
    const { catalog, manifests } = this.#parts;
    const { progress, platform, signal } = options;
    if (platform && fit(platform, image.config) === undefined)
      throw new EngineError(
        "not-found",
        `image with reference ${name}:${tag} was found but does not match the specified platform`,
      );
    // Who names no platform means all of them, where they are here.
    const family = platform ? undefined : manifests.family(image, caller);
    const members = family?.members ?? [{ image, document: manifests.known(image) }];
    const release = catalog.layers.hold(members.flatMap((member) => member.image.config.rootfs.diff_ids));
    try {
      let document: Document | undefined;
      for (const member of members) {
        document = member.document
          ? await this.#layersOf(member.document, repository, target, member.image, options)
          : await this.#made(repository, target, member.image, options);
        await this.#configuration(repository, member.image, signal);
        if (family) await repository.putManifest(document.digest, document, signal);
      }
      document = family?.index ?? document;
      if (!document) throw new EngineError("system", `index of ${name}:${tag} lists nothing`);
      await repository.putManifest(tag, document, signal);
      const { digest, mediaType, bytes } = document;
      catalog.addManifest({ digest, mediaType, bytes, image: image.id });
      catalog.setDigest(name, digest, image.id);
      progress({ status: `${tag}: digest: ${digest} size: ${bytes.length}` });
      progress({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: bytes.length } });
      catalog.publishMove("push", image.id, `${name}:${tag}`);
    } finally {
      release();
    }
  }

  /** Pushes the blobs that a manifest names. */
  async #layersOf(
    document: Document,
    repository: Repository,
    target: RepositoryName,
    image: ImageRecord,
    options: PushOptions,
  ): Promise<Document> {
    const read = readDocument(document) as { manifest: { layers: Descriptor[] } };
    const blobs = read.manifest.layers.map(({ digest }) => async () => {
      const blob = this.#parts.catalog.layers.blob(digest);
      if (!blob) throw new EngineError("system", `blob ${digest} is gone`);
      return blob;
    });
    await this.#blobs(image, blobs, repository, target, options);
    return document;
  }

  /** Pushes blobs of the image's layers, and makes a manifest of them. */
  async #made(
    repository: Repository,
    target: RepositoryName,
    image: ImageRecord,
    options: PushOptions,
  ): Promise<Document> {
    const { manifests } = this.#parts;
    const blobs = image.config.rootfs.diff_ids.map((diffId) => () => manifests.blob(diffId));
    const config = this.#parts.catalog.bytes(image);
    return manifests.make(image, config, await this.#blobs(image, blobs, repository, target, options));
  }

  /** Several at a time; the first that fails ends the others. */
  async #blobs(
    image: ImageRecord,
    blobs: readonly (() => Promise<StoredBlob>)[],
    repository: Repository,
    target: RepositoryName,
    options: PushOptions,
  ): Promise<StoredBlob[]> {
    const { progress } = options;
    const ids = image.config.rootfs.diff_ids.map(shortDigest);
    for (const id of ids) progress(step(id, "Preparing"));
    const failed = new AbortController();
    const signal = AbortSignal.any([options.signal, failed.signal]);
    const result: StoredBlob[] = [];
    const sent = new Map<string, Promise<void>>();
    let next = 0;
    const work = async (): Promise<void> => {
      for (let index = next++; index < blobs.length; index = next++) {
        signal.throwIfAborted();
        const blob = (await blobs[index]?.()) as StoredBlob;
        result[index] = blob;
        const sending =
          sent.get(blob.digest) ?? this.#send(blob, ids[index] ?? "", repository, target, progress, signal);
        sent.set(blob.digest, sending);
        await sending;
      }
    };
    const workers = Array.from({ length: this.#parts.registries.settings.maximumUploads }, () =>
      work().catch((error: unknown) => {
        failed.abort(error);
        throw error;
      }),
    );
    await Promise.allSettled(workers);
    if (failed.signal.aborted) throw failed.signal.reason;
    return result;
  }

  async #send(
    blob: StoredBlob,
    id: string,
    repository: Repository,
    target: RepositoryName,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void> {
    if (await repository.hasBlob(blob.digest, signal)) return progress(step(id, "Layer already exists"));
    const { layers } = this.#parts.catalog;
    const upload: Upload = {
      digest: blob.digest,
      size: blob.size,
      open: (offset) => layers.blobs.read(blob.digest, offset),
      progress: throttle((current) => progress(amount(id, "Pushing", current, blob.size))),
    };
    const from = this.#sourceOf(blob.digest, target);
    const how = await repository.upload(upload, from, signal);
    progress(step(id, how === "mounted" ? `Mounted from ${from}` : "Pushed"));
  }

  /** Another repository of the same registry that has a blob, as far as is known here. */
  #sourceOf(digest: string, target: RepositoryName): string | undefined {
    return this.#parts.catalog
      .repositoriesWith(digest)
      .map(repositoryName)
      .find(({ registry, path }) => registry === target.registry && path !== target.path)?.path;
  }

  async #configuration(repository: Repository, image: ImageRecord, signal: AbortSignal): Promise<void> {
    if (await repository.hasBlob(image.id, signal)) return;
    const bytes = this.#parts.catalog.bytes(image);
    await repository.upload(
      {
        digest: image.id,
        size: bytes.length,
        open: (offset) => Readable.from([bytes.subarray(offset)]),
        progress: () => undefined,
      },
      undefined,
      signal,
    );
  }
}
