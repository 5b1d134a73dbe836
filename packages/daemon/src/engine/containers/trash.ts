// Deletes what was removed, one tree after the other, when there is nothing better to do: nobody waits for it.
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const PAUSE = 100;

export class Trash {
  readonly #report: (problem: unknown, what: string) => void;
  readonly #waiting: string[] = [];
  #emptying = false;

  constructor(report: (problem: unknown, what: string) => void) {
    this.#report = report;
  }

  /** Deletes paths that nothing uses any more, some time soon. */
  discard(...paths: readonly string[]): void {
    this.#waiting.push(...paths);
    if (this.#emptying) return;
    this.#emptying = true;
    void this.#empty().finally(() => {
      this.#emptying = false;
    });
  }

  async #empty(): Promise<void> {
    await delay(PAUSE, undefined, { ref: false });
    for (let path = this.#waiting.shift(); path; path = this.#waiting.shift())
      await rm(path, { recursive: true, force: true }).catch((error) =>
        this.#report(error, `deleting ${path}`),
      );
  }
}
