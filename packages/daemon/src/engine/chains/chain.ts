// Service chains: read, checked, and worked out into the ways that frames take. Pure.
import type { ChainRequest } from "../../api/schemas/chain.ts";
import type { Copy, Way } from "../../runtime/network/chain-tables.ts";
import { invalid } from "../errors.ts";
import type { WatchedMember } from "../networks/memberships.ts";
import { parseSelector, type Selector } from "../policies/selector.ts";

export interface Chain {
  name: string;
  networkId: string;
  from: Selector;
  to: Selector;
  /** Ids of containers. */
  via: readonly string[];
  mode: "inline" | "mirror";
  onFailure: "closed" | "open";
}

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const MOST_MEMBERS = 16;

/** Reads a request whose network and members have been found. Throws for what can't be, naming the field. */
export function parseChain(request: ChainRequest, networkId: string, via: readonly string[]): Chain {
  const { Name, From, To, Mode, OnFailure } = request;
  if (!namePattern.test(Name))
    throw invalid(`invalid Name "${Name}": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed`);
  if (via.length === 0) throw invalid("Via: a chain has at least one member");
  if (via.length > MOST_MEMBERS) throw invalid(`Via: a chain has at most ${MOST_MEMBERS} members`);
  if (new Set(via).size < via.length) throw invalid("Via: a container can be in a chain only once");
  if (!["", "inline", "mirror"].includes(Mode))
    throw invalid(`invalid Mode "${Mode}": neither inline nor mirror`);
  if (!["", "closed", "open"].includes(OnFailure))
    throw invalid(`invalid OnFailure "${OnFailure}": neither closed nor open`);
  return {
    name: Name,
    networkId,
    from: parseSelector(From),
    to: parseSelector(To),
    via,
    mode: Mode === "mirror" ? "mirror" : "inline",
    onFailure: OnFailure === "open" ? "open" : "closed",
  };
}

/** Who is in the chain's network, by container id. */
export type Members = ReadonlyMap<string, WatchedMember>;

/** intact: everybody is there; blocked: somebody is missing, nothing passes; bypassed: it passes without them. */
export type ChainState = "intact" | "blocked" | "bypassed";

export function stateOf(chain: Chain, members: Members): ChainState {
  if (chain.via.every((id) => members.has(id))) return "intact";
  return chain.mode === "inline" && chain.onFailure === "closed" ? "blocked" : "bypassed";
}

interface Pair {
  from: WatchedMember;
  to: WatchedMember;
}

/** Every two containers whose traffic goes through the chain; its own members are none of them. */
function pairs(chain: Chain, members: Members): Pair[] {
  const others = [...members].filter(([id]) => !chain.via.includes(id)).map(([, member]) => member);
  return others
    .filter(({ labels }) => chain.from.matches(labels))
    .flatMap((from) =>
      others.filter((to) => to !== from && chain.to.matches(to.labels)).map((to) => ({ from, to })),
    );
}

const family = (address: string): boolean => address.includes(":");

/** What one chain asks of the tables. */
export interface ChainPlan {
  ways: Way[];
  copies: Copy[];
  /** Addresses that a member passes on, by its port. */
  forwards: { index: number; mac: string; addresses: string[] }[];
}

/** The ways of both directions: what goes from `from` to `to`, and the answers in the opposite order. */
export function planChain(chain: Chain, members: Members): ChainPlan {
  const alive = chain.via.flatMap((id) => members.get(id) ?? []);
  const state = stateOf(chain, members);
  const found = pairs(chain, members);
  if (chain.mode === "mirror") return { ways: [], copies: copies(found, alive), forwards: [] };
  const ways = found.flatMap(({ from, to }) => [
    ...oneWay(from, to, state === "blocked" ? undefined : alive),
    ...oneWay(to, from, state === "blocked" ? undefined : [...alive].reverse()),
  ]);
  const addresses = [...new Set(found.flatMap(({ from, to }) => [...from.addresses, ...to.addresses]))];
  const forwards = alive.map(({ endpoint }) => ({ index: endpoint.hostIndex, mac: endpoint.mac, addresses }));
  return { ways, copies: [], forwards };
}

/** From the first sender through every member; the last one finds the receiver by itself. */
function oneWay(from: WatchedMember, to: WatchedMember, via: readonly WatchedMember[] | undefined): Way[] {
  return from.addresses.flatMap((source) =>
    to.addresses
      .filter((destination) => family(destination) === family(source))
      .flatMap((destination): Way[] => {
        const way = (at: WatchedMember, nextMac: string | undefined): Way => ({
          index: at.endpoint.hostIndex,
          source,
          destination,
          nextMac,
        });
        if (!via) return [way(from, undefined)];
        return via.map((member, position) =>
          way(position === 0 ? from : (via[position - 1] as WatchedMember), member.endpoint.mac),
        );
      }),
  );
}

/** Copies of what reaches either of the two from the other. */
function copies(found: readonly Pair[], taps: readonly WatchedMember[]): Copy[] {
  const all = found.flatMap(({ from, to }) =>
    taps.flatMap(({ endpoint }) => [
      ...from.addresses.map((source) => ({
        device: to.endpoint.hostName,
        source,
        tapIndex: endpoint.hostIndex,
      })),
      ...to.addresses.map((source) => ({
        device: from.endpoint.hostName,
        source,
        tapIndex: endpoint.hostIndex,
      })),
    ]),
  );
  return [...new Map(all.map((copy) => [JSON.stringify(copy), copy])).values()];
}
