// Whether an image still is what its digests say: on demand to the last byte, and before containers stand on it.
import { sha256 } from "../../registry/manifest.ts";
import { EngineError } from "../errors.ts";
import type { ImageCatalog } from "./catalog.ts";
import type { ImageRecord } from "./image.ts";
import type { Layer } from "./layers.ts";

/** One thing that was looked at. */
export interface Finding {
  Kind: "config" | "manifest" | "blob" | "layer";
  Digest: string;
  /** "" for nothing. */
  Problem: string;
}

export interface Examination {
  Image: string;
  Intact: boolean;
  Findings: Finding[];
}

export class Integrity {
  readonly #catalog: ImageCatalog;
  /** Layers whose files were found right since the daemon began, with the check that is under way. */
  readonly #checked = new Map<string, Promise<string | undefined>>();
  readonly #right = new WeakSet<Layer>();

  constructor(catalog: ImageCatalog) {
    this.#catalog = catalog;
  }

  /** Reads everything. */
  async examine(image: ImageRecord): Promise<Examination> {
    const { layers } = this.#catalog;
    const release = layers.hold(image.config.rootfs.diff_ids);
    try {
      const findings: Finding[] = [{ Kind: "config", Digest: image.id, Problem: this.#configuration(image) }];
      for (const { digest, bytes } of this.#catalog.manifests(image)) {
        const actual = sha256(bytes);
        findings.push({
          Kind: "manifest",
          Digest: digest,
          Problem: actual === digest ? "" : `manifest ${digest} was changed: its content has ${actual}`,
        });
      }
      for (const diffId of new Set(image.config.rootfs.diff_ids)) {
        for (const { digest } of layers.blobsOf(diffId))
          findings.push({ Kind: "blob", Digest: digest, Problem: (await layers.examineBlob(digest)) ?? "" });
        findings.push({ Kind: "layer", Digest: diffId, Problem: (await layers.examine(diffId, true)) ?? "" });
      }
      return { Image: image.id, Intact: findings.every(({ Problem }) => !Problem), Findings: findings };
    } finally {
      release();
    }
  }

  #configuration(image: ImageRecord): string {
    try {
      this.#catalog.bytes(image);
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Before a container starts: whether anybody touched the files below it. Undefined where that is known already. */
  check(image: ImageRecord): Promise<void> | undefined {
    const unknown = image.config.rootfs.diff_ids.filter((diffId) => {
      const layer = this.#catalog.layers.get(diffId);
      return !layer || !this.#right.has(layer);
    });
    return unknown.length === 0 ? undefined : this.#check(image, unknown);
  }

  async #check(image: ImageRecord, diffIds: readonly string[]): Promise<void> {
    const problems = await Promise.all(diffIds.map((diffId) => this.#once(diffId)));
    const problem = problems.find((one) => one !== undefined);
    if (problem) throw new EngineError("system", `image ${image.id} is not intact: ${problem}`);
  }

  #once(diffId: string): Promise<string | undefined> {
    const running = this.#checked.get(diffId);
    if (running) return running;
    const layer = this.#catalog.layers.get(diffId);
    const examined = this.#catalog.layers
      .examine(diffId, false)
      .then((problem) => {
        if (problem === undefined && layer) this.#right.add(layer);
        return problem;
      })
      .finally(() => this.#checked.delete(diffId));
    this.#checked.set(diffId, examined);
    return examined;
  }
}
