// The SDK's images.
import type { Readable } from "node:stream";
import type {
  BuildLine,
  BuildPruneReport,
  HistoryItem,
  ImageInspect,
  ImageRemoval,
  ImageSummary,
} from "@tsd/daemon/api";
import type { Channel } from "./channel.ts";
import { imagePath, type Query, withQuery } from "./query.ts";
import type { Answer } from "./transport.ts";

/** Images, by name or id. */
export class Images {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Lists images. `filters` is JSON, such as {"reference":["busybox"]}. */
  list(query: { all?: boolean; filters?: string; digests?: boolean } = {}): Promise<ImageSummary[]> {
    return this.#channel.json({ path: withQuery("/images/json", query) });
  }

  /** Everything that is known of an image. */
  inspect(name: string): Promise<ImageInspect> {
    return this.#channel.json({ path: imagePath(name, "/json") });
  }

  /** How an image came about, the last step first. */
  history(name: string): Promise<HistoryItem[]> {
    return this.#channel.json({ path: imagePath(name, "/history") });
  }

  /** Gives an image one more name. */
  tag(name: string, repo: string, tag: string): Promise<void> {
    return this.#channel.done({
      method: "POST",
      path: withQuery(imagePath(name, "/tag"), { repo, tag }),
    });
  }

  /** Removes a name, and the image with its last one. */
  remove(name: string, query: { force?: boolean; noprune?: boolean } = {}): Promise<ImageRemoval[]> {
    return this.#channel.json({ method: "DELETE", path: withQuery(imagePath(name), query) });
  }

  /** Makes an image of a root file system's tar; answers with lines of JSON. */
  import(
    archive: Readable,
    query: { repo?: string; tag?: string; message?: string; changes?: string[] },
  ): Promise<Answer> {
    return this.#channel.send({
      method: "POST",
      path: withQuery("/images/create", { fromSrc: "-", ...query }),
      stream: archive,
    });
  }

  /** Takes in an archive that docker save made, or an OCI layout; answers with lines of JSON. */
  load(archive: Readable): Promise<Answer> {
    return this.#channel.send({ method: "POST", path: "/images/load?quiet=1", stream: archive });
  }

  /** Builds an image from a context's tar, or from where `query.remote` says; what is told of it comes as it is told. Secrets
   * are by id. */
  build(
    context: Readable | undefined,
    query: Query = {},
    secrets: Readonly<Record<string, Uint8Array>> = {},
  ): AsyncGenerator<BuildLine> {
    const encoded = Object.entries(secrets).map(([id, value]) => [id, Buffer.from(value).toString("base64")]);
    const header = Buffer.from(JSON.stringify(Object.fromEntries(encoded))).toString("base64");
    return this.#channel.lines({
      method: "POST",
      path: withQuery("/build", query),
      ...(context ? { stream: context } : {}),
      ...(encoded.length > 0 ? { headers: { "X-Tsd-Build-Secrets": header } } : {}),
    });
  }

  /** Removes what only builds need. `filters` is JSON. */
  pruneBuilds(query: { all?: boolean; filters?: string | undefined } = {}): Promise<BuildPruneReport> {
    return this.#channel.json({ method: "POST", path: withQuery("/build/prune", query) });
  }
}
