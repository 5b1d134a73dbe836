// An image's manifest: the one it came with, or one made of its layers' blobs, which are made where there is none.
import { createGzip } from "node:zlib";
import { type Descriptor, type Document, readDocument, sha256 } from "../../registry/manifest.ts";
import { isEncrypted, isLayer, mediaTypes } from "../../registry/media-types.ts";
import type { Sight } from "../access/caller.ts";
import type { ImageCatalog } from "./catalog.ts";
import type { ImageRecord } from "./image.ts";
import type { StoredBlob } from "./store.ts";

/** Docker's default: fast, and small enough. */
const GZIP_LEVEL = 1;

/** A blob that registries and other engines can read. */
const isUsable = ({ mediaType }: StoredBlob): boolean => isLayer(mediaType) && !isEncrypted(mediaType);
const isCompressed = ({ mediaType }: StoredBlob): boolean => /[+.](?:gzip|zstd)$/.test(mediaType);

/** An image with its manifest. */
export interface Member {
  image: ImageRecord;
  document: Document;
}

/** An index, and the images that it lists. */
export interface Family {
  index: Document;
  members: Member[];
}

export class Manifests {
  readonly #catalog: ImageCatalog;
  readonly #making = new Map<string, Promise<StoredBlob>>();

  constructor(catalog: ImageCatalog) {
    this.#catalog = catalog;
  }

  /** A layer's compressed blob; makes it where there is none. */
  async blob(diffId: string): Promise<StoredBlob> {
    const { layers } = this.#catalog;
    const blob = layers.blobsOf(diffId).find((one) => isUsable(one) && isCompressed(one));
    if (blob) return blob;
    const making = this.#making.get(diffId) ?? this.#make(diffId).finally(() => this.#making.delete(diffId));
    this.#making.set(diffId, making);
    return making;
  }

  async #make(diffId: string): Promise<StoredBlob> {
    const { layers } = this.#catalog;
    const { stream, done } = await layers.tar(diffId);
    const gzip = createGzip({ level: GZIP_LEVEL, chunkSize: 1 << 18 });
    stream.on("error", (error) => gzip.destroy(error));
    const { digest, size } = await layers.blobs.write(stream.pipe(gzip));
    try {
      await done;
    } catch (error) {
      await layers.blobs.remove(digest);
      throw error;
    }
    const blob = { digest, diffId, mediaType: mediaTypes.dockerLayer, size };
    layers.addBlob(blob);
    return blob;
  }

  /** The manifest that the image came with, if its blobs are all here as it names them. */
  known(image: ImageRecord): Document | undefined {
    return this.#catalog.manifests(image).find((document) => this.#isWhole(document));
  }

  #isWhole(document: Document): boolean {
    const read = readDocument(document);
    return (
      "manifest" in read &&
      read.manifest.layers.every((layer) => this.#catalog.layers.blob(layer.digest) !== undefined)
    );
  }

  /** The index that an image came by, if all that it lists is here. */
  family(image: ImageRecord, sight: Sight): Family | undefined {
    for (const index of this.#catalog.manifests(image)) {
      const read = readDocument(index);
      if (!("index" in read)) continue;
      const members = read.index.manifests.flatMap(({ digest }) => this.#member(digest, sight) ?? []);
      if (members.length === read.index.manifests.length) return { index, members };
    }
    return undefined;
  }

  #member(digest: string, sight: Sight): Member | undefined {
    for (const image of this.#catalog.withManifest(digest, sight)) {
      const document = this.#catalog.manifests(image).find((one) => one.digest === digest);
      if (document && this.#isWhole(document)) return { image, document };
    }
    return undefined;
  }

  /** A manifest for the image. `config` is its configuration, `blobs` are its layers', lowest first. */
  make(image: ImageRecord, config: Buffer, blobs: readonly StoredBlob[]): Document {
    const docker = blobs.every(({ mediaType }) => mediaType === mediaTypes.dockerLayer);
    const bytes = Buffer.from(
      JSON.stringify(
        {
          schemaVersion: 2,
          mediaType: docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest,
          config: {
            mediaType: docker ? mediaTypes.dockerConfig : mediaTypes.ociConfig,
            size: config.length,
            digest: image.id,
          },
          layers: blobs.map(
            ({ digest, size, mediaType }): Descriptor => ({
              mediaType: docker ? mediaType : ociType(mediaType),
              size,
              digest,
            }),
          ),
        },
        undefined,
        3,
      ),
    );
    return {
      bytes,
      mediaType: docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest,
      digest: sha256(bytes),
    };
  }
}

/** The same type in the other vocabulary: a manifest is of one of them. */
export const ociType = (mediaType: string): string =>
  mediaType.startsWith("application/vnd.docker.image.rootfs.diff.tar")
    ? mediaType
        .replace("application/vnd.docker.image.rootfs.diff.tar", mediaTypes.ociLayer)
        .replace(/\.(gzip|zstd)$/, "+$1")
    : mediaType;
