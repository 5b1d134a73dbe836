// Who sees which image, may make containers of it, and give it a name.
import { Caller, denied, type Sight } from "../access/caller.ts";
import { fitsPatterns } from "../access/image-patterns.ts";
import type { ImageRecord } from "./image.ts";
import type { StoredImage } from "./store.ts";

export class ImageAccess {
  readonly #images: ReadonlyMap<string, StoredImage>;
  readonly #names: ReadonlyMap<string, string>;

  /** By id, and by name to id. */
  constructor(images: ReadonlyMap<string, StoredImage>, names: ReadonlyMap<string, string>) {
    this.#images = images;
    this.#names = names;
  }

  /** Whether an image exists for somebody: it is theirs, or one that their role names. */
  sees(image: StoredImage, sight: Sight): boolean {
    if (image.owners.length === 0 ? sight.sees("") : image.owners.some((owner) => sight.sees(owner)))
      return true;
    const patterns = sight instanceof Caller ? sight.role?.limits?.images : undefined;
    return patterns !== undefined && this.#fits(image.id, patterns);
  }

  #fits(id: string, patterns: readonly string[]): boolean {
    return [...this.#names].some(([name, image]) => image === id && fitsPatterns(name, patterns));
  }

  /** Throws for an image that the caller's role does not let it make containers of. */
  checkUse(image: ImageRecord, caller: Caller): void {
    const patterns = caller.role?.limits?.images;
    if (patterns && !this.#fits(image.id, patterns))
      throw denied(caller, `containers of image ${image.repoTags[0] ?? image.id}`);
  }

  /** Throws for a name that the caller may not give: a role that names images trusts these names, and nobody takes over
   * a name of an image that does not exist for it. */
  checkName(name: string, caller: Caller): void {
    const patterns = caller.role?.limits?.images;
    if (patterns && fitsPatterns(name, patterns)) throw denied(caller, `to name an image ${name}`);
    const holder = this.#images.get(this.#names.get(name) ?? "");
    if (holder && !this.sees(holder, caller)) throw denied(caller, `to take the name ${name}`);
  }

  /** Throws where others have the image too, or where the caller's role only names it: it is not its to take away. */
  checkRemoval(image: ImageRecord, reference: string, caller: Caller): void {
    if (!this.mayRemove(image, caller))
      throw denied(caller, `to remove image ${reference}, which others have too`);
  }

  mayRemove(image: ImageRecord, caller: Caller): boolean {
    const alone = image.owners.length > 0 && image.owners.every((owner) => caller.sees(owner));
    return caller.role?.scope === "all" || alone;
  }
}
