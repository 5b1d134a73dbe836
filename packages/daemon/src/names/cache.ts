// Answers of other servers, kept for as long as they say, within bounds of number and size. Two generations: what is asked for
// moves to the younger one; when that is full, the older one goes. Nothing has to be looked for that could go.
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
const RECORD_BYTES = 100;

class Generation {
  readonly entries = new Map<string, Entry>();
  bytes = 0;

  add(key: string, entry: Entry): void {
    this.remove(key);
    this.entries.set(key, entry);
    this.bytes += entry.size;
  }

  remove(key: string): Entry | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.bytes -= entry.size;
    return entry;
  }
}

export class AnswerCache {
  readonly #limits: CacheLimits;
  readonly #now: () => number;
  #young = new Generation();
  #old = new Generation();

  /** `now` is a clock in milliseconds that does not go backwards. */
  constructor(limits: CacheLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get size(): number {
    return this.#young.entries.size + this.#old.entries.size;
  }
  get bytes(): number {
    return this.#young.bytes + this.#old.bytes;
  }

  /** What is kept under a key, and for how many whole seconds it has been. */
  find(key: string): { answer: UpstreamAnswer; age: number } | undefined {
    const young = this.#young.entries.get(key);
    const entry = young ?? this.#old.remove(key);
    if (!entry) return undefined;
    const now = this.#now();
    if (now >= entry.expires) {
      this.#young.remove(key);
      return undefined;
    }
    if (!young) this.#add(key, entry);
    return { answer: entry.answer, age: Math.floor((now - entry.stored) / 1000) };
  }

  /** Keeps an answer for `seconds`. */
  keep(key: string, answer: UpstreamAnswer, seconds: number): void {
    this.#young.remove(key);
    this.#old.remove(key);
    const size = answer.bytes.length + key.length + answer.records.length * RECORD_BYTES + ENTRY_BYTES;
    if (seconds <= 0 || size > this.#limits.bytes / 8) return;
    const stored = this.#now();
    // Received bytes may be part of a larger buffer that would be kept whole.
    const own = { ...answer, bytes: Buffer.from(answer.bytes) };
    this.#add(key, { answer: own, size, stored, expires: stored + seconds * 1000 });
  }

  #add(key: string, entry: Entry): void {
    const { entries, bytes } = this.#limits;
    if (this.#young.bytes + entry.size > bytes / 2 || this.#young.entries.size >= entries / 2) {
      this.#old = this.#young;
      this.#young = new Generation();
    }
    this.#young.add(key, entry);
  }
}
