// The SDK's roles: who may do what.
import type { Channel } from "./channel.ts";

/** Who the daemon takes the caller for. */
export interface Identity {
  /** Such as "cert:alice". */
  Caller: string;
  Role: string;
  From: string;
  /** Actions that are allowed, such as "container:*". */
  Allow: string[];
  /** Whether that holds for all objects, or only for the caller's own. */
  Scope: "all" | "own";
  /** What containers it creates may have; null for no limits. */
  Limits?: Readonly<Record<string, unknown>> | null;
}

export class Roles {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Who we are to the daemon, and what we may do. */
  whoami(): Promise<Identity> {
    return this.#channel.json({ path: "/tsd/whoami" });
  }

  /** Checks a roles file's content. Rejects with status 400 and the name of the field that is wrong. */
  check(content: unknown): Promise<{ Roles: string[]; Callers: number; Warnings: string[] | null }> {
    return this.#channel.json({ method: "POST", path: "/tsd/roles/check", body: content });
  }
}
