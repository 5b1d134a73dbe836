// Fresh ext4 file systems by size: formatted once, then copied; what a format writes is a few dozen blocks.
import { execFile } from "node:child_process";
import { closeSync, ftruncateSync, openSync, rmSync, write } from "node:fs";
import { open, truncate, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { KernelError } from "../errors.ts";
import { lseekLater } from "./later.ts";

const run = promisify(execFile);
const writeLater = promisify(write);
const BLOCK = 4096;
/** Sizes that are remembered, and the most bytes that are worth it for one. */
const REMEMBERED = 4;
const LARGEST = 4 << 20;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

interface Piece {
  offset: number;
  bytes: Buffer;
}

/** What is in a file, without its holes and without its blocks of zeros. */
async function piecesOf(file: string): Promise<Piece[]> {
  const pieces: Piece[] = [];
  const handle = await open(file);
  try {
    for (let hole = 0; ; ) {
      const data = await lseekLater(handle.fd, hole, SEEK_DATA).catch((error) => {
        if (error instanceof KernelError && error.code === "ENXIO") return undefined;
        throw error;
      });
      if (data === undefined) return pieces;
      hole = await lseekLater(handle.fd, data, SEEK_HOLE);
      const bytes = Buffer.alloc(hole - data);
      await handle.read(bytes, 0, bytes.length, data);
      pieces.push(...withoutZeros(data, bytes));
    }
  } finally {
    await handle.close();
  }
}

function withoutZeros(offset: number, bytes: Buffer): Piece[] {
  const pieces: Piece[] = [];
  const zeros = Buffer.alloc(BLOCK);
  let begin: number | undefined;
  for (let at = 0; at <= bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    const empty = block.equals(zeros.subarray(0, block.length));
    if (!empty) begin ??= at;
    else if (begin !== undefined) {
      pieces.push({ offset: offset + begin, bytes: bytes.subarray(begin, at) });
      begin = undefined;
    }
  }
  if (begin !== undefined) pieces.push({ offset: offset + begin, bytes: bytes.subarray(begin) });
  return pieces;
}

/** Makes files with a fresh file system in them. All of one size are alike, down to the UUID: nobody asks for them by it. */
export class Templates {
  readonly #format: readonly string[];
  readonly #fill: (directory: string) => void;
  readonly #known = new Map<number, Promise<readonly Piece[]>>();

  /** `format` is the program that formats a file, and its arguments before the file's name; `fill` makes what is in each of
   * them from the beginning. */
  constructor(format: readonly string[], fill: (directory: string) => void) {
    this.#format = format;
    this.#fill = fill;
  }

  /** Writes a sparse file of this size, which must not be there. */
  async write(file: string, size: number): Promise<void> {
    const known = this.#known.get(size);
    if (!known) {
      const learnt = this.#learn(file, size);
      this.#remember(size, learnt);
      await learnt;
      return;
    }
    const pieces = await known;
    // Directories take less time than the way to another thread; what is written may wait for a disk.
    const descriptor = openSync(file, "wx", 0o600);
    try {
      ftruncateSync(descriptor, size);
      await Promise.all(
        pieces.map(({ offset, bytes }) => writeLater(descriptor, bytes, 0, bytes.length, offset)),
      );
    } finally {
      closeSync(descriptor);
    }
  }

  /** Those that were wanted longest ago are forgotten. */
  #remember(size: number, pieces: Promise<readonly Piece[]>): void {
    this.#known.set(size, pieces);
    pieces.then(
      (found) => {
        if (found.reduce((sum, { bytes }) => sum + bytes.length, 0) > LARGEST) this.#known.delete(size);
      },
      () => this.#known.delete(size),
    );
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
  }

  /** Formats a file, and sees what that was. */
  async #learn(file: string, size: number): Promise<Piece[]> {
    const [program = "", ...words] = this.#format;
    await writeFile(file, "", { flag: "wx", mode: 0o600 });
    await truncate(file, size);
    const contents = `${file}.contents`;
    this.#fill(contents);
    await run(program, [...words, "-d", contents, file]);
    rmSync(contents, { recursive: true });
    return piecesOf(file);
  }
}
