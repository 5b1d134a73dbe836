// One process at a time changes an authority: a lock file that names its holder, so that a dead one's is taken over.
import { closeSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CertificatesError, errorCode } from "./errors.ts";

const PATIENCE_MS = 30_000;
const RETRY_MS = 25;
const UNMARKED_MS = 5_000;

/** When a process started, in clock ticks since boot (/proc/PID/stat, field 22): tells it from a later one of its id. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ESRCH") return undefined;
    throw error;
  }
}

const ownMark = (): string => `${process.pid} ${startOf(process.pid) ?? ""}\n`;

/** Makes the file with its content unless it exists. */
function tryCreate(path: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, "wx", 0o600);
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
  try {
    writeFileSync(descriptor, ownMark());
  } finally {
    closeSync(descriptor);
  }
  return true;
}

/** What of the lock is there, or undefined when it is gone. */
function readLock(path: string): { text: string; ageMs: number } | undefined {
  try {
    return { text: readFileSync(path, "utf8"), ageMs: Date.now() - statSync(path).mtimeMs };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Whether the lock's holder is dead. A lock without its holder's mark is being written at this moment, or never will. */
function isStale(path: string): boolean {
  const lock = readLock(path);
  if (!lock) return false;
  const match = /^(\d+) (\d*)\n$/.exec(lock.text);
  if (!match) return lock.ageMs > UNMARKED_MS;
  const started = startOf(Number(match[1]));
  return started === undefined || started !== match[2];
}

/** Removes a dead holder's lock; under a lock of its own, so that no two do it and one removes the other's new lock. */
function breakStale(path: string): void {
  if (!isStale(path)) return;
  const breaker = `${path}-takeover`;
  if (!tryCreate(breaker)) return;
  try {
    // Looked at again: another may have taken it over meanwhile, and it is theirs.
    if (isStale(path)) rmSync(path, { force: true });
  } finally {
    rmSync(breaker, { force: true });
  }
}

/** Does synchronous work with the directory's lock held. Throws when another process keeps it for 30 seconds. */
export async function withLock<T>(directory: string, work: () => T): Promise<T> {
  const path = join(directory, ".lock");
  const patientUntil = Date.now() + PATIENCE_MS;
  while (!tryCreate(path)) {
    if (Date.now() > patientUntil) {
      const holder = readLock(path)?.text.split(" ")[0] || "unknown";
      throw new CertificatesError(
        `${path}: held by process ${holder} for 30 seconds; if it is dead, remove ${path}*`,
      );
    }
    breakStale(path);
    await sleep(RETRY_MS);
  }
  try {
    return work();
  } finally {
    rmSync(path, { force: true });
  }
}
