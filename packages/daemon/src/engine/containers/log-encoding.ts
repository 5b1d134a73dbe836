// From the lines of a json-file log to the bytes that a client gets: many lines at a time, since logs are long.
import { parseTime } from "../timestamps.ts";

/** One line of the log, or a part of a long one (no newline at its end). */
export interface LogLine {
  log: string;
  stream: "stdout" | "stderr";
  time: string;
}

export interface EncodingOptions {
  stdout: boolean;
  stderr: boolean;
  timestamps: boolean;
  /** What goes before each line; undefined where it was not asked for. */
  details: string | undefined;
  /** Nanoseconds since the epoch; undefined for no bound. */
  since: bigint | undefined;
  until: bigint | undefined;
  /** Plain bytes, without the multiplexing headers. */
  terminal: boolean;
}

const HEADER = 8;
const NEWLINE = 10;
const BACKSLASH = 92;
/** How each line begins, and what stands between its text and its time. */
const BEGIN = '{"log":"'.length;
const marks = {
  stdout: Buffer.from('","stream":"stdout","time":"'),
  stderr: Buffer.from('","stream":"stderr","time":"'),
};
const END = '"}'.length;
/** The longest time: nanoseconds and a zone. */
const MAXIMUM_TIME = 40;

/** A line as the API sends it: with a multiplexing header unless the container has a terminal. */
export function encodeLogLine(
  line: LogLine,
  options: { timestamps: boolean; details?: string | undefined; terminal: boolean },
): Buffer {
  const time = options.timestamps ? `${line.time} ` : "";
  const details = options.details === undefined ? "" : `${options.details} `;
  const text = Buffer.from(`${time}${details}${line.log}`);
  if (options.terminal) return text;
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(line.stream === "stderr" ? 2 : 1, 0);
  header.writeUInt32BE(text.length, 4);
  return Buffer.concat([header, text]);
}

export class LogEncoder {
  readonly #options: EncodingOptions;
  readonly #details: Buffer;
  /** True once a line was later than `until`: nothing more will pass. */
  finished = false;

  constructor(options: EncodingOptions) {
    this.#options = options;
    this.#details = Buffer.from(options.details === undefined ? "" : `${options.details} `);
  }

  /** Encodes whole lines. The result is a buffer of its own. */
  encode(lines: Buffer): Buffer {
    // Without details a line is never longer encoded than it is in the file, where its stream and its time stand beside it.
    const out = Buffer.allocUnsafe(lines.length + this.#details.length * this.#count(lines));
    let used = 0;
    for (let start = 0; start < lines.length && !this.finished; ) {
      const found = lines.indexOf(NEWLINE, start);
      const end = found < 0 ? lines.length : found;
      const encoded = this.#plain(lines, start, end, out, used);
      used = encoded >= 0 ? encoded : this.#escaped(lines.toString("utf8", start, end), out, used);
      start = end + 1;
    }
    return out.subarray(0, used);
  }

  /** How many lines there are, if that matters. */
  #count(lines: Buffer): number {
    let count = 1;
    if (this.#details.length > 0)
      for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1)) count++;
    return count;
  }

  /** Whether a line of this stream and time is wanted. */
  #wanted(stream: "stdout" | "stderr", time: () => string): boolean {
    const { since, until } = this.#options;
    if (!this.#options[stream]) return false;
    if (since === undefined && until === undefined) return true;
    const at = parseTime(time()) ?? 0n;
    if (until !== undefined && at > until) this.finished = true;
    return !this.finished && (since === undefined || at >= since);
  }

  /** A line without escapes but the newline at its end, copied as bytes; −1 for any other. */
  #plain(lines: Buffer, start: number, end: number, out: Buffer, used: number): number {
    const backslash = lines.indexOf(BACKSLASH, start + BEGIN);
    if (backslash < 0 || backslash >= end || lines[backslash + 1] !== 110) return -1;
    // After \n must come one of the marks: then the text had no other escape.
    const after = backslash + 2;
    const stream = lines[after + 12] === 111 ? "stdout" : "stderr"; // the third letter of the stream's name
    const mark = marks[stream];
    if (mark.compare(lines, after, after + mark.length) !== 0) return -1;
    const timeStart = after + mark.length;
    const timeEnd = end - END;
    if (timeEnd - timeStart > MAXIMUM_TIME || timeEnd <= timeStart) return -1;
    const time = (): string => lines.toString("latin1", timeStart, timeEnd);
    if (!this.#wanted(stream, time)) return used;
    const { terminal, timestamps } = this.#options;
    let at = terminal ? used : used + HEADER;
    if (timestamps) {
      at += lines.copy(out, at, timeStart, timeEnd);
      out[at++] = 32;
    }
    at += this.#details.copy(out, at);
    at += lines.copy(out, at, start + BEGIN, backslash);
    out[at++] = NEWLINE;
    if (!terminal) {
      out.writeUInt32BE(stream === "stdout" ? 0x01000000 : 0x02000000, used);
      out.writeUInt32BE(at - used - HEADER, used + 4);
    }
    return at;
  }

  #escaped(text: string, out: Buffer, used: number): number {
    if (!text) return used;
    const line = JSON.parse(text) as LogLine;
    if (!this.#wanted(line.stream, () => line.time)) return used;
    return used + encodeLogLine(line, this.#options).copy(out, used);
  }
}
