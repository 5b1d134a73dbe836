// Images as the API shows them: the list, inspect, history.

import type { ImageSummary } from "../../api/types.ts";
import { everything, type Sight } from "../access/caller.ts";
import { type Filters, matchesLabels } from "../containers/list.ts";
import { invalid } from "../errors.ts";
import { parseNanoseconds } from "../events/time-parameter.ts";
import { parseTime, zeroTime } from "../timestamps.ts";
import type { ImageRecord } from "./image.ts";
import type { ImageService } from "./service.ts";

export const imageFilters = ["before", "dangling", "label", "reference", "since", "until"];

const createdAt = (image: ImageRecord): bigint => parseTime(image.config.created ?? "") ?? 0n;
const seconds = (nanoseconds: bigint): number => Number(nanoseconds / 1_000_000_000n);

/** Shell patterns of path.Match: * and ? within one part, and character classes. */
function pattern(text: string): RegExp {
  const escaped = text
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  return new RegExp(`^${escaped}$`);
}

/** What of an image's names a list shows: those that a reference filter means. */
function namesShown(filters: Filters): (image: ImageRecord) => ImageRecord {
  const patterns = (filters.get("reference") ?? []).map(pattern);
  if (patterns.length === 0) return (image) => image;
  const shown = (name: string, repository: string): boolean =>
    patterns.some((one) => one.test(name) || one.test(repository));
  return (image) => ({
    ...image,
    repoTags: image.repoTags.filter((tag) => shown(tag, tag.replace(/:[^/:]*$/, ""))),
    repoDigests: image.repoDigests.filter((digest) => shown(digest, digest.replace(/@.*$/, ""))),
  });
}

function predicates(
  filters: Filters,
  images: ImageService,
  sight: Sight,
): ((image: ImageRecord) => boolean)[] {
  const tests: ((image: ImageRecord) => boolean)[] = [];
  const on = (name: string, build: (values: readonly string[]) => (image: ImageRecord) => boolean): void => {
    const values = filters.get(name);
    if (values?.length) tests.push(build(values));
  };
  on("dangling", ([value = ""]) => {
    if (!["true", "false", "1", "0"].includes(value)) throw invalid(`invalid filter 'dangling=[${value}]'`);
    const wanted = value === "true" || value === "1";
    return (image) => (image.repoTags.length === 0) === wanted;
  });
  on("label", (labels) => (image) => matchesLabels(labels, image.config.config?.Labels ?? {}));
  on("before", ([reference = ""]) => {
    const limit = createdAt(images.get(reference, sight));
    return (image) => createdAt(image) < limit;
  });
  on("since", ([reference = ""]) => {
    const limit = createdAt(images.get(reference, sight));
    return (image) => createdAt(image) > limit;
  });
  on("until", ([time = ""]) => {
    const limit = parseNanoseconds(time) ?? 0n;
    return (image) => createdAt(image) < limit;
  });
  return tests;
}

/** GET /images/json: newest first. */
export function listImages(
  images: ImageService,
  options: { filters: Filters; sharedSize: boolean; all?: boolean },
  sight: Sight,
): ImageSummary[] {
  const tests = predicates(options.filters, images, sight);
  const byName = Boolean(options.filters.get("reference")?.length);
  const shared = options.sharedSize ? images.layerUsage().shared : undefined;
  // What only others were built on is shown where all is asked for.
  const shown = ({ id, repoTags, repoDigests }: ImageRecord): boolean =>
    options.all || repoTags.length + repoDigests.length > 0 || images.steps.childrenOf(id).length === 0;
  return images
    .all(sight)
    .filter(shown)
    .filter((image) => tests.every((test) => test(image)))
    .map(namesShown(options.filters))
    .filter(({ repoTags, repoDigests }) => !byName || repoTags.length + repoDigests.length > 0)
    .sort((a, b) => (createdAt(a) < createdAt(b) ? 1 : -1))
    .map((image) => ({
      Containers: -1,
      Created: seconds(createdAt(image)),
      Id: image.id,
      Labels: image.config.config?.Labels ?? null,
      ParentId: images.steps.parentOf(image.id),
      RepoDigests: image.repoDigests,
      RepoTags: image.repoTags,
      SharedSize: shared ? (shared.get(image.id) ?? 0) : -1,
      Size: image.size,
    }));
}

/** GET /images/{name}/json. */
export function inspectImage(images: ImageService, image: ImageRecord) {
  const { config } = image;
  const own = config.config ?? {};
  const directories = images.layerDirectories(image);
  return {
    Id: image.id,
    RepoTags: image.repoTags,
    RepoDigests: image.repoDigests,
    Parent: images.steps.parentOf(image.id),
    Owner: image.owners[0] ?? "",
    Comment: config.history?.at(-1)?.comment ?? "",
    Created: config.created ?? zeroTime,
    DockerVersion: "",
    Author: config.author ?? "",
    Config: {
      User: "",
      WorkingDir: "",
      ...own,
      Env: own.Env ?? null,
      Cmd: own.Cmd ?? null,
      Entrypoint: own.Entrypoint ?? null,
      Volumes: own.Volumes ?? null,
      OnBuild: own.OnBuild ?? null,
      Labels: own.Labels ?? null,
    },
    Architecture: config.architecture,
    ...(config.variant ? { Variant: config.variant } : {}),
    Os: config.os,
    Size: image.size,
    GraphDriver: {
      Data: {
        ...(directories.length > 1 ? { LowerDir: directories.slice(1).join(":") } : {}),
        MergedDir: "",
        UpperDir: directories[0] ?? "",
        WorkDir: "",
      },
      Name: "overlay2",
    },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: zeroTime },
  };
}

/** GET /images/{name}/history: newest first. */
export function imageHistory(images: ImageService, image: ImageRecord): object[] {
  const sizes = images.layerSizes(image);
  let layer = 0;
  const entries = (image.config.history ?? []).map((entry) => ({
    Comment: entry.comment ?? "",
    Created: seconds(parseTime(entry.created ?? "") ?? 0n),
    CreatedBy: entry.created_by ?? "",
    Id: "<missing>",
    Size: entry.empty_layer ? 0 : (sizes[layer++] ?? 0),
    Tags: null as string[] | null,
  }));
  entries.reverse();
  // The images of the steps are here as far as this one was built here.
  let id = image.id;
  for (const entry of entries) {
    const tags = id === image.id ? image.repoTags : images.find(id, everything)?.repoTags;
    Object.assign(entry, { Id: id, Tags: tags?.length ? tags : null });
    id = images.steps.parentOf(id);
    if (id === "") break;
  }
  return entries;
}
