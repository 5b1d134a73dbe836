// Images go: by name, by id, by pruning.
import type { Caller } from "../access/caller.ts";
import { conflict } from "../errors.ts";
import type { ImageCatalog } from "./catalog.ts";
import type { ImageRecord } from "./image.ts";
import { parseReference, taggedName } from "./reference.ts";

/** A container that uses an image. */
export interface ImageUse {
  id: string;
  running: boolean;
}

/** One entry of the answer to a removal. */
export type RemovalItem = { Untagged: string } | { Deleted: string };

const repositoryOf = (name: string): string => name.replace(/@.*$/, "").replace(/:[^:/]*$/, "");

/** Removes a name, or an image with all its names. `usesOf` tells which containers use an image. */
export function removeImage(
  catalog: ImageCatalog,
  usesOf: (imageId: string) => ImageUse[],
  reference: string,
  options: { force: boolean; prune: boolean },
  caller: Caller,
): RemovalItem[] {
  const image = catalog.get(reference, caller);
  catalog.access.checkRemoval(image, reference, caller);
  const byId = catalog.isId(reference, image);
  const short = image.id.replace("sha256:", "").slice(0, 12);
  const parent = catalog.steps.parentOf(image.id);
  const uses = usesOf(image.id);
  const running = uses.find((use) => use.running);
  const stopped = uses[0];
  if (!byId) {
    const names = namesTakenBy(image, reference);
    const left = [...image.repoTags, ...image.repoDigests].filter((name) => !names.includes(name));
    if (left.length > 0) return untag(catalog, image, names);
    if (!options.force && stopped)
      throw conflict(
        `conflict: unable to remove repository reference "${reference}" (must force) - container ${(running ?? stopped).id.slice(0, 12)} is using its referenced image ${short}`,
      );
  } else {
    if (running)
      throw conflict(
        `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container ${running.id.slice(0, 12)}`,
      );
    const repositories = new Set([...image.repoTags, ...image.repoDigests].map(repositoryOf));
    if ((image.repoTags.length > 1 || repositories.size > 1) && !options.force)
      throw conflict(
        `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
      );
    if (stopped && !options.force)
      throw conflict(
        `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container ${stopped.id.slice(0, 12)}`,
      );
  }
  const hasChildren = catalog.steps.childrenOf(image.id).length > 0;
  const isHeld = catalog.steps.isHeld(image.id);
  if (byId && (hasChildren || isHeld))
    throw conflict(
      `conflict: unable to delete ${short} (cannot be forced) - image ${hasChildren ? "has dependent child images" : "is being used by a build"}`,
    );
  const items = untag(catalog, image, [...image.repoTags, ...image.repoDigests]);
  // Layers of an image that a container still stands on stay until it goes, and so does what others were built on.
  if (uses.length > 0 || hasChildren || isHeld) return items;
  return [
    ...items,
    ...deleteImage(catalog, image),
    ...(options.prune ? deleteParents(catalog, usesOf, parent, caller) : []),
  ];
}

/** Removes the steps that a removed image was built on, up to one that is needed for anything else. */
export function deleteParents(
  catalog: ImageCatalog,
  usesOf: (imageId: string) => readonly ImageUse[],
  first: string,
  caller: Caller,
): RemovalItem[] {
  const items: RemovalItem[] = [];
  for (let id = first; id !== "" && catalog.has(id, caller); ) {
    const image = catalog.get(id, caller);
    if (catalog.steps.childrenOf(id).length > 0 || image.repoTags.length + image.repoDigests.length > 0)
      break;
    if (usesOf(id).length > 0 || catalog.steps.isHeld(id) || !catalog.access.ownsAlone(image, caller)) break;
    const parent = catalog.steps.parentOf(id);
    items.push(...deleteImage(catalog, image));
    id = parent;
  }
  return items;
}

/** The names that go with a name: a repository's digests, with its last tag. */
function namesTakenBy(image: ImageRecord, reference: string): string[] {
  const parsed = parseReference(reference);
  if (parsed.digest) return [`${parsed.name}@${parsed.digest}`];
  const name = taggedName(parsed);
  const siblings = image.repoTags.filter((tag) => tag !== name && repositoryOf(tag) === parsed.name);
  if (siblings.length > 0) return [name];
  return [name, ...image.repoDigests.filter((digest) => repositoryOf(digest) === parsed.name)];
}

function untag(catalog: ImageCatalog, image: ImageRecord, names: readonly string[]): RemovalItem[] {
  return names.map((name) => {
    catalog.untag(name, image.id);
    return { Untagged: name };
  });
}

export function deleteImage(catalog: ImageCatalog, image: ImageRecord): RemovalItem[] {
  return [image.id, ...catalog.delete(image)].map((Deleted) => ({ Deleted }));
}
