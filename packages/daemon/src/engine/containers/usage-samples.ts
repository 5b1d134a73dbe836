// A container's samples of the last minutes, in one block of numbers: objects that live for minutes would be moved about by each
// collection.
import type { UsageHistory } from "../../api/types.ts";

export type UsageSample = UsageHistory["Samples"][number];
/** A sample with its time in milliseconds since the epoch. */
export type TimedUsage = Omit<UsageSample, "Time"> & { time: number };

const FIELDS = 8;

export class UsageSamples {
  readonly #most: number;
  readonly #numbers: Float64Array;
  #taken = 0;

  /** Keeps the last `most`. */
  constructor(most: number) {
    this.#most = most;
    this.#numbers = new Float64Array(most * FIELDS);
  }

  add({ time, Cpu, Memory, Processes, Read, Written, Received, Sent }: TimedUsage): void {
    const at = (this.#taken++ % this.#most) * FIELDS;
    this.#numbers[at] = time;
    this.#numbers[at + 1] = Cpu;
    this.#numbers[at + 2] = Memory;
    this.#numbers[at + 3] = Processes;
    this.#numbers[at + 4] = Read;
    this.#numbers[at + 5] = Written;
    this.#numbers[at + 6] = Received;
    this.#numbers[at + 7] = Sent;
  }

  /** Oldest first. */
  all(): UsageSample[] {
    const count = Math.min(this.#taken, this.#most);
    return Array.from({ length: count }, (_, index) => {
      const at = ((this.#taken - count + index) % this.#most) * FIELDS;
      const [time = 0, Cpu = 0, Memory = 0, Processes = 0, Read = 0, Written = 0, Received = 0, Sent = 0] =
        this.#numbers.subarray(at, at + FIELDS);
      return {
        Time: new Date(time).toISOString(),
        Cpu,
        Memory,
        Processes,
        Read,
        Written,
        Received,
        Sent,
      };
    });
  }
}
