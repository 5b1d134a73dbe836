// Detach keys: a sequence such as ctrl-p,ctrl-q in a terminal's input that leaves the container running.
import { Transform, type TransformCallback } from "node:stream";
import { invalid } from "../errors.ts";

const controls: Readonly<Record<string, number>> = { "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, _: 31 };

/** The bytes of a sequence like "ctrl-p,ctrl-q" or "a,b"; "" is Docker's default. Throws for what is no key. */
export function parseDetachKeys(text: string): number[] {
  return (text || "ctrl-p,ctrl-q").split(",").map((key) => {
    const control = /^ctrl-(.)$/i.exec(key)?.[1]?.toLowerCase();
    if (control && control >= "a" && control <= "z") return control.charCodeAt(0) - 96;
    if (control !== undefined && control in controls) return controls[control] ?? 0;
    if (key.length === 1) return key.charCodeAt(0);
    throw invalid(`Invalid detach keys (${text}) provided`);
  });
}

/** Passes input on until the sequence was typed; then emits "detach". A begun sequence is held back until it breaks. */
export class DetachDetector extends Transform {
  readonly #keys: readonly number[];
  #matched = 0;
  #detached = false;

  constructor(keys: readonly number[]) {
    super();
    this.#keys = keys;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#detached) done();
    else done(null, this.#scan(chunk));
  }

  /** What of the chunk goes on; undefined when that is nothing. */
  #scan(chunk: Buffer): Buffer | undefined {
    const passed: number[] = [];
    // Typed input comes in a few bytes; a long chunk without the first key passes whole.
    if (this.#matched === 0 && !chunk.includes(this.#keys[0] ?? -1)) return chunk;
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched < this.#keys.length) continue;
        this.#detached = true;
        this.emit("detach");
        break;
      }
      passed.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) passed.push(byte);
    }
    return passed.length ? Buffer.from(passed) : undefined;
  }

  override _flush(done: TransformCallback): void {
    done(
      null,
      this.#matched && !this.#detached ? Buffer.from(this.#keys.slice(0, this.#matched)) : undefined,
    );
  }
}
