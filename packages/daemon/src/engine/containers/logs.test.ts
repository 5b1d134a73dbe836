// Reading a log's files: plain and compressed, from the tail on, and while they are rotated and compressed under the reader.
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LogOptions, readLog } from "./logs.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-logs-"));
  path = join(directory, "x-json.log");
});
afterEach(() => rmSync(directory, { recursive: true }));

const begin = Date.UTC(2026, 0, 1);
const timeOf = (line: number): string => new Date(begin + line * 1000).toISOString();
const lines = (from: number, to: number): string =>
  Array.from(
    { length: to - from },
    (_, at) => `${JSON.stringify({ log: `${from + at}\n`, stream: "stdout", time: timeOf(from + at) })}\n`,
  ).join("");

/** What rotates and compresses, as the monitor does it. */
function rotate(): void {
  renameSync(path, `${path}.1`);
  writeFileSync(path, "");
}
function compress(index: number): void {
  writeFileSync(`${path}.${index}.gz`, gzipSync(readFileSync(`${path}.${index}`)));
  unlinkSync(`${path}.${index}`);
}

const exits = new Set<() => void>();
let alive = true;
const life = {
  alive: () => alive,
  onExit: (listener: () => void) => {
    exits.add(listener);
    return () => exits.delete(listener);
  },
};
function log(options: Partial<LogOptions> = {}): AsyncGenerator<Buffer> {
  const asked = {
    stdout: true,
    stderr: true,
    timestamps: false,
    details: undefined,
    follow: false,
    terminal: true,
  };
  const bounds = { tail: undefined, since: undefined, until: undefined };
  return readLog(path, { ...asked, ...bounds, ...options }, life, new AbortController().signal);
}
async function numbers(chunks: AsyncGenerator<Buffer>): Promise<number[]> {
  let text = "";
  for await (const chunk of chunks) text += chunk.toString();
  return text.split("\n").slice(0, -1).map(Number);
}
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);

describe("a log of many files", () => {
  /** 30,000 lines: two compressed files, of which the older is past a gap, a plain one, and the present one. */
  beforeEach(() => {
    writeFileSync(`${path}.4.gz`, gzipSync(lines(0, 10_000)));
    writeFileSync(`${path}.2.gz`, gzipSync(lines(10_000, 20_000)));
    writeFileSync(`${path}.1`, lines(20_000, 25_000));
    writeFileSync(path, lines(25_000, 30_000));
    writeFileSync(`${path}.2.gz.new`, "something else");
    writeFileSync(`${path}x.3`, "something else");
  });

  it("is read whole, in order", async () => {
    expect(await numbers(log())).toEqual(range(0, 30_000));
  });

  it("is read once where a file is there plain and compressed", async () => {
    writeFileSync(`${path}.2`, lines(10_000, 20_000));
    expect(await numbers(log())).toEqual(range(0, 30_000));
  });

  it.each([
    0, 1, 4_999, 5_000, 5_001, 10_000, 10_001, 10_002, 19_999, 20_000, 20_001, 29_999, 30_000, 99_999,
  ])("gives its last %d lines", async (tail) => {
    expect(await numbers(log({ tail }))).toEqual(range(Math.max(0, 30_000 - tail), 30_000));
  });

  it("gives what lies between two times", async () => {
    const at = (line: number): bigint => BigInt(begin + line * 1000) * 1_000_000n;
    expect(await numbers(log({ since: at(9_998), until: at(10_002) }))).toEqual(range(9_998, 10_003));
  });

  it("says so where a compressed file is broken", async () => {
    writeFileSync(`${path}.2.gz`, gzipSync(lines(10_000, 20_000)).subarray(0, 5_000));
    await expect(numbers(log())).rejects.toThrow("unexpected end of file");
  });

  it("is not read ahead of who takes it", async () => {
    // 100 MB unpacked, of which one piece is asked for.
    const long = JSON.stringify({ log: `${"x".repeat(10_000)}\n`, stream: "stdout", time: timeOf(0) });
    writeFileSync(`${path}.4.gz`, gzipSync(`${long}\n`.repeat(10_000)));
    const chunks = log();
    await chunks.next();
    const before = process.memoryUsage().arrayBuffers;
    await chunks.next();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
    await chunks.return(undefined);
  });
});

describe("a follower", () => {
  it("of a file that is rotated and compressed goes on with the next, once", async () => {
    alive = true;
    writeFileSync(`${path}.1.gz`, gzipSync(lines(0, 10)));
    writeFileSync(path, lines(10, 20));
    const chunks = log({ follow: true });
    await chunks.next();
    for (const first of [await chunks.next(), await chunks.next()]) expect(first.done).toBe(false);
    // Its file is .2.gz when it looks again.
    appendFileSync(path, lines(20, 25));
    renameSync(`${path}.1.gz`, `${path}.3.gz`);
    rotate();
    compress(1);
    renameSync(`${path}.1.gz`, `${path}.2.gz`);
    appendFileSync(path, lines(25, 30));
    rotate();
    compress(1);
    appendFileSync(path, lines(30, 35));
    alive = false;
    for (const exit of exits) exit();
    expect(await numbers(chunks)).toEqual(range(20, 35));
  });
});
