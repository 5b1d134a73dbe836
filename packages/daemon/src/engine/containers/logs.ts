// Reads a container's json-file log: rotated files, tail, since and until, and following it while it grows.
import { watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { parseTime } from "../timestamps.ts";

export interface LogOptions {
  stdout: boolean;
  stderr: boolean;
  timestamps: boolean;
  follow: boolean;
  /** Lines from the end; undefined for all. */
  tail: number | undefined;
  /** Nanoseconds since the epoch; undefined for no bound. */
  since: bigint | undefined;
  until: bigint | undefined;
}

/** One line of the log, or a part of a long one (no newline at its end). */
export interface LogLine {
  log: string;
  stream: "stdout" | "stderr";
  time: string;
}

const CHUNK = 65536;

/** The files of a log that exist, oldest first. */
async function logFiles(path: string): Promise<string[]> {
  const found = [path];
  for (let index = 1; await exists(`${path}.${index}`); index++) found.unshift(`${path}.${index}`);
  return found;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Whole lines of a file from an offset on; `rest` keeps what is unfinished between calls. */
class LineReader {
  readonly #file: FileHandle;
  #offset: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(file: FileHandle, offset: number) {
    this.#file = file;
    this.#offset = offset;
  }

  /** What is there now; ends at the end of the file. */
  async *lines(): AsyncGenerator<string> {
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, CHUNK, this.#offset);
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      let chunk = this.#rest.length
        ? Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)])
        : Buffer.from(buffer.subarray(0, bytesRead));
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10)) {
        yield chunk.toString("utf8", 0, at);
        chunk = chunk.subarray(at + 1);
      }
      this.#rest = chunk;
    }
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
        if (buffer[at] !== 10 || start + at === size - 1) continue;
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

/** Which files to read, and where in the first of them. */
async function startOf(path: string, tail: number | undefined): Promise<{ files: string[]; offset: number }> {
  const files = await logFiles(path);
  if (tail === undefined) return { files, offset: 0 };
  let wanted = tail;
  for (let index = files.length - 1; index >= 0; index--) {
    const file = files[index] ?? path;
    if (wanted === 0) return { files: files.slice(index), offset: (await stat(file)).size };
    const { offset, lines } = await tailOffset(file, wanted);
    wanted -= lines;
    if (wanted <= 0) return { files: files.slice(index), offset };
  }
  return { files, offset: 0 };
}

/** Says when to look again: the file changed, or nothing more will come. */
class Ticker {
  #wake: (() => void) | undefined;
  #changed = false;
  #watcher: ReturnType<typeof watch> | undefined;
  readonly #ended: () => boolean;

  constructor(path: string, ended: () => boolean, whenEnded: Promise<unknown>, signal: AbortSignal) {
    this.#ended = ended;
    const tick = () => {
      this.#changed = true;
      this.#wake?.();
    };
    this.#watcher = watch(path, tick);
    this.#watcher.on("error", tick);
    whenEnded.then(tick, tick);
    signal.addEventListener("abort", tick, { once: true });
  }

  /** Resolves when there may be more; false when there can't be. */
  async next(): Promise<boolean> {
    if (this.#changed) {
      this.#changed = false;
      return true;
    }
    if (this.#ended()) return false;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#changed = false;
    return true;
  }

  close(): void {
    this.#watcher?.close();
  }
}

/** The log's lines, parsed; while `running()` holds and `follow` is set it waits for more. Ends when `signal` aborts. */
export async function* readLog(
  path: string,
  options: LogOptions,
  life: { running: () => boolean; ended: Promise<unknown>; signal: AbortSignal },
): AsyncGenerator<LogLine> {
  if (!(await exists(path))) return;
  const { files, offset } = await startOf(path, options.tail);
  for (const [index, file] of files.entries()) {
    const last = index === files.length - 1;
    const handle = await open(file, "r").catch(() => undefined);
    if (!handle) continue; // rotated away while we read the ones before it
    try {
      const reader = new LineReader(handle, index === 0 ? offset : 0);
      const ticker =
        last && options.follow ? new Ticker(file, () => !life.running(), life.ended, life.signal) : undefined;
      try {
        do {
          for await (const text of reader.lines()) {
            if (life.signal.aborted) return;
            const line = JSON.parse(text) as LogLine;
            if (!options[line.stream]) continue;
            const time = parseTime(line.time) ?? 0n;
            if (options.since !== undefined && time < options.since) continue;
            if (options.until !== undefined && time > options.until) return;
            yield line;
          }
          if (ticker && (await handle.stat()).nlink === 0) break;
        } while (ticker && !life.signal.aborted && (await ticker.next()));
      } finally {
        ticker?.close();
      }
    } finally {
      await handle.close();
    }
  }
}

/** A line as the API sends it: with a multiplexing header unless the container has a terminal. */
export function encodeLogLine(line: LogLine, options: { timestamps: boolean; terminal: boolean }): Buffer {
  const text = Buffer.from(options.timestamps ? `${line.time} ${line.log}` : line.log);
  if (options.terminal) return text;
  const header = Buffer.alloc(8);
  header.writeUInt8(line.stream === "stderr" ? 2 : 1, 0);
  header.writeUInt32BE(text.length, 4);
  return Buffer.concat([header, text]);
}
