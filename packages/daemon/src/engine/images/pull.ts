// Pulls: an image from its registry, checked to the last byte, with progress.
import type { KeyObject } from "node:crypto";
import type { Credentials } from "../../registry/credentials.ts";
import { RegistryError } from "../../registry/errors.ts";
import {
  type Descriptor,
  type Document,
  type Index,
  type Manifest,
  readDocument,
} from "../../registry/manifest.ts";
import { isEncrypted, isLayer, mediaTypes } from "../../registry/media-types.ts";
import { BAD_ADDRESS, type Registries } from "../../registry/registries.ts";
import type { Repository } from "../../registry/repository.ts";
import type { Caller } from "../access/caller.ts";
import { EngineError, invalid, notFound } from "../errors.ts";
import type { ImageTrust } from "../trust/service.ts";
import type { ImageCatalog } from "./catalog.ts";
import { openLayer } from "./decryption.ts";
import { type ImageConfiguration, imageConfigurationSchema } from "./image.ts";
import { fit, hostPlatform, platformText, type WantedPlatform } from "./platform.ts";
import { type Progress, shortDigest, step } from "./progress.ts";
import { parseReference, type Reference, repositoryName, taggedName } from "./reference.ts";
import type { LayerTransfers } from "./transfers.ts";

export interface PullOptions {
  platform: WantedPlatform | undefined;
  credentials: Credentials;
  /** Private keys for encrypted layers. */
  decryptionKeys: readonly KeyObject[];
  progress: Progress;
  signal: AbortSignal;
}

export interface PullParts {
  catalog: ImageCatalog;
  registries: Registries;
  transfers: LayerTransfers;
  trust: ImageTrust;
  /** The daemon's own private keys for encrypted layers. */
  decryptionKeys: () => readonly KeyObject[];
}

const MAXIMUM_CONFIG = 8 << 20;
const MAXIMUM_DEPTH = 3;

export class Pulls {
  readonly #parts: PullParts;
  constructor(parts: PullParts) {
    this.#parts = parts;
  }

  /** Pulls by tag or digest; a name with neither means all tags. Returns the last one's id. */
  async pull(text: string, caller: Caller, options: PullOptions): Promise<string> {
    const reference = parseReference(text);
    this.#parts.trust.checkPull(reference.name, caller);
    const sources = await this.#sources(reference, options);
    if (reference.tag || reference.digest) return this.#one(reference, sources, caller, options);
    let id = "";
    const [first] = sources;
    for (const tag of (await asked(reference, () => first?.tags(options.signal))) ?? [])
      id = await this.#one({ ...reference, tag }, sources, caller, options);
    return id;
  }

  #sources(reference: Reference, { credentials, signal }: PullOptions): Promise<Repository[]> {
    const { registries } = this.#parts;
    return asked(reference, () => registries.sources(repositoryName(reference.name), credentials, signal));
  }

  async #one(
    reference: Reference,
    sources: Repository[],
    caller: Caller,
    options: PullOptions,
  ): Promise<string> {
    const { catalog } = this.#parts;
    const { progress, signal } = options;
    const name = reference.digest ? undefined : taggedName(reference);
    if (name) catalog.access.checkName(name, caller);
    const shown = reference.digest ? `${reference.name}@${reference.digest}` : taggedName(reference);
    const named = await asked(reference, () =>
      firstOf(sources, (source) => source.manifest(reference.digest ?? reference.tag ?? "latest", signal)),
    );
    const { manifest, document } = await this.#choose(reference, sources, named, options);
    const signatures = await asked(reference, () =>
      this.#parts.trust.signatures(reference.name, [named.digest, document.digest], sources, caller, signal),
    );
    progress({
      status: `Pulling from ${repositoryName(reference.name).path}`,
      id: reference.digest ?? reference.tag ?? "latest",
    });
    const { bytes, config } = await this.#configuration(sources, manifest, options);
    const before = name ? catalog.find(name, caller)?.id : undefined;
    const known = catalog.has(manifest.config.digest, caller);
    const release = catalog.layers.hold(config.rootfs.diff_ids);
    try {
      if (!known) await this.#layers(sources, manifest, config, caller, options);
      const id = catalog.insert(bytes, config, caller);
      for (const { digest, mediaType, bytes: raw } of new Set([document, named]))
        catalog.addManifest({ digest, mediaType, bytes: raw, image: id });
      for (const signature of signatures) catalog.addSignature({ ...signature, image: id });
      catalog.setDigest(reference.name, named.digest, id);
      if (name) catalog.setName(name, id);
      const upToDate = name ? before === id : known;
      progress({ status: `Digest: ${named.digest}` });
      progress({
        status: `Status: ${upToDate ? "Image is up to date" : "Downloaded newer image"} for ${shown}`,
      });
      catalog.publishMove("pull", id, shown);
      return id;
    } finally {
      release();
    }
  }

  /** Follows indexes to the manifest for the platform. */
  async #choose(
    reference: Reference,
    sources: readonly Repository[],
    named: Document,
    { platform, signal }: PullOptions,
  ): Promise<{ document: Document; manifest: Manifest }> {
    const wanted = platform ?? hostPlatform;
    let document = named;
    for (let depth = 0; depth < MAXIMUM_DEPTH; depth++) {
      const read = readIn(document);
      if ("manifest" in read) return { document, manifest: read.manifest };
      const child = bestOf(read.index, wanted);
      if (!child)
        throw notFound(`no matching manifest for ${platformText(wanted)} in the manifest list entries`);
      document = await asked(reference, () =>
        firstOf(sources, (source) => source.manifest(child.digest, signal)),
      );
    }
    throw new EngineError("system", `index ${named.digest}: indexes are nested too deeply`);
  }

  async #configuration(
    sources: readonly Repository[],
    manifest: Manifest,
    { platform, signal }: PullOptions,
  ): Promise<{ bytes: Buffer; config: ImageConfiguration }> {
    const { mediaType, digest } = manifest.config;
    if (mediaType !== mediaTypes.dockerConfig && mediaType !== mediaTypes.ociConfig)
      throw new EngineError("system", `unsupported media type ${mediaType}: this is no container image`);
    for (const layer of manifest.layers)
      if (!isLayer(layer.mediaType))
        throw new EngineError("system", `layer ${layer.digest}: unsupported media type ${layer.mediaType}`);
    const bytes = await firstOf(sources, (source) => source.smallBlob(digest, MAXIMUM_CONFIG, signal));
    const config = readConfiguration(bytes, `configuration ${digest}`);
    const { diff_ids } = config.rootfs;
    if (diff_ids.length !== manifest.layers.length)
      throw new EngineError(
        "system",
        `manifest has ${manifest.layers.length} layers, and the image's configuration ${diff_ids.length}`,
      );
    if (platform && fit(platform, config) === undefined)
      throw notFound(
        `image was found but does not provide the specified platform (${platformText(platform)}): it is ${platformText(config)}`,
      );
    if (config.os !== "linux")
      throw new EngineError("system", `cannot pull an image for ${config.os}: this is linux`);
    return { bytes, config };
  }

  async #layers(
    sources: readonly Repository[],
    manifest: Manifest,
    config: ImageConfiguration,
    caller: Caller,
    { progress, signal, decryptionKeys }: PullOptions,
  ): Promise<void> {
    const { catalog, transfers } = this.#parts;
    // The first failure ends the others.
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const seen = new Set<string>();
    const audience = caller.sees("") ? "" : caller.id;
    const fetches = manifest.layers.map(async (descriptor: Descriptor, index) => {
      const diffId = config.rootfs.diff_ids[index] ?? "";
      const id = shortDigest(descriptor.digest);
      if (catalog.hasLayer(diffId, caller) || seen.has(diffId)) return progress(step(id, "Already exists"));
      seen.add(diffId);
      const opening = isEncrypted(descriptor.mediaType)
        ? await openLayer(descriptor, [...decryptionKeys, ...this.#parts.decryptionKeys()])
        : undefined;
      await transfers.fetch({ sources, descriptor, diffId, audience, opening }, progress, either);
    });
    const results = await Promise.allSettled(
      fetches.map((fetch) =>
        fetch.catch((error: unknown) => {
          failed.abort(error);
          throw error;
        }),
      ),
    );
    signal.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
    const bad = results.find((result) => result.status === "rejected");
    if (bad?.status === "rejected") throw bad.reason;
  }
}

function readIn(document: Document): { manifest: Manifest } | { index: Index } {
  try {
    return readDocument(document);
  } catch (error) {
    throw new EngineError("system", (error as Error).message, { cause: error });
  }
}

/** The image's configuration out of its bytes. */
export function readConfiguration(bytes: Buffer, what: string): ImageConfiguration {
  let raw: unknown;
  try {
    raw = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw invalid(`${what}: ${(error as Error).message}`);
  }
  const parsed = imageConfigurationSchema.safeParse(raw);
  if (parsed.success) return parsed.data as unknown as ImageConfiguration;
  const issue = parsed.error.issues[0];
  throw invalid(`${what}: ${issue?.path.join(".")}: ${issue?.message}`);
}

function bestOf(index: Index, wanted: WantedPlatform): Descriptor | undefined {
  let best: { descriptor: Descriptor; score: number } | undefined;
  for (const descriptor of index.manifests) {
    const score = descriptor.platform ? fit(wanted, descriptor.platform) : 0;
    if (score !== undefined && score > (best?.score ?? -1)) best = { descriptor, score };
  }
  return best?.descriptor;
}

/** The first answer of several sources; the last one's refusal where none has any. */
async function firstOf<T>(
  sources: readonly Repository[],
  ask: (source: Repository) => Promise<T>,
): Promise<T> {
  let problem: unknown;
  for (const source of sources) {
    try {
      return await ask(source);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      problem = error;
    }
  }
  throw problem ?? new RegistryError("no registry answers");
}

/** What a registry's refusal is to the client that asked for a reference. */
export async function asked<T>(reference: Reference, ask: () => Promise<T> | undefined): Promise<T> {
  try {
    return (await ask()) as T;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const shown = reference.digest ? `${reference.name}@${reference.digest}` : taggedName(reference);
    if (error.code === "DENIED" || (error.code === "UNAUTHORIZED" && error.status === 403))
      throw notFound(
        `pull access denied for ${reference.name}, repository does not exist or may require 'docker login': ${error.message}`,
      );
    if (error.code === BAD_ADDRESS) throw invalid(`invalid reference format: ${error.message}`);
    if (error.status === 404) throw notFound(`manifest for ${shown} not found: ${error.message}`);
    throw new EngineError("system", error.message, { cause: error });
  }
}
