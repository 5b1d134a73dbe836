// Reads a container's log files: rotated ones, from the tail on, and following while they grow and are rotated.
import { watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { type EncodingOptions, LogEncoder } from "./log-encoding.ts";

export interface LogOptions extends EncodingOptions {
  follow: boolean;
  /** Lines from the end; undefined for all. */
  tail: number | undefined;
}

/** The life of the container whose log is followed. */
export interface LogLife {
  /** Whether it is still the life that was asked about. */
  alive(): boolean;
  /** Calls back at the next exit; returns what takes that back. */
  onExit(listener: () => void): () => void;
}

const CHUNK = 256 * 1024;
const NEWLINE = 10;

const inodeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );

/** The files of a log that exist, oldest first. */
async function logFiles(path: string): Promise<{ path: string; inode: number }[]> {
  const found: { path: string; inode: number }[] = [];
  for (let index = 0; ; index++) {
    const name = index === 0 ? path : `${path}.${index}`;
    const inode = await inodeOf(name);
    if (inode === undefined && index > 0) return found;
    if (inode !== undefined) found.unshift({ path: name, inode });
  }
}

/** One log file, read in runs of whole lines; what is unfinished waits for its rest. */
class LogFile {
  readonly inode: number;
  readonly path: string;
  readonly #handle: FileHandle;
  #offset: number;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(handle: FileHandle, path: string, inode: number, offset: number) {
    this.#handle = handle;
    this.path = path;
    this.inode = inode;
    this.#offset = offset;
  }

  /** Undefined when the file is gone, or another one by now. */
  static async open(path: string, inode: number, offset = 0): Promise<LogFile | undefined> {
    const handle = await open(path, "r").catch(() => undefined);
    if (!handle) return undefined;
    if ((await handle.stat()).ino === inode) return new LogFile(handle, path, inode, offset);
    await handle.close();
    return undefined;
  }

  /** The next whole lines; undefined at the end of what there is. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      const buffer = Buffer.allocUnsafe(CHUNK);
      const { bytesRead } = await this.#handle.read(buffer, 0, CHUNK, this.#offset);
      if (bytesRead === 0) return undefined;
      this.#offset += bytesRead;
      const fresh = buffer.subarray(0, bytesRead);
      const end = fresh.lastIndexOf(NEWLINE) + 1;
      if (end === 0) {
        this.#rest = Buffer.concat([this.#rest, fresh]);
        continue;
      }
      const lines = this.#rest.length
        ? Buffer.concat([this.#rest, fresh.subarray(0, end)])
        : fresh.subarray(0, end);
      this.#rest = Buffer.from(fresh.subarray(end));
      return lines;
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Where the last `count` lines of a file begin, and how many of them it has. */
async function tailOffset(path: string, count: number): Promise<{ offset: number; lines: number }> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const buffer = Buffer.allocUnsafe(CHUNK);
    let lines = 0;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - CHUNK);
      await file.read(buffer, 0, end - start, start);
      for (let at = end - start - 1; at >= 0; at--) {
        if (buffer[at] !== NEWLINE || start + at === size - 1) continue;
        lines++;
        if (lines === count) return { offset: start + at + 1, lines };
      }
      end = start;
    }
    return { offset: 0, lines: size > 0 ? lines + 1 : 0 };
  } finally {
    await file.close();
  }
}

/** The file to begin with, and where in it. */
async function firstFile(path: string, tail: number | undefined): Promise<LogFile | undefined> {
  const files = await logFiles(path);
  if (tail === undefined) return oldest(files);
  let wanted = tail;
  for (const file of [...files].reverse()) {
    if (wanted === 0) return LogFile.open(file.path, file.inode, (await stat(file.path)).size);
    const { offset, lines } = await tailOffset(file.path, wanted);
    wanted -= lines;
    if (wanted <= 0) return LogFile.open(file.path, file.inode, offset);
  }
  return oldest(files);
}

const oldest = async (files: readonly { path: string; inode: number }[]): Promise<LogFile | undefined> =>
  files[0] && LogFile.open(files[0].path, files[0].inode);

/** The file that was begun after this one was rotated away; undefined while this is the present one. */
async function successor(path: string, file: LogFile): Promise<LogFile | undefined> {
  // The present one is looked at first: mostly it is still this.
  if ((await inodeOf(path)) === file.inode) return undefined;
  for (;;) {
    const files = await logFiles(path);
    const at = files.findIndex(({ inode }) => inode === file.inode);
    const next = files[at + 1]; // where this one is deleted by now, the oldest that is left
    if (!next) return undefined;
    const opened = await LogFile.open(next.path, next.inode);
    if (opened) return opened;
  }
}

/** Says when to look again: the file changed or was rotated, or nothing more will come. */
class Ticker {
  #wake: (() => void) | undefined;
  #changed = true; // what came before we began to watch
  #ended: boolean;
  #watcher: ReturnType<typeof watch> | undefined;
  readonly #stop: (() => void)[] = [];

  constructor(path: string, life: LogLife, signal: AbortSignal) {
    this.#ended = !life.alive();
    const tick = (): void => {
      this.#changed = true;
      this.#wake?.();
    };
    const end = (): void => {
      this.#ended = true;
      tick();
    };
    try {
      this.#watcher = watch(path, tick);
      this.#watcher.on("error", tick);
    } catch {
      // Rotated away in this moment: the look that follows finds its successor.
    }
    this.#stop.push(life.onExit(end));
    signal.addEventListener("abort", end, { once: true });
    this.#stop.push(() => signal.removeEventListener("abort", end));
  }

  /** Resolves when there may be more; false when there can't be. */
  async next(): Promise<boolean> {
    if (!this.#changed && !this.#ended)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  close(): void {
    this.#watcher?.close();
    for (const stop of this.#stop) stop();
  }
}

/** The log as a client gets it, many lines at a time; with `follow` until the container ends. Ends when `signal`
 * aborts. Without `follow`, files that are begun while it is read are not read. */
export async function* readLog(
  path: string,
  options: LogOptions,
  life: LogLife,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const encoder = new LogEncoder(options);
  const lastInode = options.follow ? undefined : await inodeOf(path);
  let file = await firstFile(path, options.tail);
  let ticker: Ticker | undefined;
  try {
    while (file && !signal.aborted) {
      const lines: Buffer | undefined = await file.read();
      if (lines) {
        const encoded = encoder.encode(lines);
        if (encoded.length > 0) yield encoded;
        if (encoder.finished) return;
        continue;
      }
      if (file.inode === lastInode) return;
      const next: LogFile | undefined = await successor(path, file);
      if (next) {
        // It is complete now: what was written between our last look and its rotation is still to be read.
        for (let rest = await file.read(); rest && !encoder.finished; rest = await file.read())
          yield encoder.encode(rest);
        ticker?.close();
        ticker = undefined;
        await file.close();
        file = next;
        continue;
      }
      if (!options.follow) return;
      ticker ??= new Ticker(file.path, life, signal);
      if (!(await ticker.next())) return;
    }
  } finally {
    ticker?.close();
    await file?.close();
  }
}
