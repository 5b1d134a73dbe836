// The policies there are, one for a network at most: applied, compared, asked, and watched for what they deny.
import type { PolicyRequest } from "../../api/schemas/policy.ts";
import type { DeniedFlow, PolicyMember, PolicyTables } from "../../runtime/network/policy-tables.ts";
import { everything, type Sight } from "../access/caller.ts";
import type { Container, ContainerRegistry } from "../containers/registry.ts";
import { conflict, EngineError, notFound } from "../errors.ts";
import type { MembershipWatcher } from "../networks/memberships.ts";
import type { Network } from "../networks/network.ts";
import type { NetworkService } from "../networks/service.ts";
import { labelsOf } from "./labels.ts";
import { difference, evaluate, type Policy, parsePolicy, parseTraffic } from "./policy.ts";

/** Keeps policies over the daemon's life, by their networks' ids. Every method is synchronous. */
export interface PolicyStore {
  all(): { network: string; request: PolicyRequest }[];
  save(network: string, request: PolicyRequest): void;
  delete(network: string): void;
}

export interface PolicyParts {
  store: PolicyStore;
  networks: NetworkService;
  tables: PolicyTables;
  report: (problem: unknown, what: string) => void;
}

interface Kept {
  request: PolicyRequest;
  policy: Policy;
}

/** Milliseconds between two looks at what was denied. */
const LOOK_EVERY = 2000;
/** Denied connections that are told of in one look. */
const MOST_TOLD = 50;
const protocolNames: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmp",
  132: "sctp",
};

export class PolicyService implements MembershipWatcher {
  readonly #parts: PolicyParts;
  readonly #policies = new Map<string, Kept>();
  /** Everybody who is in a network, by network and container. */
  readonly #members = new Map<string, Map<string, PolicyMember>>();
  readonly #told = new Map<string, bigint>();
  #timer: NodeJS.Timeout | undefined;
  /** Set when there are containers. */
  registry: ContainerRegistry | undefined;

  constructor(parts: PolicyParts) {
    this.#parts = parts;
    for (const { network, request } of parts.store.all())
      this.#policies.set(network, { request, policy: parsePolicy(request) });
  }

  /** Puts every policy in force, once it is known who is in which network. */
  open(): void {
    for (const [id, { policy }] of this.#policies) {
      const network = this.#parts.networks.look(id, everything);
      try {
        if (network) this.#enforce(network, policy);
      } catch (error) {
        this.#parts.report(error, `policy of network ${network?.name}`);
      }
    }
    this.#timer = setInterval(() => this.#tellDenied(), LOOK_EVERY);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  joined(networkId: string, id: string, member: PolicyMember): void {
    const members = this.#members.get(networkId) ?? new Map<string, PolicyMember>();
    this.#members.set(networkId, members.set(id, member));
    this.#parts.tables.join(networkId, id, member);
  }

  left(networkId: string, id: string): void {
    this.#members.get(networkId)?.delete(id);
    this.#parts.tables.leave(networkId, id);
  }

  networkRemoved(networkId: string): void {
    this.#members.delete(networkId);
    if (!this.#policies.delete(networkId)) return;
    this.#parts.tables.remove(networkId);
    this.#parts.store.delete(networkId);
  }

  #enforce(network: Network, policy: Policy): void {
    this.#parts.tables.apply(
      network.id,
      network.link.index,
      policy,
      this.#members.get(network.id) ?? new Map(),
    );
  }

  /** Gives a network a policy; with `dryRun` only says what would change. Nothing has changed if it fails. */
  apply(network: Network, request: PolicyRequest, dryRun: boolean): { removed: string[]; added: string[] } {
    const policy = parsePolicy(request);
    const { bridge, name, link, id } = network;
    if (!bridge || link.index === 0) throw conflict(`network ${name} is no bridge: it can have no policy`);
    if (!bridge.icc)
      throw conflict(
        `network ${name} lets no containers talk to each other (enable_icc=false): a policy could open nothing`,
      );
    const before = this.#policies.get(id);
    const changes = difference(before?.policy, policy);
    if (dryRun) return changes;
    try {
      this.#enforce(network, policy);
    } catch (error) {
      throw new EngineError(
        "system",
        `the policy of network ${name} was not applied: ${(error as Error).message}`,
        { cause: error },
      );
    }
    try {
      this.#parts.store.save(id, request);
    } catch (error) {
      if (before) this.#enforce(network, before.policy);
      else this.#parts.tables.remove(id);
      throw error;
    }
    this.#policies.set(id, { request, policy });
    this.#parts.networks.announce(network, "policy", {
      rules: String(policy.rules.length),
      default: policy.fallback,
    });
    return changes;
  }

  remove(network: Network): void {
    this.#get(network);
    this.#parts.store.delete(network.id);
    this.#policies.delete(network.id);
    this.#parts.tables.remove(network.id);
    this.#parts.networks.announce(network, "policy", { removed: "true" });
  }

  #get(network: Network): Kept {
    const kept = this.#policies.get(network.id);
    if (!kept) throw notFound(`network ${network.name} has no policy`);
    return kept;
  }

  /** The networks of somebody's that have a policy. */
  list(sight: Sight): object[] {
    return this.#parts.networks
      .seenBy(sight)
      .flatMap((network) => (this.#policies.has(network.id) ? [this.view(network)] : []));
  }

  /** A policy, how often each of its rules has decided, and what was denied in the last hour. */
  view(network: Network): object {
    const { request, policy } = this.#get(network);
    const { rules, denied } = this.#parts.tables.read(network.id);
    const counted = (text: string): object => {
      const { packets, bytes } = rules.get(text) ?? { packets: 0n, bytes: 0n };
      return { Packets: Number(packets), Bytes: Number(bytes) };
    };
    return {
      Network: network.name,
      NetworkId: network.id,
      Default: request.Default,
      Rules: request.Rules,
      Hits: [
        ...policy.rules.map(({ text }) => ({ Rule: text, ...counted(text) })),
        { Rule: `default ${policy.fallback}`, ...counted(`default ${policy.fallback}`) },
      ],
      Denied: denied.map((flow) => this.#deniedView(network, flow)),
    };
  }

  #deniedView(network: Network, { from, to, protocol, port, packets }: DeniedFlow): Record<string, unknown> {
    const name = (address: string): string => this.#nameOf(network, address) ?? address;
    const kind = protocolNames[protocol] ?? String(protocol);
    return {
      From: name(from),
      To: name(to),
      Traffic: kind === "icmp" ? kind : `${kind}/${port}`,
      Packets: Number(packets),
    };
  }

  #nameOf(network: Network, address: string): string | undefined {
    for (const [id, member] of this.#members.get(network.id) ?? [])
      if (member.addresses.includes(address)) return this.registry?.look(id, everything)?.name;
    return undefined;
  }

  /** What would become of one connection, and by which rule. */
  test(network: Network, from: Container, to: Container, text: string): object {
    const { policy } = this.#get(network);
    const asked = parseTraffic(text);
    for (const container of [from, to])
      if (!network.endpoints.has(container.id))
        throw conflict(`container ${container.name} is not in network ${network.name}`);
    const { allowed, rule } = evaluate(policy, labelsOf(from), labelsOf(to), asked);
    return { Allowed: allowed, Rule: rule?.text ?? `default ${policy.fallback}` };
  }

  /** Who may talk to whom, for every two containers that are in the network. */
  graph(network: Network, sight: Sight): object {
    const { policy } = this.#get(network);
    const members = [...network.endpoints.keys()].flatMap((id) => this.registry?.look(id, sight) ?? []);
    const edges = members.flatMap((from) =>
      members.flatMap((to) => {
        if (from === to) return [];
        const allowed = policy.rules.filter(
          (rule) =>
            rule.action === "allow" && rule.from.matches(labelsOf(from)) && rule.to.matches(labelsOf(to)),
        );
        const open = allowed
          .filter((rule) => evaluate(policy, labelsOf(from), labelsOf(to), rule.traffic).rule === rule)
          .map(({ text }) => text.split(" ").at(-1) ?? "");
        const traffic = policy.fallback === "allow" ? ["any", ...open] : open;
        return traffic.length > 0 ? [{ From: from.name, To: to.name, Traffic: [...new Set(traffic)] }] : [];
      }),
    );
    return { Network: network.name, Nodes: members.map(({ name }) => name), Edges: edges };
  }

  /** Tells of connections that were denied since the last look. */
  #tellDenied(): void {
    let told = 0;
    for (const id of this.#policies.keys()) {
      const network = this.#parts.networks.look(id, everything);
      if (!network) continue;
      try {
        for (const flow of this.#parts.tables.read(id).denied) {
          const key = `${id} ${flow.from} ${flow.to} ${flow.protocol} ${flow.port}`;
          if (this.#told.get(key) === flow.packets) continue;
          if (this.#told.size > 100_000) this.#told.clear();
          this.#told.set(key, flow.packets);
          if (++told > MOST_TOLD) return;
          const { From, To, Traffic, Packets } = this.#deniedView(network, flow);
          this.#parts.networks.announce(network, "deny", {
            from: String(From),
            to: String(To),
            traffic: String(Traffic),
            packets: String(Packets),
          });
        }
      } catch (error) {
        this.#parts.report(error, `what network ${network.name} denied`);
      }
    }
  }
}
