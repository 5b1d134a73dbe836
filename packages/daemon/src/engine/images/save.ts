// Saves images as an archive that is both docker save's and an OCI layout; blobs go as they came, with their digests.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import { type Descriptor, type Document, readDocument } from "../../registry/manifest.ts";
import { isEncrypted, isLayer, mediaTypes } from "../../registry/media-types.ts";
import type { Sight } from "../access/caller.ts";
import { EngineError, notFound } from "../errors.ts";
import { milliseconds } from "../timestamps.ts";
import type { ImageCatalog } from "./catalog.ts";
import type { ImageRecord } from "./image.ts";
import type { Manifests } from "./manifests.ts";
import { fit, platformText, type WantedPlatform } from "./platform.ts";
import { parseReference, repositoryName } from "./reference.ts";
import type { StoredBlob } from "./store.ts";

export interface SaveParts {
  catalog: ImageCatalog;
  manifests: Manifests;
  /** Where layers that have no blob are packed meanwhile. */
  spool: string;
}

/** An image with the names it is saved under, and what else would go with it if it were removed meanwhile. */
interface Wanted {
  image: ImageRecord;
  names: string[];
  config: Buffer;
  /** The manifest that it came with. */
  document: Document | undefined;
}

/** The images that references name; a name without a tag means all its tags, an id none. */
function wantedImages(
  { catalog, manifests }: SaveParts,
  references: readonly string[],
  sight: Sight,
): Wanted[] {
  const wanted = new Map<string, Wanted>();
  const add = (image: ImageRecord, name?: string): void => {
    const entry = wanted.get(image.id) ?? {
      image,
      names: [],
      config: catalog.bytes(image),
      document: manifests.known(image),
    };
    if (name && !entry.names.includes(name)) entry.names.push(name);
    wanted.set(image.id, entry);
  };
  for (const reference of references) {
    const image = catalog.find(reference, sight);
    if (image && (catalog.isId(reference, image) || reference.includes("@"))) {
      add(image);
      continue;
    }
    const { name, tag } = parseReference(reference);
    const tagged = catalog
      .all(sight)
      .flatMap((one) =>
        one.repoTags
          .filter((full) => (tag ? full === `${name}:${tag}` : full.replace(/:[^:/]*$/, "") === name))
          .map((full) => [one, full] as const),
      );
    if (tagged.length === 0) throw notFound(`No such image: ${reference}`);
    for (const [one, full] of tagged) add(one, full);
  }
  return [...wanted.values()];
}

/** A tar of the images. Throws at once for what is not there; later failures break the stream off. */
export function saveImages(
  parts: SaveParts,
  references: readonly string[],
  platform: WantedPlatform | undefined,
  sight: Sight,
): Readable {
  const wanted = wantedImages(parts, references, sight);
  for (const { image } of wanted)
    if (platform && fit(platform, image.config) === undefined)
      throw notFound(`image ${image.id} does not provide the specified platform (${platformText(platform)})`);
  const release = parts.catalog.layers.hold(wanted.flatMap(({ image }) => image.config.rootfs.diff_ids));
  const archive = pack();
  new Writer(parts, archive)
    .write(wanted)
    .catch((error: Error) => archive.destroy(error))
    .finally(release);
  return Readable.from(archive, { objectMode: false });
}

class Writer {
  readonly #parts: SaveParts;
  readonly #archive: Pack;
  readonly #written = new Set<string>();

  constructor(parts: SaveParts, archive: Pack) {
    this.#parts = parts;
    this.#archive = archive;
  }

  async write(wanted: readonly Wanted[]): Promise<void> {
    const saved: object[] = [];
    const manifests: object[] = [];
    for (const { image, names, config, document } of wanted) {
      const written = document ? await this.#blobsOf(document) : await this.#layers(image);
      const manifest = document ?? this.#parts.manifests.make(image, config, written);
      const created = new Date(milliseconds(image.config.created ?? ""));
      await this.#bytes(image.id, config, created);
      await this.#bytes(manifest.digest, manifest.bytes);
      const { diff_ids } = image.config.rootfs;
      saved.push({
        Config: pathOf(image.id),
        RepoTags: names.length > 0 ? names : null,
        Layers: written.map(({ digest }) => pathOf(digest)),
        LayerSources: Object.fromEntries(
          written.map(({ digest, size, mediaType }, index) => [diff_ids[index], { mediaType, size, digest }]),
        ),
      });
      const { architecture, os, variant } = image.config;
      const entry = {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.bytes.length,
        platform: { architecture, os, ...(variant ? { variant } : {}) },
      };
      if (names.length === 0) manifests.push(entry);
      for (const name of names) manifests.push({ ...entry, annotations: annotationsOf(name) });
    }
    await this.#entry("index.json", json({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
    await this.#entry("manifest.json", json(saved));
    await this.#entry("oci-layout", json({ imageLayoutVersion: "1.0.0" }));
    this.#archive.finalize();
  }

  /** Writes the blobs that a manifest names. */
  async #blobsOf(document: Document): Promise<StoredBlob[]> {
    const read = readDocument(document) as { manifest: { layers: Descriptor[] } };
    const { layers } = this.#parts.catalog;
    const blobs = read.manifest.layers.map(({ digest }) => layers.blob(digest) as StoredBlob);
    for (const blob of blobs) await this.#stored(blob);
    return blobs;
  }

  async #layers(image: ImageRecord): Promise<StoredBlob[]> {
    const { layers } = this.#parts.catalog;
    const written: StoredBlob[] = [];
    for (const diffId of image.config.rootfs.diff_ids) {
      const blob = layers
        .blobsOf(diffId)
        .find(({ mediaType }) => isLayer(mediaType) && !isEncrypted(mediaType));
      if (blob) await this.#stored(blob);
      written.push(blob ?? (await this.#packed(diffId)));
    }
    return written;
  }

  async #stored({ digest, size }: StoredBlob): Promise<void> {
    if (this.#written.has(digest)) return;
    this.#written.add(digest);
    await this.#stream(pathOf(digest), size, this.#parts.catalog.layers.blobs.read(digest), { digest });
  }

  /** A layer without a blob: the tar's header wants its size, so that it lies on disk first. */
  async #packed(diffId: string): Promise<StoredBlob> {
    const { layers } = this.#parts.catalog;
    await mkdir(this.#parts.spool, { recursive: true, mode: 0o700 });
    const path = join(this.#parts.spool, `save-${randomBytes(8).toString("hex")}`);
    try {
      const { stream, done } = await layers.tar(diffId);
      const file = createWriteStream(path, { mode: 0o600 });
      await pipeline(stream, file);
      await done;
      const blob = { digest: diffId, diffId, mediaType: mediaTypes.ociLayer, size: file.bytesWritten };
      if (!this.#written.has(diffId))
        await this.#stream(pathOf(diffId), blob.size, createReadStream(path), { digest: diffId });
      this.#written.add(diffId);
      return blob;
    } finally {
      await rm(path, { force: true });
    }
  }

  async #bytes(digest: string, bytes: Buffer, mtime?: Date): Promise<void> {
    if (this.#written.has(digest)) return;
    this.#written.add(digest);
    await this.#entry(pathOf(digest), bytes, mtime);
  }

  #entry(name: string, bytes: Buffer, mtime?: Date): Promise<void> {
    return this.#stream(name, bytes.length, Readable.from([bytes]), { mtime });
  }

  /** `digest` is what the bytes must have: what is damaged here is not passed on. */
  async #stream(
    name: string,
    size: number,
    source: Readable,
    { digest, mtime = new Date(0) }: { digest?: string; mtime?: Date | undefined },
  ): Promise<void> {
    const hash = createHash("sha256");
    const entry = this.#archive.entry({ name, size, mtime, mode: 0o644 });
    await pipeline(
      source,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          if (digest) hash.update(chunk);
          yield chunk;
        }
        if (digest && `sha256:${hash.digest("hex")}` !== digest)
          throw new EngineError("system", `blob ${digest} is damaged in the store`);
      },
      entry,
    );
  }
}

const pathOf = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** What tells other engines the name. */
function annotationsOf(name: string): Record<string, string> {
  const { name: familiar, tag = "latest" } = parseReference(name);
  const { registry, path } = repositoryName(familiar);
  return {
    "io.containerd.image.name": `${registry}/${path}:${tag}`,
    "org.opencontainers.image.ref.name": tag,
  };
}
