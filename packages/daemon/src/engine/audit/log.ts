// The audit record: appended to, never changed; chained by hash; signed every second that something happened in.
import { createPublicKey, type KeyObject, sign } from "node:crypto";
import {
  type AuditCheckpoint,
  type AuditRecord,
  checkpointBytes,
  FIRST_PREVIOUS,
  keyFingerprint,
  recordHash,
} from "../../api/audit-chain.ts";
import { EngineError } from "../errors.ts";
import { now, parseTime } from "../timestamps.ts";
import type { AuditLine, AuditStore, CheckpointMemory } from "./store.ts";

/** What is to be written down of a request. */
export type AuditEntry = Omit<AuditRecord, "kind" | "sequence" | "time" | "previous" | "hash">;

export interface AuditFilter {
  /** Nanoseconds since the epoch. */
  since?: bigint | undefined;
  until?: bigint | undefined;
  caller?: string | undefined;
  /** container:create, or container for all of it. */
  action?: string | undefined;
  /** The beginning of an object's name. */
  object?: string | undefined;
  result?: string | undefined;
}

const CHECKPOINT_MILLISECONDS = 1000;
const CHECKPOINT_RECORDS = 1000;
/** Records that could not be written wait in memory; when there are so many, nothing may be changed any more. */
const MAXIMUM_UNSAVED = 1000;
const TRY_AGAIN_MILLISECONDS = 1000;
/** Records that are read in one turn of the event loop. */
const PAGE = 500;
/** Records that one client may leave unread. */
const MAXIMUM_UNREAD = 10_000;

export interface AuditLogParts {
  store: AuditStore;
  /** Ed25519. */
  privateKey: KeyObject;
  memory: CheckpointMemory;
  report: (problem: unknown, what: string) => void;
  /** Told of each checkpoint, so that a log kept elsewhere knows it too. */
  announce: (checkpoint: AuditCheckpoint) => void;
}

export class AuditLog {
  readonly #parts: AuditLogParts;
  readonly publicKey: { pem: string; fingerprint: string };
  readonly #listeners = new Set<(record: AuditRecord) => void>();
  #head: { sequence: number; hash: string };
  #signed: number;
  #unsaved: AuditLine[] = [];
  #checkpointTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;

  constructor(parts: AuditLogParts) {
    this.#parts = parts;
    const key = createPublicKey(parts.privateKey);
    this.publicKey = {
      pem: String(key.export({ type: "spki", format: "pem" })),
      fingerprint: keyFingerprint(key),
    };
    const last = parse<AuditRecord>(parts.store.last()?.text);
    const remembered = parse<AuditCheckpoint>(parts.memory.read());
    this.#head = { sequence: last?.sequence ?? 0, hash: last?.hash ?? FIRST_PREVIOUS };
    if (remembered && remembered.sequence > this.#head.sequence) {
      // Cut short while no daemon ran. The gap stays to be seen: what follows is numbered on from what was signed for.
      parts.report(
        new Error(`records ${this.#head.sequence + 1} to ${remembered.sequence} are gone`),
        "the audit record was cut short",
      );
      this.#head = { sequence: remembered.sequence, hash: remembered.hash };
    }
    if (remembered)
      parts.store.addCheckpoint({ sequence: remembered.sequence, text: JSON.stringify(remembered) });
    this.#signed = remembered?.sequence ?? 0;
  }

  get length(): number {
    return this.#head.sequence;
  }

  /** Whether changes can still be recorded. */
  checkWritable(): void {
    if (this.#unsaved.length >= MAXIMUM_UNSAVED)
      throw new EngineError("unavailable", "the audit record can't be written: nothing is changed meanwhile");
  }

  /** Writes a record down before its request is answered. */
  append(entry: AuditEntry): void {
    const { sequence, hash: previous } = this.#head;
    const unhashed = { kind: "record" as const, sequence: sequence + 1, time: now(), ...entry, previous };
    const record: AuditRecord = { ...unhashed, hash: recordHash(unhashed) };
    this.#head = { sequence: record.sequence, hash: record.hash };
    this.#unsaved.push({ sequence: record.sequence, text: JSON.stringify(record) });
    this.#save();
    for (const listener of this.#listeners) listener(record);
    if (record.sequence - this.#signed >= CHECKPOINT_RECORDS) this.checkpoint();
    else this.#checkpointTimer ??= setTimeout(() => this.checkpoint(), CHECKPOINT_MILLISECONDS).unref();
  }

  #save(): void {
    const { store, report } = this.#parts;
    try {
      for (let line = this.#unsaved[0]; line; line = this.#unsaved[0]) {
        store.append(line);
        this.#unsaved.shift();
      }
    } catch (error) {
      if (this.#retryTimer) return;
      report(error, "writing the audit record");
      this.#retryTimer = setTimeout(() => {
        this.#retryTimer = undefined;
        this.#save();
      }, TRY_AGAIN_MILLISECONDS).unref();
    }
  }

  /** Signs for the record so far, if there is anything new in it. */
  checkpoint(): void {
    clearTimeout(this.#checkpointTimer);
    this.#checkpointTimer = undefined;
    const { sequence, hash } = this.#head;
    if (sequence === this.#signed) return;
    const { store, memory, privateKey, report, announce } = this.#parts;
    const unsigned = { sequence, time: now(), hash };
    const signature = sign(null, checkpointBytes(unsigned), privateKey).toString("base64");
    const checkpoint: AuditCheckpoint = { kind: "checkpoint", ...unsigned, signature };
    const text = JSON.stringify(checkpoint);
    try {
      store.addCheckpoint({ sequence, text });
      memory.write(text);
      this.#signed = sequence;
      announce(checkpoint);
    } catch (error) {
      report(error, "signing the audit record");
    }
  }

  /** Everything as lines of JSON: records in the order of their places, each checkpoint after its record. */
  async *export(): AsyncGenerator<string> {
    this.checkpoint();
    const { store } = this.#parts;
    let next = 1;
    for (let page = store.from(next, PAGE); page.length > 0; page = store.from(next, PAGE)) {
      const last = page.at(-1)?.sequence ?? next;
      const signed = new Map(store.checkpoints(next, last).map(({ sequence, text }) => [sequence, text]));
      let lines = "";
      for (const { sequence, text } of page) {
        lines += `${text}\n`;
        const checkpoint = signed.get(sequence);
        if (checkpoint) lines += `${checkpoint}\n`;
        signed.delete(sequence);
      }
      // Of records that are not there.
      for (const text of signed.values()) lines += `${text}\n`;
      yield lines;
      next = last + 1;
      await turn();
    }
    for (const { text } of store.checkpoints(next, Number.MAX_SAFE_INTEGER)) yield `${text}\n`;
  }

  /** Records that fit, oldest first, as lines of JSON: the last `tail` of them, then, with `follow`, those to come. */
  async *lines(
    filter: AuditFilter,
    options: { tail: number | undefined; follow: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    let live: AuditRecord[] = [];
    let lost = false;
    let wake: (() => void) | undefined;
    const listener = (record: AuditRecord): void => {
      if (matches(filter, record)) live.push(record);
      if (live.length > MAXIMUM_UNREAD) {
        this.#listeners.delete(listener);
        live = [];
        lost = true;
      }
      wake?.();
    };
    const abort = (): void => wake?.();
    if (options.follow) this.#listeners.add(listener);
    signal.addEventListener("abort", abort);
    const end = this.#head.sequence;
    try {
      yield* this.#past(filter, options.tail, end, signal);
      while (options.follow && !signal.aborted) {
        for (let record = live.shift(); record; record = live.shift())
          if (record.sequence > end) yield `${JSON.stringify(record)}\n`;
        if (lost) throw new Error("the client read too slowly: records went past it");
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (live.length > 0 || lost || signal.aborted) resolve();
        });
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener("abort", abort);
    }
  }

  async *#past(
    filter: AuditFilter,
    tail: number | undefined,
    end: number,
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    if (tail !== undefined) {
      const found: string[] = [];
      for (let last = end; last > 0 && found.length < tail && !signal.aborted; last -= PAGE) {
        const first = Math.max(1, last - PAGE + 1);
        const page = this.#parts.store.from(first, PAGE).filter(({ sequence }) => sequence <= last);
        for (const { text } of page.reverse())
          if (found.length < tail && matches(filter, JSON.parse(text))) found.push(`${text}\n`);
        await turn();
      }
      yield found.reverse().join("");
      return;
    }
    for (let next = 1; next <= end && !signal.aborted; ) {
      const page = this.#parts.store.from(next, PAGE);
      if (page.length === 0) return;
      let lines = "";
      for (const { sequence, text } of page)
        if (sequence <= end && matches(filter, JSON.parse(text))) lines += `${text}\n`;
      if (lines) yield lines;
      next = (page.at(-1)?.sequence ?? end) + 1;
      await turn();
    }
  }

  close(): void {
    this.checkpoint();
    clearTimeout(this.#retryTimer);
    this.#parts.store.close();
  }
}

const parse = <T>(text: string | undefined): T | undefined =>
  text === undefined ? undefined : (JSON.parse(text) as T);

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function matches(filter: AuditFilter, record: AuditRecord): boolean {
  const { since, until, caller, action, object, result } = filter;
  const time = since === undefined && until === undefined ? 0n : (parseTime(record.time) ?? 0n);
  return (
    (since === undefined || time >= since) &&
    (until === undefined || time <= until) &&
    (caller === undefined || record.caller === caller || record.caller.split(":")[1] === caller) &&
    (action === undefined || record.action === action || record.action.startsWith(`${action}:`)) &&
    (object === undefined ||
      record.object.startsWith(object) ||
      (record.object.split("/")[1] ?? "").startsWith(object)) &&
    (result === undefined || record.result === result)
  );
}
