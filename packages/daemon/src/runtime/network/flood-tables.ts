// Limits against floods, as nf_tables: packets and new TCP connections in a second, a chain for each port and direction,
// reached by the port's index.
import { changeTables, KernelError, readRules, rule, tables } from "@tsd/kernel-bindings";
import { unlessGone } from "./unless-gone.ts";

const TABLE: tables.Table = { family: "bridge", name: "tsd-flood" };
const TCP = Buffer.from([6]);
const SYN = 0x02;
const SYN_AND_ACK = 0x12;

/** 0 for no limit. */
export interface FloodLimits {
  packets: number;
  connections: number;
}

/** A container's port on a bridge, and its limits, as the container sees the directions. */
export interface FloodPort {
  index: number;
  out: FloodLimits;
  in: FloodLimits;
}

type Way = "out" | "in";
const ways: readonly Way[] = ["out", "in"];
const isLimited = ({ packets, connections }: FloodLimits): boolean => packets > 0 || connections > 0;
const chainOf = (way: Way, index: number): string => `${way}-${index}`;

function baseMessages(): Buffer[] {
  const base = (name: string, at: "prerouting" | "forward" | "output", way: Way): Buffer[] => [
    tables.newChain(TABLE, { name, hook: { type: "filter", at, priority: -195 } }),
    tables.newRule(TABLE, name, [rule.meta(way === "out" ? "iif" : "oif"), rule.decideBy(way)]),
  ];
  return [
    ...tables.emptyTable(TABLE),
    ...ways.map((way) => tables.newSet(TABLE, { name: way, key: ["interface"], data: "verdict" })),
    ...base("prerouting", "prerouting", "out"),
    ...base("forward", "forward", "in"),
    ...base("output", "output", "in"),
  ];
}

/** Drops what is over the limit. A tenth of a second's worth may come at once. */
const over = (perSecond: number): rule.Expression[] => [
  rule.packetRate(perSecond, Math.max(5, Math.ceil(perSecond / 10)), true),
  rule.counter(),
  rule.verdict("drop"),
];

function limitRules(chain: string, { packets, connections }: FloodLimits): Buffer[] {
  const begins = [
    rule.meta("l4proto"),
    rule.compare("==", TCP),
    rule.payload("transport", 13, 1),
    rule.maskBits(Buffer.from([SYN_AND_ACK])),
    rule.compare("==", Buffer.from([SYN])),
  ];
  return [
    ...(packets > 0 ? [tables.newRule(TABLE, chain, over(packets), `${packets} packets per second`)] : []),
    ...(connections > 0
      ? [
          tables.newRule(
            TABLE,
            chain,
            [...begins, ...over(connections)],
            `${connections} connections per second`,
          ),
        ]
      : []),
  ];
}

const addPort = (port: FloodPort): Buffer[] =>
  ways
    .filter((way) => isLimited(port[way]))
    .flatMap((way) => {
      const chain = chainOf(way, port.index);
      return [
        tables.newChain(TABLE, { name: chain }),
        ...limitRules(chain, port[way]),
        ...tables.addElements(TABLE, way, [{ key: rule.native32(port.index), verdict: { jump: chain } }]),
      ];
    });

const removePort = (port: FloodPort): Buffer[] =>
  ways
    .filter((way) => isLimited(port[way]))
    .flatMap((way) => {
      const chain = chainOf(way, port.index);
      return [
        ...tables.deleteElements(TABLE, way, [{ key: rule.native32(port.index) }]),
        tables.flushChain(TABLE, chain),
        tables.deleteChain(TABLE, chain),
      ];
    });

export class FloodTables {
  /** For who is told of them. */
  readonly what = "limits against floods: nf_tables bridge tsd-flood";
  /** The limited ports of each container. */
  readonly #ports = new Map<string, readonly FloodPort[]>();
  #made = false;

  /** Sets a container's limits, in place of those it had. Throws KernelError; it has what it had then. */
  set(id: string, all: readonly FloodPort[]): void {
    const ports = all.filter((port) => isLimited(port.out) || isLimited(port.in));
    const before = this.#ports.get(id) ?? [];
    if (before.length === 0 && ports.length === 0) return;
    const change = [...before.flatMap(removePort), ...ports.flatMap(addPort)];
    changeTables(
      this.#made ? change : [...this.#everything(), ...ports.flatMap(addPort)],
      "limits against floods",
    );
    this.#made = true;
    if (ports.length > 0) this.#ports.set(id, ports);
    else this.#ports.delete(id);
  }

  /** Remembers what an earlier daemon's container has; `build` will tell the kernel. */
  remember(id: string, all: readonly FloodPort[]): void {
    const ports = all.filter((port) => isLimited(port.out) || isLimited(port.in));
    if (ports.length > 0) this.#ports.set(id, ports);
  }

  delete(id: string): void {
    const before = this.#ports.get(id);
    if (!before) return;
    this.#ports.delete(id);
    if (!this.#made) return;
    try {
      changeTables(before.flatMap(removePort), "limits against floods");
    } catch (error) {
      // Somebody has flushed them.
      if (!(error instanceof KernelError)) throw error;
      this.build();
    }
  }

  #everything(): Buffer[] {
    return [...baseMessages(), ...[...this.#ports.values()].flat().flatMap(addPort)];
  }

  /** How many packets each limit of a port has dropped, by what it limits; none where nothing is limited. */
  read(port: FloodPort): Record<Way, Partial<Record<keyof FloodLimits, number>>> {
    const dropped = { out: {}, in: {} };
    for (const way of ways.filter((one) => this.#made && isLimited(port[one])))
      for (const { comment, packets } of readRules(TABLE, chainOf(way, port.index)))
        Object.assign(dropped[way], { [comment.split(" ")[1] ?? ""]: Number(packets) });
    return dropped;
  }

  /** Makes the table anew, in place of what an earlier daemon left; nothing if nobody is limited. */
  build(): void {
    if (this.#ports.size === 0 && !this.#made) {
      changeTables([tables.newTable(TABLE), tables.deleteTable(TABLE)], "limits against floods");
      return;
    }
    changeTables(this.#everything(), "limits against floods");
    this.#made = true;
  }

  /** Whether the rules are all there. */
  get whole(): boolean {
    if (!this.#made) return true;
    return unlessGone(() =>
      ["prerouting", "forward", "output"].every((chain) => readRules(TABLE, chain).length === 1),
    );
  }

  /** Makes everything again if somebody took it away; whether that was so. */
  repair(): boolean {
    if (this.whole) return false;
    this.build();
    return true;
  }
}
