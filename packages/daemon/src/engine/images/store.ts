// Where images, their names and their layers are kept.
import type { ImageConfiguration } from "./image.ts";

export interface StoredImage {
  id: string;
  config: ImageConfiguration;
  /** Bytes of all layers. */
  size: number;
  /** Who made or loaded it (Caller.id). */
  owners: string[];
}

/** A layer unpacked on disk, by its chain id (OCI image specification): the same layers below mean the same chain. */
export interface StoredLayer {
  chainId: string;
  diffId: string;
  directory: string;
  size: number;
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
  layers(): StoredLayer[];
  insertImage(image: StoredImage): void;
  deleteImage(id: string): void;
  addOwner(id: string, owner: string): void;
  setName(name: string, image: string): void;
  deleteName(name: string): void;
  insertLayer(layer: StoredLayer): void;
  deleteLayer(chainId: string): void;
  /** Steps go with their images. */
  steps(): StoredStep[];
  /** Replaces what was known of the image. */
  saveStep(step: StoredStep): void;
}
