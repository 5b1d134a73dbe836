// The files of a container's log: the present one, the rotated ones, and those of them that are compressed by now.
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";

const CHUNK = 256 * 1024;
const NEWLINE = 10;
/** How often a listing is made again while files are rotated under it. */
const LISTINGS = 20;

interface ListedFile {
  path: string;
  inode: number;
}

export const inodeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );

const isCompressed = (path: string): boolean => path.endsWith(".gz");

/** The files of a log that exist, oldest first. Where one is there both plain and compressed, the compressed one stays. */
async function listOnce(path: string): Promise<ListedFile[]> {
  const base = basename(path);
  const indexed = new Map<number, string>();
  for (const name of (await readdir(dirname(path)).catch(() => [])).sort()) {
    if (!name.startsWith(base)) continue;
    const match = /^(?:\.([1-9]\d*)(?:\.gz)?)?$/.exec(name.slice(base.length));
    if (match) indexed.set(Number(match[1] ?? 0), join(dirname(path), name));
  }
  const oldestFirst = [...indexed].sort(([one], [other]) => other - one);
  const files = await Promise.all(
    oldestFirst.map(async ([, file]) => ({ path: file, inode: await inodeOf(file) })),
  );
  return files.flatMap(({ path: file, inode }) => (inode === undefined ? [] : [{ path: file, inode }]));
}

/** The same, of one moment: what is renamed while a directory is read may be missed, or be there twice. */
async function logFiles(path: string): Promise<ListedFile[]> {
  let files = await listOnce(path);
  for (let listing = 1; listing < LISTINGS; listing++) {
    const again = await listOnce(path);
    const same = again.length === files.length && again.every(({ inode }, at) => inode === files[at]?.inode);
    if (same) break;
    files = again;
  }
  return files;
}

/** Where a file's bytes come from, in pieces; undefined at the end of what there is. */
interface Source {
  read(): Promise<Buffer | undefined>;
  close(): void;
}

function plainSource(handle: FileHandle, start: number): Source {
  let offset = start;
  return {
    async read() {
      const buffer = Buffer.allocUnsafe(CHUNK);
      const { bytesRead } = await handle.read(buffer, 0, CHUNK, offset);
      offset += bytesRead;
      return bytesRead > 0 ? buffer.subarray(0, bytesRead) : undefined;
    },
    close: () => undefined,
  };
}

/** Unpacked as it is read, off the event loop. */
function compressedSource(handle: FileHandle): Source {
  const packed = handle.createReadStream({ autoClose: false, start: 0, highWaterMark: CHUNK });
  // What fails is thrown by the iterator.
  const plain = pipeline(packed, createGunzip({ chunkSize: CHUNK }), () => undefined);
  const chunks: AsyncIterator<Buffer> = plain[Symbol.asyncIterator]();
  return {
    async read() {
      const { value, done } = await chunks.next();
      return done ? undefined : value;
    },
    close: () => void plain.destroy(),
  };
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}

/** Where the line after the first `count` begins; −1 when there are not as many. */
function afterLines(bytes: Buffer, count: number): number {
  let at = 0;
  for (let line = 0; line < count; line++) {
    at = bytes.indexOf(NEWLINE, at) + 1;
    if (at === 0) return -1;
  }
  return at;
}

/** One log file, read in runs of whole lines; what is unfinished waits for its rest. */
export class LogFile {
  readonly inode: number;
  readonly path: string;
  readonly #handle: FileHandle;
  #begun: Source | undefined;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(handle: FileHandle, { path, inode }: ListedFile) {
    this.#handle = handle;
    this.path = path;
    this.inode = inode;
  }

  /** Undefined when the file is gone, or another one by now. */
  static async open(file: ListedFile): Promise<LogFile | undefined> {
    const handle = await open(file.path, "r").catch(() => undefined);
    if (!handle) return undefined;
    if ((await handle.stat()).ino === file.inode) return new LogFile(handle, file);
    await handle.close();
    return undefined;
  }

  /** A file that nobody has come to yet has no buffers. */
  get #source(): Source {
    this.#begun ??= isCompressed(this.path) ? compressedSource(this.#handle) : plainSource(this.#handle, 0);
    return this.#begun;
  }

  /** The next whole lines; undefined at the end of what there is. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      const fresh = await this.#source.read();
      if (!fresh) return undefined;
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
  seekTail(count: number): Promise<number> {
    return isCompressed(this.path) ? this.#seekCompressedTail(count) : this.#seekPlainTail(count);
  }

  async #seekPlainTail(count: number): Promise<number> {
    const { size } = await this.#handle.stat();
    const from = (start: number, lines: number): number => {
      this.#begun = plainSource(this.#handle, start);
      return lines;
    };
    if (count === 0) return from(size, 0);
    const buffer = Buffer.allocUnsafe(CHUNK);
    let lines = 0;
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - CHUNK);
      await this.#handle.read(buffer, 0, end - start, start);
      for (let at = end - start - 1; at >= 0; at--) {
        if (buffer[at] !== NEWLINE || start + at === size - 1) continue;
        lines++;
        if (lines === count) return from(start + at + 1, lines);
      }
      end = start;
    }
    return from(0, size > 0 ? lines + 1 : 0);
  }

  /** It can only be read from its beginning: once to count, and once to get there. */
  async #seekCompressedTail(count: number): Promise<number> {
    let lines = 0;
    for (let bytes = await this.#source.read(); bytes; bytes = await this.#source.read())
      lines += countLines(bytes);
    this.#source.close();
    this.#begun = undefined;
    for (let skipped = Math.max(0, lines - count); skipped > 0; ) {
      const bytes = await this.#source.read();
      if (!bytes) break;
      const at = afterLines(bytes, skipped);
      if (at < 0) {
        skipped -= countLines(bytes);
        continue;
      }
      this.#unread(bytes.subarray(at));
      break;
    }
    return Math.min(lines, count);
  }

  /** Puts bytes back, to be read next. */
  #unread(bytes: Buffer): void {
    const source = this.#source;
    let left: Buffer | undefined = bytes;
    this.#begun = {
      async read() {
        const next = left?.length ? left : await source.read();
        left = undefined;
        return next;
      },
      close: () => source.close(),
    };
  }

  /** Whether a compressed file is what became of this one: each line has its time, so they begin alike. */
  async becameOf(file: ListedFile): Promise<boolean> {
    if (!isCompressed(file.path)) return false;
    const other = await LogFile.open(file);
    if (!other) return false;
    try {
      const own = await plainSource(this.#handle, 0).read();
      const bytes = await other.#source.read();
      if (!own || !bytes) return false;
      const length = Math.min(own.length, bytes.length);
      return own.subarray(0, length).equals(bytes.subarray(0, length));
    } finally {
      await other.close();
    }
  }

  async close(): Promise<void> {
    this.#begun?.close();
    await this.#handle.close();
  }
}

/** All files of a log, opened, oldest first: what is removed or rotated from now on can still be read. */
export async function openFiles(path: string): Promise<LogFile[]> {
  for (;;) {
    const listed = await logFiles(path);
    const opened = await Promise.all(listed.map((file) => LogFile.open(file)));
    const files = opened.filter((file) => file !== undefined);
    if (files.length === listed.length) return files;
    // Rotated in this moment.
    await Promise.all(files.map((file) => file.close()));
  }
}

/** Where a file is in the list, whatever it is called by now; −1 where it is deleted. */
async function indexOf(file: LogFile, files: readonly ListedFile[]): Promise<number> {
  const at = files.findIndex(({ inode }) => inode === file.inode);
  if (at >= 0) return at;
  for (let index = files.length - 1; index >= 0; index--) {
    const listed = files[index];
    if (listed && (await file.becameOf(listed))) return index;
  }
  return -1;
}

/** The file that was begun after this one was rotated away; undefined while this is the present one. */
export async function successor(path: string, file: LogFile): Promise<LogFile | undefined> {
  // The present one is looked at first: mostly it is still this.
  if ((await inodeOf(path)) === file.inode) return undefined;
  for (;;) {
    const files = await logFiles(path);
    const next = files[(await indexOf(file, files)) + 1]; // where this one is deleted by now, the oldest that is left
    if (!next) return undefined;
    const opened = await LogFile.open(next);
    if (opened) return opened;
  }
}
