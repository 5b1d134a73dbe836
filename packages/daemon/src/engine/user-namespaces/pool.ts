// Ranges of the host's ids for containers: each is one container's at a time.
import type { IdMaps } from "../../runtime/user-namespace.ts";
import { conflict } from "../errors.ts";

/** Ids from `first` on. */
export interface Interval {
  first: number;
  size: number;
}

/** What one container gets: every id that Debian's packages and most images know. */
export const RANGE_SIZE = 65536;

const overlaps = (a: Interval, b: Interval): boolean =>
  a.first < b.first + b.size && b.first < a.first + a.size;
const chunk = (first: number): Interval => ({ first, size: RANGE_SIZE });

export class IdPool {
  /** The starts of all ranges. */
  readonly #chunks: number[];
  /** Who has which of them. */
  readonly #owners = new Map<number, string>();
  /** What containers hold that is no range of the pool. */
  readonly #named = new Map<string, Interval[]>();
  #next = 0;

  /** `available` is handed out but for what overlaps `reserved`. */
  constructor(available: readonly Interval[], reserved: readonly Interval[]) {
    this.#chunks = available
      .flatMap(({ first, size }) =>
        Array.from({ length: Math.floor(size / RANGE_SIZE) }, (_, index) => first + index * RANGE_SIZE),
      )
      .filter((first) => !reserved.some((other) => overlaps(chunk(first), other)));
  }

  /** How many ranges there are. */
  get size(): number {
    return this.#chunks.length;
  }

  /** A range for a container, which has it until `release`. One that was given up is not the next to be given away. */
  take(holder: string): number {
    for (let tried = 0; tried < this.#chunks.length; tried++) {
      const first = this.#chunks[this.#next++ % this.#chunks.length] as number;
      if (this.#owners.has(first) || this.#isNamed(chunk(first))) continue;
      this.#owners.set(first, holder);
      return first;
    }
    throw conflict(
      `no range of ids is free for a user namespace: all ${this.#chunks.length} are in use (--userns-pool)`,
    );
  }

  #isNamed(interval: Interval): boolean {
    for (const held of this.#named.values()) if (held.some((one) => overlaps(one, interval))) return true;
    return false;
  }

  /** Holds ids that were named, or that an earlier daemon gave away. Throws when they are somebody else's. */
  hold(holder: string, { uids, gids }: IdMaps): void {
    const wanted = [...uids, ...gids].map(({ host, size }): Interval => ({ first: host, size }));
    const taken = (owner: string): never => {
      throw conflict(`ids of the user namespace are in use by container ${owner}`);
    };
    for (const [first, owner] of this.#owners)
      if (owner !== holder && wanted.some((one) => overlaps(one, chunk(first)))) taken(owner);
    for (const [owner, held] of this.#named)
      if (owner !== holder && held.some((one) => wanted.some((two) => overlaps(one, two)))) taken(owner);
    this.#named.set(holder, wanted);
  }

  release(holder: string): void {
    this.#named.delete(holder);
    for (const [first, owner] of this.#owners) if (owner === holder) this.#owners.delete(first);
  }
}
