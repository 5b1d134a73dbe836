// The SDK's service chains.
import type { Channel } from "./channel.ts";

export interface ChainCreate {
  Name: string;
  Network: string;
  /** Selectors, as in policies. */
  From: string;
  To: string;
  /** Containers, in the order in which traffic goes through them. */
  Via: string[];
  Mode?: "inline" | "mirror";
  /** What becomes of the traffic while a member is missing; closed unless told otherwise. */
  OnFailure?: "closed" | "open";
}

export interface ChainView {
  Name: string;
  Network: string;
  From: string;
  To: string;
  Via: { Id: string; Name: string; Present: boolean }[];
  Mode: "inline" | "mirror";
  OnFailure: "closed" | "open";
  State: "intact" | "blocked" | "bypassed";
}

const path = (name: string): string => `/tsd/chains/${encodeURIComponent(name)}`;

/** Service chains, by name. */
export class Chains {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  list(): Promise<ChainView[]> {
    return this.#channel.json({ path: "/tsd/chains" });
  }

  inspect(name: string): Promise<ChainView> {
    return this.#channel.json({ path: path(name) });
  }

  create(request: ChainCreate): Promise<ChainView> {
    return this.#channel.json({ method: "POST", path: "/tsd/chains", body: request });
  }

  remove(name: string): Promise<void> {
    return this.#channel.done({ method: "DELETE", path: path(name) });
  }
}
