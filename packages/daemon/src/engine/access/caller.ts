// Who calls: a peer as the transport knows it, and the caller that roles make of it.
import { EngineError } from "../errors.ts";
import type { Permission } from "./permissions.ts";
import type { Role } from "./role.ts";

/** The other end of a connection, as far as it has been proved. */
export type Peer =
  | {
      kind: "certificate";
      commonName: string;
      organizationalUnits: readonly string[];
      /** As OpenSSL writes them: "DNS:a", "IP Address:10.0.0.1", "email:b". */
      alternativeNames: readonly string[];
      /** Upper-case hex without leading zeros. */
      serial: string;
      fingerprint: string;
      /** Milliseconds since the epoch. */
      expires: number;
    }
  | { kind: "unix"; uid: number; gid: number; pid: number }
  /** Plain TCP, or TLS where nobody is asked for a certificate. */
  | { kind: "anonymous" }
  /** TLS without the certificate that was asked for: let in for /_ping, where that is configured. */
  | { kind: "stranger" };

export const ANONYMOUS = "anonymous";

/** What objects are owned by and records speak of. A certificate's name can't be mistaken for a user's number. */
export function callerId(peer: Peer): string {
  if (peer.kind === "certificate") return `cert:${peer.commonName}`;
  if (peer.kind === "unix") return `unix:${peer.uid}`;
  return peer.kind === "anonymous" ? ANONYMOUS : "stranger";
}

/** Whose objects exist for somebody. */
export interface Sight {
  sees(owner: string): boolean;
}

/** The engine's own: it looks after everything. */
export const everything: Sight = { sees: () => true };

export class Caller implements Sight {
  readonly id: string;
  /** The address it calls from, or the pid at a unix socket. */
  readonly from: string;
  /** Undefined when no role fits. */
  readonly role: Role | undefined;
  /** Why it may not do what others may; "" where its role says all. */
  readonly reason: string;

  constructor(id: string, from: string, role: Role | undefined, reason = "") {
    this.id = id;
    this.from = from;
    this.role = role;
    this.reason = reason;
  }

  allows(permission: Permission): boolean {
    return this.role?.permissions.has(permission) ?? false;
  }

  /** Whether an object of this owner exists for the caller. What has no owner belongs to those who see everything. */
  sees(owner: string): boolean {
    return this.role?.scope === "all" || (owner === this.id && this.role !== undefined);
  }
}

/** Docker's status and introduction for what an authorisation plugin denies. */
export const denied = (caller: Caller, what: string): EngineError =>
  new EngineError(
    "forbidden",
    caller.reason
      ? `authorization denied: ${caller.reason}`
      : `authorization denied: role ${caller.role?.name} of ${caller.id} does not allow ${what}`,
  );
