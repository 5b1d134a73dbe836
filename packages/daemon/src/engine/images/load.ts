// Loads images from an archive: docker save's of all ages, and OCI layouts.
import type { Readable } from "node:stream";
import { z } from "zod";
import { SpooledArchive } from "../../content/archive.ts";
import { type Document, sniffMediaType } from "../../registry/manifest.ts";
import type { Caller } from "../access/caller.ts";
import { invalid, notFound } from "../errors.ts";
import { fit, hostPlatform, platformText, type WantedPlatform } from "./platform.ts";
import { amount, type Progress, shortDigest } from "./progress.ts";
import { readConfiguration } from "./pull.ts";
import { parseReference, taggedName } from "./reference.ts";
import type { ImageService } from "./service.ts";

const saveManifestSchema = z.array(
  z.looseObject({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z.array(z.string()).nullish(),
  }),
);
const descriptor = z.looseObject({
  mediaType: z.string().nullish(),
  digest: z.string().regex(/^[a-z0-9]+:[0-9a-f]{32,}$/),
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: z.looseObject({ architecture: z.string(), os: z.string() }).nullish(),
});
const indexSchema = z.looseObject({ manifests: z.array(descriptor) });
const manifestSchema = z.looseObject({
  schemaVersion: z.number().optional(),
  config: descriptor,
  layers: z.array(descriptor),
});
type Descriptor = z.output<typeof descriptor>;

/** Parses a JSON document of the archive; throws an error that names it. */
async function document<T>(
  archive: SpooledArchive,
  name: string,
  schema: z.ZodType<T>,
): Promise<{ value: T; bytes: Buffer }> {
  const bytes = await archive.bytes(name);
  let raw: unknown;
  try {
    raw = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw invalid(`${name}: ${(error as Error).message}`);
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return { value: parsed.data, bytes };
  const issue = parsed.error.issues[0];
  throw invalid(`${name}: ${issue?.path.join(".")}: ${issue?.message}`);
}

/** One image found in an archive. */
interface Found {
  config: string;
  layers: string[];
  names: string[];
  /** The OCI manifest that it was found by. */
  manifest?: Document;
}

async function savedImages(archive: SpooledArchive): Promise<Found[]> {
  const { value } = await document(archive, "manifest.json", saveManifestSchema);
  return value.map(({ Config, Layers, RepoTags }) => ({
    config: Config,
    layers: Layers ?? [],
    names: RepoTags ?? [],
  }));
}

/** Follows an OCI layout's index, nested ones too, to the manifests for this machine. */
async function layoutImages(archive: SpooledArchive, platform: WantedPlatform | undefined): Promise<Found[]> {
  const { value } = await document(archive, "index.json", indexSchema);
  const found: Found[] = [];
  for (const entry of value.manifests)
    found.push(...(await resolve(archive, entry, nameOf(entry), platform ?? hostPlatform, 0)));
  return found;
}

function nameOf(entry: Descriptor): string[] {
  const name =
    entry.annotations?.["io.containerd.image.name"] ??
    entry.annotations?.["org.opencontainers.image.ref.name"];
  // A bare tag without a repository names nothing here.
  return name?.includes("/") || name?.includes(":") ? [name] : [];
}

const MAXIMUM_DEPTH = 4;
const MANIFEST_VERSION = 2;

async function resolve(
  archive: SpooledArchive,
  entry: Descriptor,
  names: string[],
  wanted: WantedPlatform,
  depth: number,
): Promise<Found[]> {
  if (depth > MAXIMUM_DEPTH) throw invalid("index.json: indexes are nested too deeply");
  const name = archive.blob(entry.digest);
  const { value, bytes } = await document(archive, name, z.union([manifestSchema, indexSchema]));
  if ("config" in value) {
    const manifest = value as z.output<typeof manifestSchema>;
    return [
      {
        config: archive.blob(manifest.config.digest),
        layers: manifest.layers.map(({ digest }) => archive.blob(digest)),
        names,
        // One that says no version is read here, but no registry takes it: the image gets another one.
        ...(manifest.schemaVersion === MANIFEST_VERSION
          ? { manifest: { bytes, mediaType: entry.mediaType ?? sniffMediaType(bytes), digest: entry.digest } }
          : {}),
      },
    ];
  }
  const [best] = (value as z.output<typeof indexSchema>).manifests
    .map((one) => ({ one, score: one.platform ? fit(wanted, one.platform) : 0 }))
    .filter(({ score }) => score !== undefined)
    .sort((a, b) => (b.score ?? 0) - (a.score ?? 0));
  if (!best) throw invalid(`index ${entry.digest} has no image for ${platformText(wanted)}`);
  return resolve(archive, best.one, names, wanted, depth + 1);
}

export interface LoadOptions {
  platform: WantedPlatform | undefined;
  /** Told how far each layer is. */
  progress: Progress;
  /** Told a line for each image, as Docker says it. */
  loaded(line: string): void;
}

/** Loads every image of the archive; `spool` is where it is kept meanwhile. */
export async function loadImages(
  images: ImageService,
  source: Readable,
  spool: string,
  caller: Caller,
  options: LoadOptions,
): Promise<void> {
  const archive = await SpooledArchive.read(source, spool).catch((error: Error) => {
    throw invalid(`reading image archive: ${error.message}`);
  });
  try {
    const layout = archive.has("index.json") ? await layoutImages(archive, options.platform) : [];
    const found = archive.has("manifest.json") ? await savedImages(archive) : layout;
    if (found.length === 0 && !archive.has("manifest.json") && !archive.has("index.json"))
      throw invalid("open manifest.json: no such file or directory: the archive is no image archive");
    for (const image of await ofPlatform(archive, found, options.platform))
      await loadOne(images, archive, image, layout, caller, options);
  } finally {
    await archive.close();
  }
}

/** Those for a platform, where one is asked for; throws where none is. */
async function ofPlatform(
  archive: SpooledArchive,
  found: readonly Found[],
  platform: WantedPlatform | undefined,
): Promise<readonly Found[]> {
  if (!platform) return found;
  const fitting: Found[] = [];
  for (const image of found) {
    const config = readConfiguration(await archive.bytes(image.config), image.config);
    if (fit(platform, config) !== undefined) fitting.push(image);
  }
  if (fitting.length === 0) throw notFound(`requested platform (${platformText(platform)}) not found`);
  return fitting;
}

async function loadOne(
  images: ImageService,
  archive: SpooledArchive,
  image: Found,
  layout: readonly Found[],
  caller: Caller,
  { progress, loaded }: LoadOptions,
): Promise<void> {
  const bytes = await archive.bytes(image.config);
  const config = readConfiguration(bytes, image.config);
  if (config.rootfs.diff_ids.length !== image.layers.length)
    throw invalid(
      `invalid manifest, layers length mismatch: expected ${image.layers.length}, got ${config.rootfs.diff_ids.length}`,
    );
  const names = image.names.map((name) => taggedName(parseReference(name)));
  const { catalog } = images;
  const takeIn = async (index: number, diffId: string): Promise<void> => {
    const file = archive.file(image.layers[index] ?? "");
    await catalog.layers.takeInFile(file, diffId, index);
    progress(amount(shortDigest(diffId), "Loading layer", file.size, file.size));
  };
  const id = await images.add(bytes, config, takeIn, names, caller);
  // With the manifest it came with, the image can go on by the same digest.
  for (const { manifest, config: path } of layout)
    if (manifest && path === image.config) catalog.addManifest({ ...manifest, image: id });
  for (const line of names.length > 0
    ? names.map((name) => `Loaded image: ${name}`)
    : [`Loaded image ID: ${id}`])
    loaded(`${line}\n`);
}
