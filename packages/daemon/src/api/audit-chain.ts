// The audit record's form, and how a chain of it is checked: by the daemon that writes it and by whoever has an export of it
// and the public key. Each record holds the hash of the one before it; checkpoints sign the hash that was reached.
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";

/** One request that changed, or tried to change, something. */
export interface AuditRecord {
  kind: "record";
  /** From 1 on, without gaps. */
  sequence: number;
  /** RFC 3339 with nanoseconds. */
  time: string;
  /** cert:NAME, unix:UID or anonymous. */
  caller: string;
  role: string;
  /** The address it called from, or the pid at a unix socket. */
  from: string;
  /** The permission it took: container:create. */
  action: string;
  method: string;
  /** The route, with its parameters' names. */
  path: string;
  /** What it was about: container/NAME; "" for nothing in particular. */
  object: string;
  /** What was asked for, as far as it bears on safety; nothing secret. */
  asked: Readonly<Record<string, unknown>>;
  /** The HTTP status that was answered. */
  status: number;
  result: "ok" | "refused" | "failed";
  message: string;
  /** Milliseconds until the answer began. */
  duration: number;
  /** The hash of the record before; zeros for the first. */
  previous: string;
  hash: string;
}

/** A signature over the chain so far. */
export interface AuditCheckpoint {
  kind: "checkpoint";
  /** The last record it covers. */
  sequence: number;
  time: string;
  hash: string;
  /** Ed25519, in base64. */
  signature: string;
}

export const FIRST_PREVIOUS = "0".repeat(64);

/** The hash of a record: SHA-256 over its fields in this order, as JSON. */
export function recordHash(record: Omit<AuditRecord, "hash">): string {
  const { sequence, time, caller, role, from, action, method, path, object } = record;
  const { asked, status, result, message, duration, previous } = record;
  const fields = [sequence, time, caller, role, from, action, method, path, object];
  const text = JSON.stringify([...fields, asked, status, result, message, duration, previous]);
  return createHash("sha256").update(text).digest("hex");
}

/** The bytes that a checkpoint signs. */
export const checkpointBytes = (checkpoint: Omit<AuditCheckpoint, "signature" | "kind">): Buffer =>
  Buffer.from(`tsd-audit-checkpoint\n${checkpoint.sequence}\n${checkpoint.time}\n${checkpoint.hash}\n`);

/** The SHA-256 of a public key's DER form: what to compare it by. */
export const keyFingerprint = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("hex");

export interface ChainProblem {
  /** The record it is about. */
  sequence: number;
  problem: string;
}

export interface ChainReport {
  records: number;
  checkpoints: number;
  problems: ChainProblem[];
}

const isHash = (value: unknown): value is string => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);

/** Takes the lines of an export in their order, and tells what does not fit. */
export class ChainVerifier {
  readonly #key: KeyObject;
  readonly #pinned: ReadonlyMap<number, string>;
  readonly #problems: ChainProblem[] = [];
  /** Sequences that were passed over, as ranges, in case they come later. */
  #gaps: { first: number; last: number }[] = [];
  #records = 0;
  #checkpoints = 0;
  #next = 1;
  #previous: { sequence: number; hash: string } = { sequence: 0, hash: FIRST_PREVIOUS };
  /** The furthest record that a checkpoint covers. */
  #covered = 0;

  /** `pinned` are hashes known from elsewhere: an earlier export, a log on another machine. */
  constructor(
    publicKeyPem: string,
    options: { pinned?: readonly { sequence: number; hash: string }[] } = {},
  ) {
    this.#key = createPublicKey(publicKeyPem);
    this.#pinned = new Map((options.pinned ?? []).map(({ sequence, hash }) => [sequence, hash]));
  }

  push(line: unknown): void {
    const item = line as Partial<AuditRecord | AuditCheckpoint> | null;
    if (item?.kind === "record" && Number.isInteger(item.sequence) && isHash(item.hash))
      this.#record(item as AuditRecord);
    else if (item?.kind === "checkpoint" && Number.isInteger(item.sequence) && isHash(item.hash))
      this.#checkpoint(item as AuditCheckpoint);
    else this.#tell(this.#next, "a line that is neither a record nor a checkpoint stands in its place");
  }

  finish(): ChainReport {
    for (const { first, last } of this.#gaps) this.#tell(first, `${span(first, last)} missing`);
    const end = this.#next - 1;
    const furthest = Math.max(this.#covered, ...this.#pinned.keys());
    if (furthest > end)
      this.#tell(end + 1, `${span(end + 1, furthest)} missing at the end: they were signed for`);
    return { records: this.#records, checkpoints: this.#checkpoints, problems: [...this.#problems] };
  }

  #tell(sequence: number, problem: string): void {
    this.#problems.push({ sequence, problem });
  }

  #record(record: AuditRecord): void {
    this.#records++;
    const { sequence, hash } = record;
    const before = this.#previous;
    const inOrder = sequence === this.#next;
    if (sequence > this.#next) this.#gaps.push({ first: this.#next, last: sequence - 1 });
    else if (!inOrder) this.#late(sequence, before.sequence);
    if (recordHash(record) !== hash)
      this.#tell(sequence, "was changed: its hash is not that of what it says");
    else if (inOrder && record.previous !== before.hash)
      this.#tell(
        Math.max(1, before.sequence),
        `was replaced, or ${sequence} put in its stead: ${sequence} follows another record`,
      );
    const pinned = this.#pinned.get(sequence);
    if (pinned !== undefined && pinned !== hash)
      this.#tell(sequence, "is not the record that is known under this number");
    if (sequence < this.#next) return;
    this.#previous = { sequence, hash };
    this.#next = sequence + 1;
  }

  /** A record whose place was passed already. */
  #late(sequence: number, after: number): void {
    const gap = this.#gaps.find(({ first, last }) => first <= sequence && sequence <= last);
    if (!gap) {
      this.#tell(sequence, "stands there twice");
      return;
    }
    this.#tell(sequence, `is out of order: it stands after ${after}`);
    this.#gaps = this.#gaps.flatMap((range) =>
      range === gap
        ? [
            { first: gap.first, last: sequence - 1 },
            { first: sequence + 1, last: gap.last },
          ].filter(({ first, last }) => first <= last)
        : [range],
    );
  }

  #checkpoint(checkpoint: AuditCheckpoint): void {
    this.#checkpoints++;
    const { sequence, hash, signature } = checkpoint;
    if (!verify(null, checkpointBytes(checkpoint), this.#key, Buffer.from(String(signature), "base64"))) {
      this.#tell(sequence, "its checkpoint is not signed by this key");
      return;
    }
    if (this.#previous.sequence === sequence && this.#previous.hash !== hash)
      this.#tell(sequence, `records up to this one were written anew: ${checkpoint.time} signed for others`);
    this.#covered = Math.max(this.#covered, sequence);
  }
}

const span = (first: number, last: number): string =>
  first === last ? `record ${first} is` : `records ${first} to ${last} are`;
