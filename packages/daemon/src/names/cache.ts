// Answers of other servers, kept for as long as they say, within bounds of number and size: the least used go first.
import type { UpstreamAnswer } from "./message.ts";

export interface CacheLimits {
  entries: number;
  bytes: number;
}

interface Entry {
  answer: UpstreamAnswer;
  size: number;
  /** Milliseconds of the clock. */
  stored: number;
  expires: number;
}

/** What an entry costs besides the answer's bytes and its key. */
const ENTRY_BYTES = 400;
const RECORD_BYTES = 64;

export class AnswerCache {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: CacheLimits;
  readonly #now: () => number;
  #bytes = 0;

  /** `now` is a clock in milliseconds that does not go backwards. */
  constructor(limits: CacheLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** What is kept under a key, and for how many whole seconds it has been. */
  find(key: string): { answer: UpstreamAnswer; age: number } | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#remove(key, entry);
    const now = this.#now();
    if (now >= entry.expires) return undefined;
    this.#add(key, entry);
    return { answer: entry.answer, age: Math.floor((now - entry.stored) / 1000) };
  }

  /** Keeps an answer for `seconds`. */
  keep(key: string, answer: UpstreamAnswer, seconds: number): void {
    const present = this.#entries.get(key);
    if (present) this.#remove(key, present);
    const size = answer.bytes.length + key.length + answer.records.length * RECORD_BYTES + ENTRY_BYTES;
    if (seconds <= 0 || size > this.#limits.bytes / 8) return;
    const stored = this.#now();
    // Received bytes are part of a larger buffer that would be kept whole.
    const own = { ...answer, bytes: Buffer.from(answer.bytes) };
    this.#add(key, { answer: own, size, stored, expires: stored + seconds * 1000 });
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= this.#limits.entries && this.#bytes <= this.#limits.bytes) break;
      this.#remove(oldest, entry);
    }
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += entry.size;
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.size;
  }
}
