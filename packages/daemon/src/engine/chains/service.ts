// The service chains there are: made, removed, and kept true while containers come and go.
import { writeFileSync } from "node:fs";
import { findLink, inNetworkNamespace } from "@tsd/kernel-bindings";
import type { ChainRequest } from "../../api/schemas/chain.ts";
import type { ChainTables } from "../../runtime/network/chain-tables.ts";
import type { HostTables } from "../../runtime/network/host-tables.ts";
import { type Caller, everything, type Sight } from "../access/caller.ts";
import type { Container, ContainerRegistry } from "../containers/registry.ts";
import { conflict, EngineError, notFound } from "../errors.ts";
import type { MembershipWatcher, WatchedMember } from "../networks/memberships.ts";
import type { Network } from "../networks/network.ts";
import type { NetworkService } from "../networks/service.ts";
import { type Chain, parseChain, planChain, stateOf } from "./chain.ts";

/** A chain as it is kept: its request, with ids in place of names. */
export interface ChainRecord {
  name: string;
  owner: string;
  networkId: string;
  via: string[];
  request: ChainRequest;
}

/** Keeps chains over the daemon's life. Every method is synchronous. */
export interface ChainStore {
  all(): ChainRecord[];
  insert(record: ChainRecord): void;
  delete(name: string): void;
}

export interface ChainParts {
  store: ChainStore;
  networks: NetworkService;
  tables: ChainTables;
  hostTables: HostTables;
  report: (problem: unknown, what: string) => void;
}

interface Kept {
  record: ChainRecord;
  chain: Chain;
}

const nobody: ReadonlyMap<string, WatchedMember> = new Map();
/** What makes a container pass on what is not for itself, without telling senders of shorter ways. */
const forwarding: readonly (readonly [path: string, value: string])[] = [
  ["ipv4/ip_forward", "1"],
  ["ipv4/conf/all/send_redirects", "0"],
  ["ipv4/conf/default/send_redirects", "0"],
  ["ipv4/conf/all/rp_filter", "0"],
  ["ipv6/conf/all/forwarding", "1"],
];

export class ChainService implements MembershipWatcher {
  readonly #parts: ChainParts;
  readonly #chains = new Map<string, Kept>();
  /** Everybody who is in a network, by network and container. */
  readonly #members = new Map<string, Map<string, WatchedMember>>();
  #opened = false;
  /** Set when there are containers. */
  registry: ContainerRegistry | undefined;

  constructor(parts: ChainParts) {
    this.#parts = parts;
    for (const record of parts.store.all())
      this.#chains.set(record.name, {
        record,
        chain: parseChain(record.request, record.networkId, record.via),
      });
  }

  /** Puts every chain in force, once it is known who is in which network. */
  open(): void {
    this.#opened = true;
    this.#settle();
  }

  joined(networkId: string, id: string, member: WatchedMember): void {
    const members = this.#members.get(networkId) ?? new Map<string, WatchedMember>();
    this.#members.set(networkId, members.set(id, member));
    if (this.#concerns(networkId)) this.#settle();
  }

  left(networkId: string, id: string): void {
    this.#members.get(networkId)?.delete(id);
    if (this.#concerns(networkId)) this.#settle();
  }

  networkRemoved(networkId: string): void {
    this.#members.delete(networkId);
    for (const { record } of [...this.#chains.values()].filter(({ chain }) => chain.networkId === networkId))
      this.#forget(record.name);
  }

  #concerns(networkId: string): boolean {
    return this.#opened && [...this.#chains.values()].some(({ chain }) => chain.networkId === networkId);
  }

  #membersOf({ networkId }: Chain): ReadonlyMap<string, WatchedMember> {
    return this.#members.get(networkId) ?? nobody;
  }

  /** Tells the tables what holds now. */
  #settle(): void {
    const plans = [...this.#chains.values()].map(({ chain }) => planChain(chain, this.#membersOf(chain)));
    const forwards = plans.flatMap((plan) => plan.forwards);
    const { hostTables, tables } = this.#parts;
    hostTables.set("chains", { ports: [], redirects: [], forwards });
    // Who has just joined has no link yet: its copies begin when it has started.
    const copies = plans.flatMap((plan) => plan.copies).filter(({ device }) => findLink(device));
    tables.set(
      plans.flatMap((plan) => plan.ways),
      copies,
    );
  }

  create(request: ChainRequest, caller: Caller): ChainRecord {
    const { networks, store } = this.#parts;
    const network = networks.find(request.Network, caller);
    this.#checkNetwork(network);
    const via = request.Via.map((reference) => this.#find(reference, caller).id);
    const chain = parseChain(request, network.id, via);
    if (this.#chains.has(chain.name)) throw conflict(`a chain with name ${chain.name} already exists`);
    const record: ChainRecord = { name: chain.name, owner: caller.id, networkId: network.id, via, request };
    this.#chains.set(chain.name, { record, chain });
    try {
      this.#settle();
      store.insert(record);
    } catch (error) {
      this.#chains.delete(chain.name);
      this.#settle();
      throw new EngineError("system", `chain ${chain.name} was not made: ${(error as Error).message}`, {
        cause: error,
      });
    }
    for (const id of via) this.#prepare(this.registry?.look(id, everything));
    networks.announce(network, "chain", { chain: chain.name });
    return record;
  }

  #checkNetwork({ bridge, link, name }: Network): void {
    if (!bridge || link.index === 0)
      throw conflict(`network ${name} is no bridge: there can be no chain in it`);
    if (!bridge.icc)
      throw conflict(
        `network ${name} lets no containers talk to each other (enable_icc=false): there can be no chain in it`,
      );
  }

  #find(reference: string, sight: Sight): Container {
    if (!this.registry) throw new Error("there are no containers yet");
    return this.registry.find(reference, sight);
  }

  /** A container has started: a member of an inline chain passes on what comes. */
  started(container: Container): void {
    const inline = [...this.#chains.values()].some(
      ({ chain }) => chain.mode === "inline" && chain.via.includes(container.id),
    );
    if (inline) this.#prepare(container);
    const places = Object.values(container.state.endpoints);
    if (places.some(({ networkId }) => this.#concerns(networkId))) this.#settle();
  }

  ended(): void {
    // What its network tells is enough.
  }

  #prepare(container: Container | undefined): void {
    if (!container?.alive) return;
    try {
      inNetworkNamespace(`/proc/${container.state.pid}/ns/net`, () => {
        for (const [path, value] of forwarding) writeFileSync(`/proc/sys/net/${path}`, value);
        for (const { interface: link } of Object.values(container.state.endpoints))
          if (link) writeFileSync(`/proc/sys/net/ipv4/conf/${link}/send_redirects`, "0");
      });
    } catch (error) {
      this.#parts.report(error, `forwarding of chain member ${container.name}`);
    }
  }

  #get(name: string, sight: Sight): Kept {
    const kept = this.#chains.get(name);
    if (!kept || !sight.sees(kept.record.owner)) throw notFound(`chain ${name} not found`);
    return kept;
  }

  remove(name: string, sight: Sight): void {
    const { chain } = this.#get(name, sight);
    this.#forget(name);
    const network = this.#parts.networks.look(chain.networkId, everything);
    if (network) this.#parts.networks.announce(network, "chain", { chain: name, removed: "true" });
  }

  #forget(name: string): void {
    this.#parts.store.delete(name);
    this.#chains.delete(name);
    this.#settle();
  }

  list(sight: Sight): object[] {
    return [...this.#chains.values()]
      .filter(({ record }) => sight.sees(record.owner))
      .map(({ record }) => this.view(record.name, sight));
  }

  /** A chain, who is in it, and whether it holds. */
  view(name: string, sight: Sight): object {
    const { record, chain } = this.#get(name, sight);
    const members = this.#membersOf(chain);
    return {
      Name: name,
      Network: this.#parts.networks.look(chain.networkId, everything)?.name ?? chain.networkId,
      From: chain.from.text,
      To: chain.to.text,
      Via: chain.via.map((id) => ({
        Id: id,
        Name: this.registry?.look(id, everything)?.name ?? "",
        Present: members.has(id),
      })),
      Mode: chain.mode,
      OnFailure: chain.onFailure,
      State: stateOf(chain, members),
      Owner: record.owner,
    };
  }
}
