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
  #offset = 0;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(handle: FileHandle, path: string, inode: number) {
    this.#handle = handle;
    this.path = path;
    this.inode = inode;
  }

  /** Undefined when the file is gone, or another one by now. */
  static async open(path: string, inode: number): Promise<LogFile | undefined> {
    const handle = await open(path, "r").catch(() => undefined);
    if (!handle) return undefined;
    if ((await handle.stat()).ino === inode) return new LogFile(handle, path, inode);
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

  /** Goes to where its last `count` lines begin; returns how many it has of them. */
  async seekTail(count: number): Promise<number> {
    const { size } = await this.#handle.stat();
    this.#offset = size;
    if (count === 0) return 0;
    const buffer = Buffer.allocUnsafe(CHUNK);
    let lines = 0;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - CHUNK);
      await this.#handle.read(buffer, 0, end - start, start);
      for (let at = end - start - 1; at >= 0; at--) {
        if (buffer[at] !== NEWLINE || start + at === size - 1) continue;
        lines++;
        if (lines < count) continue;
        this.#offset = start + at + 1;
        return lines;
      }
      end = start;
    }
    this.#offset = 0;
    return size > 0 ? lines + 1 : 0;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** All files of a log, opened, oldest first: what is removed or rotated from now on can still be read. */
async function openFiles(path: string): Promise<LogFile[]> {
  for (;;) {
    const listed = await logFiles(path);
    const opened = await Promise.all(listed.map((file) => LogFile.open(file.path, file.inode)));
    const files = opened.filter((file) => file !== undefined);
    if (files.length === listed.length) return files;
    // Rotated in this moment.
    await Promise.all(files.map((file) => file.close()));
  }
}

/** Those of them that hold the last `tail` lines, the first at where these begin. */
async function fromTail(files: readonly LogFile[], tail: number | undefined): Promise<LogFile[]> {
  if (tail === undefined) return [...files];
  let wanted = tail;
  let first = files.length;
  while (first > 0 && (wanted > 0 || first === files.length)) {
    first--;
    wanted -= (await files[first]?.seekTail(wanted)) ?? 0;
  }
  await Promise.all(files.slice(0, first).map((file) => file.close()));
  return files.slice(first);
}

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
 * aborts. The first piece is empty: the files are open then, and removing the container takes nothing away. Without `follow`,
 * files that are begun while it is read are not read. */
export async function* readLog(
  path: string,
  options: LogOptions,
  life: LogLife,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const encoder = new LogEncoder(options);
  const files = await fromTail(await openFiles(path), options.tail);
  let file = files.shift();
  let ticker: Ticker | undefined;
  try {
    yield Buffer.alloc(0);
    while (file && !signal.aborted) {
      const lines: Buffer | undefined = await file.read();
      if (lines) {
        const encoded = encoder.encode(lines);
        if (encoded.length > 0) yield encoded;
        if (encoder.finished) return;
        continue;
      }
      const next: LogFile | undefined =
        files.shift() ?? (options.follow ? await successor(path, file) : undefined);
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
    await Promise.all([file, ...files].map((one) => one?.close()));
  }
}
