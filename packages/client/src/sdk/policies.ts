// The SDK's policies: who may talk to whom within a network.
import type { Channel } from "./channel.ts";
import { withQuery } from "./query.ts";

/** From and To are selectors: "app=web", "app=web,tier!=test", "container=NAME", "*"; traffic is "tcp/5432",
 * "udp/8000-8100", "icmp" or "any". */
export interface PolicyRule {
  From: string;
  To: string;
  Allow?: string[];
  Deny?: string[];
}

export interface Policy {
  /** What holds where no rule fits. */
  Default?: "allow" | "deny";
  Rules: PolicyRule[];
}

export interface PolicyView extends Policy {
  Network: string;
  NetworkId: string;
  /** How often each rule has decided. */
  Hits: { Rule: string; Packets: number; Bytes: number }[];
  /** What was denied in the last hour. */
  Denied: { From: string; To: string; Traffic: string; Packets: number }[];
}

export interface PolicyGraph {
  Network: string;
  Nodes: string[];
  Edges: { From: string; To: string; Traffic: string[] }[];
}

const path = (network: string, rest = ""): string => `/tsd/policies/${encodeURIComponent(network)}${rest}`;

/** Policies, by their networks. */
export class Policies {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  list(): Promise<PolicyView[]> {
    return this.#channel.json({ path: "/tsd/policies" });
  }

  /** A network's policy, with its counters. */
  inspect(network: string): Promise<PolicyView> {
    return this.#channel.json({ path: path(network) });
  }

  /** Gives a network a policy, at once and as a whole; with dryRun only tells what would change. */
  apply(network: string, policy: Policy, dryRun = false): Promise<{ Removed: string[]; Added: string[] }> {
    return this.#channel.json({
      method: "PUT",
      path: withQuery(path(network), { dryrun: dryRun }),
      body: policy,
    });
  }

  remove(network: string): Promise<void> {
    return this.#channel.done({ method: "DELETE", path: path(network) });
  }

  /** What would become of a connection from one container to another, and by which rule. */
  test(
    network: string,
    From: string,
    To: string,
    Traffic: string,
  ): Promise<{ Allowed: boolean; Rule: string }> {
    return this.#channel.json({ method: "POST", path: path(network, "/test"), body: { From, To, Traffic } });
  }

  /** Which two containers may talk, and how. */
  graph(network: string): Promise<PolicyGraph> {
    return this.#channel.json({ path: path(network, "/graph") });
  }
}
