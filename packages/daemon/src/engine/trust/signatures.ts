// cosign's signatures of images: a payload that names a manifest's digest, signed, in the image's own repository
// (cosign signature specification).
import type { KeyObject } from "node:crypto";
import { z } from "zod";
import { RegistryError } from "../../registry/errors.ts";
import { type Document, readDocument, sha256 } from "../../registry/manifest.ts";
import { mediaTypes } from "../../registry/media-types.ts";
import type { Repository } from "../../registry/repository.ts";
import { verifyBytes } from "./keys.ts";

export interface ImageSignature {
  /** Of the manifest that was signed. */
  digest: string;
  payload: Buffer;
  /** base64. */
  signature: string;
}

const ANNOTATION = "dev.cosignproject.cosign/signature";
const SIGNATURE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";
const PAYLOAD_TYPE = "cosign container image signature";
const MAXIMUM_PAYLOAD = 64 << 10;
const MAXIMUM_SIGNATURES = 50;

const payloadSchema = z.looseObject({
  critical: z.looseObject({
    type: z.literal(PAYLOAD_TYPE),
    image: z.looseObject({ "docker-manifest-digest": z.string() }),
  }),
});

/** The tag that a digest's signatures are kept under. */
const tagOf = (digest: string): string => `${digest.replace(":", "-")}.sig`;

/** The signatures of a digest that a repository has; whether they are worth anything is `isSignedBy`'s to say. */
export async function fetchSignatures(
  repository: Repository,
  digest: string,
  signal: AbortSignal,
): Promise<ImageSignature[]> {
  let document: Document;
  try {
    document = await repository.manifest(tagOf(digest), signal);
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return [];
    throw error;
  }
  const read = readDocument(document);
  if (!("manifest" in read)) return [];
  const signatures: ImageSignature[] = [];
  for (const layer of read.manifest.layers.slice(0, MAXIMUM_SIGNATURES)) {
    const signature = layer.annotations?.[ANNOTATION];
    if (layer.mediaType !== SIGNATURE_TYPE || !signature) continue;
    signatures.push({
      digest,
      payload: await repository.smallBlob(layer.digest, MAXIMUM_PAYLOAD, signal),
      signature,
    });
  }
  return signatures;
}

/** Whether a signature is by this key, and of this digest. */
export function isSignedBy({ digest, payload, signature }: ImageSignature, key: KeyObject): boolean {
  if (!verifyBytes(payload, signature, key)) return false;
  try {
    const parsed = payloadSchema.safeParse(JSON.parse(payload.toString("utf8")));
    return parsed.success && parsed.data.critical.image["docker-manifest-digest"] === digest;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

/** Adds a signature to those that the repository has. */
export async function pushSignature(
  repository: Repository,
  added: ImageSignature,
  upload: (bytes: Buffer) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const all = [...(await fetchSignatures(repository, added.digest, signal)), added];
  const layers = all.map(({ payload, signature }) => ({
    mediaType: SIGNATURE_TYPE,
    size: payload.length,
    digest: sha256(payload),
    annotations: { [ANNOTATION]: signature },
  }));
  const config = Buffer.from(
    JSON.stringify({
      architecture: "",
      created: "0001-01-01T00:00:00Z",
      history: [{ created: "0001-01-01T00:00:00Z" }],
      os: "",
      rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
      config: {},
    }),
  );
  await upload(config);
  await upload(added.payload);
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, size: config.length, digest: sha256(config) },
      layers,
    }),
  );
  await repository.putManifest(
    tagOf(added.digest),
    { bytes, mediaType: mediaTypes.ociManifest, digest: sha256(bytes) },
    signal,
  );
}
