// Where images, their names, manifests and layers are kept.
import type { ImageConfiguration } from "./image.ts";

export interface StoredImage {
  id: string;
  config: ImageConfiguration;
  /** Bytes of all layers. */
  size: number;
  /** Who made or loaded it (Caller.id). */
  owners: string[];
  /** When it came, or when a container was last made of it, in milliseconds since the epoch. */
  used: number;
}

/** A layer unpacked on disk, by its diff id: the digest of its tar (OCI image specification). */
export interface StoredLayer {
  diffId: string;
  directory: string;
  size: number;
  /** Of its files when they were last known to be right; "" where that is not known. */
  fingerprint: string;
}

/** A layer's tar, compressed or not, as a registry has it. */
export interface StoredBlob {
  digest: string;
  diffId: string;
  mediaType: string;
  /** Bytes. */
  size: number;
}

/** A manifest, or an index of some, that an image came or went with. */
export interface StoredManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
  image: string;
}

/** Somebody's signature of one of an image's manifests. */
export interface StoredSignature {
  /** Of the manifest. */
  digest: string;
  payload: Buffer;
  /** base64. */
  signature: string;
  image: string;
}

/** A name by digest: what a repository calls an image. */
export interface StoredDigest {
  /** In familiar form. */
  repository: string;
  digest: string;
  image: string;
}

/** How an image came of another one by one step of a build. */
export interface StoredStep {
  image: string;
  /** "" for an image from scratch. */
  parent: string;
  /** What the step was, as a digest; "" where nobody may take the image for the same step's. */
  key: string;
  /** It is what a build ended in. */
  result: boolean;
}

/** Every method is synchronous; a name belongs to one image at a time. */
export interface ImageStore {
  images(): StoredImage[];
  /** name:tag (in familiar form) → image id. */
  names(): { name: string; image: string }[];
  digests(): StoredDigest[];
  /** `bytes` are what the id is the digest of. */
  insertImage(image: StoredImage, bytes: Buffer): void;
  deleteImage(id: string): void;
  /** The bytes an image's id is the digest of. */
  bytes(id: string): Buffer | undefined;
  setUsed(id: string, used: number): void;
  addOwner(id: string, owner: string): void;
  setName(name: string, image: string): void;
  deleteName(name: string): void;
  setDigest(digest: StoredDigest): void;
  deleteDigest(repository: string, digest: string): void;
  manifests(image: string): StoredManifest[];
  /** Images that have a manifest or index. */
  holdersOf(digest: string): string[];
  insertManifest(manifest: StoredManifest): void;
  signatures(image: string): StoredSignature[];
  insertSignature(signature: StoredSignature): void;
  /** Steps go with their images. */
  steps(): StoredStep[];
  /** Replaces what was known of the image. */
  saveStep(step: StoredStep): void;
}

/** Every method is synchronous. */
export interface LayerStore {
  layers(): StoredLayer[];
  insertLayer(layer: StoredLayer): void;
  setFingerprint(diffId: string, fingerprint: string): void;
  deleteLayer(diffId: string): void;
  blobs(): StoredBlob[];
  insertBlob(blob: StoredBlob): void;
  deleteBlob(digest: string): void;
}
