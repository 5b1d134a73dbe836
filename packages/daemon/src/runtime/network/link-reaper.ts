// Links that are nobody's any more: removed while others go on, and all that wait by one request, since the kernel takes
// some 20 ms for each one, whatever it removes.
import { removeLinks } from "@tsd/kernel-bindings";

export class LinkReaper {
  readonly #report: (problem: unknown, what: string) => void;
  #waiting: string[] = [];
  #work: Promise<void> | undefined;

  constructor(report: (problem: unknown, what: string) => void) {
    this.#report = report;
  }

  /** Removes links, by name, soon. What is not there is fine. */
  remove(names: readonly string[]): void {
    if (names.length === 0) return;
    this.#waiting.push(...names);
    this.#work ??= this.#removeAll().finally(() => {
      this.#work = undefined;
    });
  }

  async #removeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const names = this.#waiting.splice(0);
      try {
        await removeLinks(names);
      } catch (error) {
        this.#report(error, `links ${names.join(" ")}`);
      }
    }
  }

  /** Resolves when nothing waits. */
  async quiet(): Promise<void> {
    await this.#work;
  }
}
