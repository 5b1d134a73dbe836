// Loads images from an archive: docker save's of all ages, and OCI layouts.
import type { Readable } from "node:stream";
import { z } from "zod";
import { SpooledArchive } from "../../content/archive.ts";
import type { Caller } from "../access/caller.ts";
import { invalid } from "../errors.ts";
import { type ImageConfiguration, imageConfigurationSchema } from "./image.ts";
import { parseReference, taggedName } from "./reference.ts";
import type { ImageService } from "./service.ts";

const saveManifestSchema = z.array(
  z.looseObject({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) }),
);
const descriptor = z.looseObject({
  mediaType: z.string().nullish(),
  digest: z.string().regex(/^[a-z0-9]+:[0-9a-f]{32,}$/),
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: z.looseObject({ architecture: z.string(), os: z.string() }).nullish(),
});
const indexSchema = z.looseObject({ manifests: z.array(descriptor) });
const manifestSchema = z.looseObject({ config: descriptor, layers: z.array(descriptor) });
type Descriptor = z.output<typeof descriptor>;

const architecture = process.arch === "x64" ? "amd64" : process.arch;

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
}

async function savedImages(archive: SpooledArchive): Promise<Found[]> {
  const { value } = await document(archive, "manifest.json", saveManifestSchema);
  return value.map(({ Config, Layers, RepoTags }) => ({
    config: Config,
    layers: Layers,
    names: RepoTags ?? [],
  }));
}

/** Follows an OCI layout's index, nested ones too, to the manifests for this machine. */
async function layoutImages(archive: SpooledArchive): Promise<Found[]> {
  const { value } = await document(archive, "index.json", indexSchema);
  const found: Found[] = [];
  for (const entry of value.manifests) found.push(...(await resolve(archive, entry, nameOf(entry), 0)));
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

async function resolve(
  archive: SpooledArchive,
  entry: Descriptor,
  names: string[],
  depth: number,
): Promise<Found[]> {
  if (depth > MAXIMUM_DEPTH) throw invalid("index.json: indexes are nested too deeply");
  const { value } = await document(
    archive,
    archive.blob(entry.digest),
    z.union([manifestSchema, indexSchema]),
  );
  if ("config" in value) {
    const manifest = value as z.output<typeof manifestSchema>;
    return [
      {
        config: archive.blob(manifest.config.digest),
        layers: manifest.layers.map(({ digest }) => archive.blob(digest)),
        names,
      },
    ];
  }
  const ours = (value as z.output<typeof indexSchema>).manifests.filter(
    ({ platform }) => !platform || (platform.os === "linux" && platform.architecture === architecture),
  );
  const [first] = ours;
  if (!first) throw invalid(`index ${entry.digest} has no image for linux/${architecture}`);
  return resolve(archive, first, names, depth + 1);
}

/** Loads every image of the archive; `spool` is where it is kept meanwhile. Returns a line for each, as Docker says. */
export async function loadImages(
  images: ImageService,
  source: Readable,
  spool: string,
  caller: Caller,
): Promise<string[]> {
  const archive = await SpooledArchive.read(source, spool).catch((error: Error) => {
    throw invalid(`reading image archive: ${error.message}`);
  });
  try {
    const found = archive.has("manifest.json")
      ? await savedImages(archive)
      : archive.has("index.json")
        ? await layoutImages(archive)
        : undefined;
    if (!found)
      throw invalid("open manifest.json: no such file or directory: the archive is no image archive");
    const lines: string[] = [];
    for (const image of found) {
      const { value, bytes } = await document(archive, image.config, imageConfigurationSchema);
      if (value.rootfs.diff_ids.length !== image.layers.length)
        throw invalid(
          `invalid manifest, layers length mismatch: expected ${image.layers.length}, got ${value.rootfs.diff_ids.length}`,
        );
      const names = image.names.map((name) => taggedName(parseReference(name)));
      const takeIn = (index: number, diffId: string): Promise<void> =>
        images.catalog.layers.takeInFile(archive.file(image.layers[index] ?? ""), diffId, index);
      const id = await images.add(bytes, value as unknown as ImageConfiguration, takeIn, names, caller);
      lines.push(
        ...(names.length > 0 ? names.map((name) => `Loaded image: ${name}\n`) : [`Loaded image ID: ${id}\n`]),
      );
    }
    return lines;
  } finally {
    await archive.close();
  }
}
