// The SDK's audit record: who did what, as the daemon wrote it down.
import type { Readable } from "node:stream";
import type { AuditCheckpoint, AuditRecord } from "@tsd/daemon/api/audit-chain";
import type { Channel } from "./channel.ts";
import { withQuery } from "./query.ts";

export type { AuditCheckpoint, AuditRecord };

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
