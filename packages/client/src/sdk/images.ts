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

/** A line of progress. */
export interface ProgressLine {
  status?: string;
  id?: string;
  progress?: string;
  progressDetail?: { current?: number; total?: number };
  stream?: string;
  error?: string;
  errorDetail?: { message: string };
  aux?: { Tag?: string; Digest?: string; Size?: number; ID?: string };
}

export interface ImageExamination {
  Image: string;
  Intact: boolean;
  /** `Problem` is "" for nothing. */
  Findings: { Kind: "config" | "manifest" | "blob" | "layer"; Digest: string; Problem: string }[];
}

export interface DistributionInspect {
  Descriptor: { mediaType: string; digest: string; size: number };
  Platforms: { os: string; architecture: string; variant?: string }[];
}

export interface SearchResult {
  name: string;
  description: string;
  is_official: boolean;
  is_automated: boolean;
  star_count: number;
}

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

  /** Pulls an image; answers with lines of progress. `auth` is the X-Registry-Auth header, `keys` are private keys in PEM
   * for encrypted layers. */
  pull(
    query: { fromImage: string; tag?: string; platform?: string },
    auth = "",
    keys: readonly string[] = [],
  ): AsyncGenerator<ProgressLine> {
    return this.#channel.lines({
      method: "POST",
      path: withQuery("/images/create", query),
      headers: {
        ...(auth ? { "X-Registry-Auth": auth } : {}),
        ...(keys.length > 0
          ? { "X-Tsd-Decryption-Keys": Buffer.from(JSON.stringify(keys)).toString("base64url") }
          : {}),
      },
    });
  }

  /** Pushes an image's tag, or all its tags without one; answers with lines of progress. */
  push(
    name: string,
    query: { tag?: string; platform?: string } = {},
    auth = "e30=",
  ): AsyncGenerator<ProgressLine> {
    return this.#channel.lines({
      method: "POST",
      path: withQuery(imagePath(name, "/push"), query),
      headers: { "X-Registry-Auth": auth },
    });
  }

  /** Reads all that an image is made of, and says whether it is what its digests say. */
  verify(name: string): Promise<ImageExamination> {
    return this.#channel.json({ method: "POST", path: `/tsd${imagePath(name, "/verify")}` });
  }

  /** Puts a signature (cosign's kind) beside an image in its registry. */
  sign(
    name: string,
    signature: { Digest: string; Payload: string; Signature: string },
    auth = "",
  ): Promise<void> {
    return this.#channel.done({
      method: "POST",
      path: `/tsd${imagePath(name, "/signature")}`,
      body: signature,
      headers: auth ? { "X-Registry-Auth": auth } : {},
    });
  }

  /** What a registry says of an image: its digest, and for which platforms it has one. */
  distribution(name: string, auth = ""): Promise<DistributionInspect> {
    return this.#channel.json({
      path: `/distribution/${name}/json`,
      headers: auth ? { "X-Registry-Auth": auth } : {},
    });
  }

  /** Searches a registry. */
  search(query: { term: string; limit?: string; filters?: string }, auth = ""): Promise<SearchResult[]> {
    return this.#channel.json({
      path: withQuery("/images/search", query),
      headers: auth ? { "X-Registry-Auth": auth } : {},
    });
  }

  /** An archive of images, which docker load and OCI tools read. */
  async save(names: readonly string[], platform = ""): Promise<Readable> {
    return (await this.#channel.send({ path: withQuery("/images/get", { names, platform }) })).body;
  }

  /** Removes images that nobody uses: those without a name, or as `filters` (JSON) say. */
  prune(filters?: string): Promise<{ ImagesDeleted: ImageRemoval[] | null; SpaceReclaimed: number }> {
    return this.#channel.json({
      method: "POST",
      path: withQuery("/images/prune", filters ? { filters } : {}),
    });
  }

  /** Takes in an archive that docker save made, or an OCI layout; answers with lines of JSON. */
  load(archive: Readable): Promise<Answer> {
    return this.#channel.send({ method: "POST", path: "/images/load?quiet=1", stream: archive });
  }

  /** Builds an image from a context's tar, or from where `query.remote` says; what is told of it comes as it is told. Secrets
   * are by id, credentials for bases by registry. */
  build(
    context: Readable | undefined,
    query: Query = {},
    secrets: Readonly<Record<string, Uint8Array>> = {},
    credentials: Readonly<Record<string, object>> = {},
  ): AsyncGenerator<BuildLine> {
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64");
    const encoded = Object.entries(secrets).map(([id, value]) => [id, Buffer.from(value).toString("base64")]);
    return this.#channel.lines({
      method: "POST",
      path: withQuery("/build", query),
      ...(context ? { stream: context } : {}),
      headers: {
        ...(encoded.length > 0 ? { "X-Tsd-Build-Secrets": encode(Object.fromEntries(encoded)) } : {}),
        ...(Object.keys(credentials).length > 0 ? { "X-Registry-Config": encode(credentials) } : {}),
      },
    });
  }

  /** Removes what only builds need. `filters` is JSON. */
  pruneBuilds(query: { all?: boolean; filters?: string | undefined } = {}): Promise<BuildPruneReport> {
    return this.#channel.json({ method: "POST", path: withQuery("/build/prune", query) });
  }
}
