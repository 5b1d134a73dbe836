// Manifests and indexes: checked as they come in, and told apart.
import { createHash } from "node:crypto";
import { z } from "zod";
import { isIndex, isManifest, mediaTypes } from "./media-types.ts";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "not a sha256 digest");
const size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const platform = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  variant: z.string().optional(),
  "os.version": z.string().optional(),
});
const descriptor = z.looseObject({
  mediaType: z.string(),
  digest,
  size,
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: platform.nullish(),
});
const manifest = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).max(1000),
});
const index = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z.array(descriptor).max(1000),
});

export type Platform = z.output<typeof platform>;
export type Descriptor = z.output<typeof descriptor>;
export type Manifest = z.output<typeof manifest>;
export type Index = z.output<typeof index>;

/** A manifest or index as it was sent: its digest is that of these bytes. */
export interface Document {
  bytes: Buffer;
  mediaType: string;
  digest: string;
}

export const sha256 = (bytes: Buffer | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

function parse<T>(schema: z.ZodType<T>, document: Document, what: string): T {
  let raw: unknown;
  try {
    raw = JSON.parse(document.bytes.toString("utf8"));
  } catch (error) {
    throw new Error(`${what} ${document.digest}: ${(error as Error).message}`);
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Error(`${what} ${document.digest}: ${issue?.path.join(".")}: ${issue?.message}`);
}

/** Which of the two a document is. Its own word must be the one it was sent with: a document that can be read as either
 * would be two images of one digest. Throws with what is wrong. */
export function readDocument(document: Document): { manifest: Manifest } | { index: Index } {
  const { mediaType } = document;
  if (isIndex(mediaType)) {
    const value = parse(index, document, "index");
    if ("layers" in value || "config" in value) throw new Error(`index ${document.digest} has layers`);
    return { index: checkOwnWord(value, document) };
  }
  if (!isManifest(mediaType))
    throw new Error(
      mediaType.includes("manifest.v1")
        ? `manifest schema 1 (${mediaType}) is not supported: push the image again with schema 2 or OCI`
        : `unsupported manifest media type "${mediaType}"`,
    );
  const value = parse(manifest, document, "manifest");
  if ("manifests" in value) throw new Error(`manifest ${document.digest} has manifests`);
  return { manifest: checkOwnWord(value, document) };
}

function checkOwnWord<T extends { mediaType?: string | undefined }>(value: T, document: Document): T {
  if (value.mediaType !== undefined && value.mediaType !== document.mediaType)
    throw new Error(
      `document ${document.digest} calls itself ${value.mediaType}, and was sent as ${document.mediaType}`,
    );
  return value;
}

/** What kind of document bytes are, where nobody says (OCI layouts may leave it out). */
export function sniffMediaType(bytes: Buffer): string {
  const raw = JSON.parse(bytes.toString("utf8")) as { mediaType?: unknown; manifests?: unknown };
  if (typeof raw.mediaType === "string" && raw.mediaType) return raw.mediaType;
  return raw.manifests === undefined ? mediaTypes.ociManifest : mediaTypes.ociIndex;
}
