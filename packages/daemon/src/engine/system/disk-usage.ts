// What the engine's objects take on disk: GET /system/df.
import { closeSync, constants, openSync } from "node:fs";
import { type Archiver, O_PATH } from "@tsd/kernel-bindings";
import type { ImageSummary } from "../../api/types.ts";
import { everything, type Sight } from "../access/caller.ts";
import type { ContainerArchives } from "../containers/archives.ts";
import type { ContainerService } from "../containers/service.ts";
import { imageShown, summaryView } from "../containers/view.ts";
import { invalid } from "../errors.ts";
import type { ImageService } from "../images/service.ts";
import { listImages } from "../images/view.ts";
import type { VolumeService } from "../volumes/service.ts";
import type { VolumeView } from "../volumes/view.ts";

export interface DiskUsageParts {
  archiver: Archiver;
  archives: ContainerArchives;
  containers: ContainerService;
  images: ImageService;
  volumes: VolumeService;
}

/** The answer of GET /system/df; null for what was not asked for. */
export interface DiskUsage {
  LayersSize: number;
  Images: ImageSummary[] | null;
  Containers: object[] | null;
  Volumes: object[] | null;
  BuildCache: object[] | null;
}

const { S_IFMT, S_IFDIR } = constants;
const kinds = ["container", "image", "volume", "build-cache"];

/** The usage of what exists for `sight`; of the kinds that were asked for, all where none was. */
export async function diskUsage(
  parts: DiskUsageParts,
  asked: readonly string[],
  sight: Sight,
): Promise<DiskUsage> {
  for (const kind of asked) if (!kinds.includes(kind)) throw invalid(`unknown object type: ${kind}`);
  const wants = (kind: string): boolean => asked.length === 0 || asked.includes(kind);
  return {
    LayersSize: wants("image") ? parts.images.layerUsage().total : 0,
    Images: wants("image") ? imageUsage(parts, sight) : null,
    Containers: wants("container") ? await containerUsage(parts, sight) : null,
    Volumes: wants("volume") ? await volumeUsage(parts, sight) : null,
    BuildCache: wants("build-cache") ? [] : null,
  };
}

function imageUsage({ images, containers }: DiskUsageParts, sight: Sight): ImageSummary[] {
  const users = new Map<string, number>();
  for (const { record } of containers.registry.all())
    users.set(record.definition.imageId, (users.get(record.definition.imageId) ?? 0) + 1);
  return listImages(images, { filters: new Map(), sharedSize: true }, sight).map((image) => ({
    ...image,
    Containers: users.get(image.Id) ?? 0,
  }));
}

/** One after the other: each takes a process for a moment. */
async function containerUsage(parts: DiskUsageParts, sight: Sight): Promise<object[]> {
  const { archives, containers, images } = parts;
  const found: object[] = [];
  const seen = containers.registry.seenBy(sight);
  for (const container of seen) {
    const image = images.find(container.record.definition.imageId, everything);
    const sizes = await archives.sizes(container, image?.size ?? 0);
    found.push(
      summaryView(
        container,
        imageShown(container, (name) => images.find(name, everything)),
        seen,
        sizes,
      ),
    );
  }
  return found;
}

async function volumeUsage(
  { archiver, containers, volumes }: DiskUsageParts,
  sight: Sight,
): Promise<object[]> {
  const mounts = containers.registry.all().flatMap(({ record }) => record.definition.mounts);
  const found: object[] = [];
  for (const volume of volumes.list(sight)) {
    // What it takes is elsewhere, and may be a server's: dockerd leaves it out, too.
    if (Object.keys(volume.Options ?? {}).length > 0) continue;
    const RefCount = mounts.filter(({ type, name }) => type === "volume" && name === volume.Name).length;
    found.push({ ...volume, UsageData: { Size: await sizeOfVolume(archiver, volume), RefCount } });
  }
  return found;
}

/** Bytes of a volume's files without its directories, each once; −1 when it went away meanwhile. */
export async function sizeOfVolume(archiver: Archiver, { Mountpoint }: VolumeView): Promise<number> {
  let directory: number;
  try {
    directory = openSync(Mountpoint, O_PATH | constants.O_DIRECTORY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return -1;
    throw error;
  }
  try {
    const listed = archiver.listLayer({ root: directory, directory });
    const files = new Map(
      (await listed)
        .filter(({ mode }) => (mode & S_IFMT) !== S_IFDIR)
        .map(({ inode, size }) => [inode, size]),
    );
    return [...files.values()].reduce((sum, size) => sum + size, 0);
  } finally {
    closeSync(directory);
  }
}
