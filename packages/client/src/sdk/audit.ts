// The SDK's audit record: who did what, as the daemon wrote it down.
import type { Readable } from "node:stream";
import type { Channel } from "./channel.ts";
import { withQuery } from "./query.ts";

/** One call that was made. */
export interface AuditRecord {
  kind: "record";
  sequence: number;
  /** RFC 3339, with nanoseconds. */
  time: string;
  /** Such as "cert:alice". */
  caller: string;
  role: string;
  from: string;
  /** Such as "container:create". */
  action: string;
  method: string;
  path: string;
  /** Such as "container/web". */
  object: string;
  /** What the request's body said, secrets left out. */
  asked?: unknown;
  status: number;
  result: "ok" | "refused" | "failed";
  message?: string;
  /** Milliseconds. */
  duration: number;
  /** Hashes that chain the records together. */
  previous: string;
  hash: string;
}

/** A signature over everything before it. */
export interface AuditCheckpoint {
  kind: "checkpoint";
  sequence: number;
  time: string;
  hash: string;
  signature: string;
}

/** Which records. All of them have to hold. */
export interface AuditQuery {
  since?: string | undefined;
  until?: string | undefined;
  caller?: string | undefined;
  action?: string | undefined;
  object?: string | undefined;
  result?: string | undefined;
  /** How many of the last ones. */
  tail?: number | undefined;
  /** Goes on with those that come. */
  follow?: boolean;
}

export class Audit {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Records, the oldest first. */
  records(query: AuditQuery = {}): AsyncGenerator<AuditRecord> {
    return this.#channel.lines<AuditRecord>({ path: withQuery("/tsd/audit", { ...query }) });
  }

  /** Every record and checkpoint in order, as lines of JSON. */
  async export(): Promise<Readable> {
    return (await this.#channel.send({ path: "/tsd/audit/export" })).body;
  }

  /** The public key that checkpoints are signed with. */
  key(): Promise<{ PublicKey: string; Fingerprint: string }> {
    return this.#channel.json({ path: "/tsd/audit/key" });
  }
}
