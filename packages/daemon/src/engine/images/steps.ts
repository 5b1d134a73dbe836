// Which image came of which by a step of a build: parents, children, and the step that was done already.
import type { ImageStore, StoredStep } from "./store.ts";

export class ImageSteps {
  readonly #store: ImageStore;
  readonly #steps = new Map<string, StoredStep>();
  readonly #children = new Map<string, Set<string>>();
  /** Images that a build is working on, and by how many. */
  readonly #held = new Map<string, number>();

  constructor(store: ImageStore) {
    this.#store = store;
    for (const step of store.steps()) this.#index(step);
  }

  #index(step: StoredStep): void {
    this.#steps.set(step.image, step);
    const children = this.#children.get(step.parent) ?? new Set();
    this.#children.set(step.parent, children.add(step.image));
  }

  /** Writes down how an image came about; its own earlier story is kept if there is one. */
  add(step: StoredStep): void {
    if (this.#steps.has(step.image)) return;
    this.#store.saveStep(step);
    this.#index(step);
  }

  /** A build ended in this image: it is not just what others stand on. */
  markResult(image: string): void {
    const step = this.#steps.get(image);
    if (!step || step.result) return;
    this.#store.saveStep({ ...step, result: true });
    step.result = true;
  }

  /** Forgets an image that is gone. */
  delete(image: string): void {
    const step = this.#steps.get(image);
    if (!step) return;
    this.#steps.delete(image);
    this.#children.get(step.parent)?.delete(image);
  }

  get(image: string): Readonly<StoredStep> | undefined {
    return this.#steps.get(image);
  }

  /** The image another one was made of; "" for none. */
  parentOf(image: string): string {
    return this.#steps.get(image)?.parent ?? "";
  }

  childrenOf(image: string): string[] {
    return [...(this.#children.get(image) ?? [])];
  }

  /** Images that a step has made of `parent` before, the latest first. */
  made(parent: string, key: string): string[] {
    return this.childrenOf(parent)
      .filter((image) => this.#steps.get(image)?.key === key)
      .reverse();
  }

  /** Keeps images from being removed until `release`. */
  hold(image: string): void {
    this.#held.set(image, (this.#held.get(image) ?? 0) + 1);
  }

  release(image: string): void {
    const count = (this.#held.get(image) ?? 0) - 1;
    if (count > 0) this.#held.set(image, count);
    else this.#held.delete(image);
  }

  isHeld(image: string): boolean {
    return this.#held.has(image);
  }
}
