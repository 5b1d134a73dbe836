// The texts of small kernel files, read in as few calls as there can be.
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** How small kernel files are read. */
export interface FileReader {
  /** What `parse` makes of a file's text, which is "" where there is no file (the group is gone, or this kernel lacks it). Nobody
   * changes it: it may be what the last one was given, too. A file has one `parse`. */
  parsed<T extends object>(file: string, parse: (text: string) => T): Readonly<T>;
  /** The number that a file begins with; undefined where there is no file, or it says "max". */
  number(file: string): number | undefined;
}

const buffer = Buffer.allocUnsafeSlow(64 << 10);
/** The kernel hands out such a text by the page; one that is shorter than this came whole. */
const SURELY_WHOLE = 2048;
/** So many files may be kept open by all together. */
const MOST_KEPT = 8192;

const ZERO = 48;
const isDigit = (byte: number | undefined): byte is number =>
  byte !== undefined && byte >= ZERO && byte < ZERO + 10;

/** The number that a file begins with; undefined for other words. */
function numberOf(descriptor: number): number | undefined {
  const length = readSync(descriptor, buffer, 0, SURELY_WHOLE, 0);
  let value = 0;
  let at = 0;
  for (let byte = buffer[at]; at < length && isDigit(byte); byte = buffer[++at])
    value = value * 10 + byte - ZERO;
  return at > 0 ? value : undefined;
}

/** Reads a text into the buffer and returns its length. */
function fill(descriptor: number): number {
  let length = readSync(descriptor, buffer, 0, buffer.length, 0);
  while (length >= SURELY_WHOLE && length < buffer.length) {
    const more = readSync(descriptor, buffer, length, buffer.length - length, length);
    if (more === 0) break;
    length += more;
  }
  return length;
}

const textOf = (length: number): string => buffer.toString("latin1", 0, length);

const isGone = (error: unknown): boolean =>
  ["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "");

/** What `take` makes of a file that is opened for this; undefined where there is none. */
function useOnce<T>(file: string, take: (descriptor: number) => T): T | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, "r");
    return take(descriptor);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** A file's text; "" where there is none. */
export const readIfThere = (file: string): string => textOf(useOnce(file, fill) ?? 0);

/** Each file is opened for each reading. */
export const openedAnew: FileReader = {
  parsed: (file, parse) => parse(readIfThere(file)),
  number: (file) => useOnce(file, numberOf),
};

/** As many as half of what this process may open, so that the rest is there for everything else. */
let room: number | undefined;
const roomOf = (): number => {
  const [, soft = "0"] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
  return soft === "unlimited" ? MOST_KEPT : Math.min(MOST_KEPT, Number(soft) / 2);
};

const nothing = Buffer.alloc(0);
/** An open file, and what was made of its bytes the last time. */
interface KeptFile {
  descriptor: number;
  bytes: Buffer;
  value: object | undefined;
}

/** Files that are read again and again. They stay open, since opening one takes the kernel five times as long as reading it, and
 * what says the same as before is not taken apart again: most containers do nothing most of the time. */
export class KeptFiles implements FileReader {
  readonly #files = new Map<string, KeptFile>();

  parsed<T extends object>(file: string, parse: (text: string) => T): Readonly<T> {
    const kept = this.#files.get(file);
    const length = this.#use(file, kept, fill) ?? 0;
    if (kept?.value && buffer.compare(kept.bytes, 0, kept.bytes.length, 0, length) === 0)
      return kept.value as T;
    const value = parse(textOf(length));
    const present = this.#files.get(file);
    if (present) {
      present.bytes = Buffer.from(buffer.subarray(0, length));
      present.value = value;
    }
    return value;
  }

  number(file: string): number | undefined {
    return this.#use(file, this.#files.get(file), numberOf);
  }

  /** A group that was made anew has other files: they are found. */
  #use<T>(file: string, kept: KeptFile | undefined, take: (descriptor: number) => T): T | undefined {
    if (!kept) return this.#useAnew(file, take);
    try {
      return take(kept.descriptor);
    } catch (error) {
      if (!isGone(error)) throw error;
      this.#forget(file, kept);
      return this.#useAnew(file, take);
    }
  }

  #useAnew<T>(file: string, take: (descriptor: number) => T): T | undefined {
    room ??= roomOf();
    if (room < 1) return useOnce(file, take);
    try {
      const descriptor = openSync(file, "r");
      this.#files.set(file, { descriptor, bytes: nothing, value: undefined });
      room--;
      return take(descriptor);
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  #forget(file: string, { descriptor }: KeptFile): void {
    this.#files.delete(file);
    closeSync(descriptor);
    if (room !== undefined) room++;
  }

  close(): void {
    for (const [file, kept] of this.#files) this.#forget(file, kept);
  }
}
