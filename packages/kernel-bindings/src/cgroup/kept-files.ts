// The texts of small kernel files, read in as few calls as there can be.
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** Reads a kernel file's text; "" when it is not there (the group is gone, or this kernel lacks it). */
export type ReadText = (file: string) => string;

const buffer = Buffer.allocUnsafeSlow(64 << 10);
/** The kernel hands out such a text by the page; one that is shorter than this came whole. */
const SURELY_WHOLE = 2048;
/** So many files may be kept open by all together. */
const MOST_KEPT = 8192;

function textOf(descriptor: number): string {
  let length = readSync(descriptor, buffer, 0, buffer.length, 0);
  while (length >= SURELY_WHOLE && length < buffer.length) {
    const more = readSync(descriptor, buffer, length, buffer.length - length, length);
    if (more === 0) break;
    length += more;
  }
  return buffer.toString("latin1", 0, length);
}

const isGone = (error: unknown): boolean =>
  ["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "");

export const readIfThere: ReadText = (file) => {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, "r");
    return textOf(descriptor);
  } catch (error) {
    if (isGone(error)) return "";
    throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
};

/** As many as half of what this process may open, so that the rest is there for everything else. */
let room: number | undefined;
const roomOf = (): number => {
  const [, soft = "0"] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
  return soft === "unlimited" ? MOST_KEPT : Math.min(MOST_KEPT, Number(soft) / 2);
};

/** Files that are read again and again: they stay open, since opening one takes the kernel five times as long as reading it. */
export class KeptFiles {
  readonly #descriptors = new Map<string, number>();

  /** A group that was made anew has other files: they are found. */
  readonly read: ReadText = (file) => {
    const kept = this.#descriptors.get(file);
    if (kept === undefined) return this.#readAnew(file);
    try {
      return textOf(kept);
    } catch (error) {
      if (!isGone(error)) throw error;
      this.#forget(file, kept);
      return this.#readAnew(file);
    }
  };

  #readAnew(file: string): string {
    room ??= roomOf();
    if (room < 1) return readIfThere(file);
    try {
      const descriptor = openSync(file, "r");
      this.#descriptors.set(file, descriptor);
      room--;
      return textOf(descriptor);
    } catch (error) {
      if (isGone(error)) return "";
      throw error;
    }
  }

  #forget(file: string, descriptor: number): void {
    this.#descriptors.delete(file);
    closeSync(descriptor);
    if (room !== undefined) room++;
  }

  close(): void {
    for (const [file, descriptor] of this.#descriptors) this.#forget(file, descriptor);
  }
}
