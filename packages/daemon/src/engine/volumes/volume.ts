// One volume in memory: its record, what is mounted on it, who uses it, and its turn for what may happen once at a time.
import { type MountPlan, mountPlan } from "./options.ts";
import { ANONYMOUS_LABEL, type VolumeRecord } from "./record.ts";

export class Volume {
  readonly record: VolumeRecord;
  readonly plan: MountPlan | undefined;
  /** Who has it mounted: ids of containers that run, and names of works. */
  readonly holders = new Set<string>();
  /** Containers that are being created with it. */
  readonly reservations = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(record: VolumeRecord) {
    this.record = record;
    this.plan = mountPlan(record.options);
  }

  get name(): string {
    return this.record.name;
  }
  get owner(): string {
    return this.record.owner;
  }
  get anonymous(): boolean {
    return this.record.labels !== null && ANONYMOUS_LABEL in this.record.labels;
  }
  /** Something is being done to its files, or waits for that. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /** Runs one work on this volume at a time, in the order in which they came. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    const result = this.#turn.then(work).finally(() => {
      this.#waiting--;
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
