// The daemon's own nf_tables: which frames a container may send (the source guard), and where published ports lead. Every
// entry is an element of a set, so that a start costs the same however many containers there are.
import { changeTables, dumpTable, KernelError, rule, tables } from "@tsd/kernel-bindings";
import { type Entries, entryMessages, GUARD, NAT } from "./host-elements.ts";
import {
  compareElements,
  type ElementDifference,
  type KernelElements,
  readKernelElements,
} from "./host-elements-check.ts";
import { unlessGone } from "./unless-gone.ts";

export type { Entries, GuardedPort, Redirect } from "./host-elements.ts";

const LOOPBACK_INDEX = 1;
const { register } = rule;
const ETHERTYPE_IP = rule.network16(0x0800);
const ETHERTYPE_ARP = rule.network16(0x0806);
const ETHERTYPE_IPV6 = rule.network16(0x86dd);
const ICMPV6 = Buffer.from([58]);

/** Loads link and sender into the first registers; what they are checked against follows. */
const sender = [rule.meta("iif", register(0)), rule.payload("link", 6, 6, register(1))];

function guardMessages(): Buffer[] {
  const add = (expressions: readonly rule.Expression[], about: string): Buffer =>
    tables.newRule(GUARD, "prerouting", expressions, about);
  const isType = (type: Buffer): rule.Expression[] => [rule.meta("protocol"), rule.compare("==", type)];
  const drop = [rule.counter(), rule.verdict("drop")];
  const isIcmp6 = (type: number): rule.Expression[] => [
    ...isType(ETHERTYPE_IPV6),
    rule.meta("l4proto"),
    rule.compare("==", ICMPV6),
    rule.payload("transport", 0, 1),
    rule.compare("==", Buffer.from([type])),
  ];
  return [
    ...tables.emptyTable(GUARD),
    tables.newSet(GUARD, { name: "ports", key: ["interface"] }),
    tables.newSet(GUARD, { name: "senders", key: ["interface", "ether"] }),
    tables.newSet(GUARD, { name: "sources", key: ["interface", "ether", "ipv4"] }),
    tables.newSet(GUARD, { name: "sources6", key: ["interface", "ether", "ipv6"] }),
    tables.newChain(GUARD, {
      name: "prerouting",
      hook: { type: "filter", at: "prerouting", priority: -200 },
    }),
    add(
      [rule.meta("iif"), rule.inSet("ports", register(0), true), rule.verdict("accept")],
      "no container's port",
    ),
    // Nearly everything is this, and looked at no further.
    add(
      [
        ...isType(ETHERTYPE_IP),
        ...sender,
        rule.payload("network", 12, 4, register(3)),
        rule.inSet("sources", register(0)),
        rule.verdict("accept"),
      ],
      "its own address",
    ),
    add([...sender, rule.inSet("senders", register(0), true), ...drop], "somebody else's MAC address"),
    add([...isType(ETHERTYPE_IP), ...drop], "somebody else's address"),
    add(
      [
        ...isType(ETHERTYPE_ARP),
        rule.meta("iif", register(0)),
        rule.payload("network", 8, 6, register(1)),
        rule.payload("network", 14, 4, register(3)),
        rule.inSet("sources", register(0), true),
        ...drop,
      ],
      "ARP in somebody else's name",
    ),
    add(
      [
        ...isType(ETHERTYPE_IPV6),
        ...sender,
        rule.payload("network", 8, 16, register(3)),
        rule.inSet("sources6", register(0), true),
        ...drop,
      ],
      "somebody else's IPv6 address",
    ),
    add(
      [
        ...isIcmp6(136),
        ...sender,
        rule.payload("transport", 8, 16, register(3)),
        rule.inSet("sources6", register(0), true),
        ...drop,
      ],
      "neighbour advertisement for somebody else's address",
    ),
    add([...isIcmp6(134), ...drop], "router advertisement"),
    tables.newSet(GUARD, { name: "hairpins", key: ["interface", "interface"] }),
    tables.newChain(GUARD, { name: "forward", hook: { type: "filter", at: "forward", priority: -200 } }),
    tables.newRule(
      GUARD,
      "forward",
      [
        rule.meta("iif", register(0)),
        rule.meta("oif", register(1)),
        rule.inSet("hairpins", register(0)),
        rule.payload("link", 0, 1, register(2)),
        rule.maskBits(Buffer.from([1]), register(2)),
        rule.compare("!=", Buffer.from([0]), register(2)),
        rule.verdict("drop"),
      ],
      "one's own broadcasts, back by the port they came in",
    ),
  ];
}

/** `routed`: whether a network shows ports at containers' own addresses. */
function natMessages(family: 4 | 6, routed: boolean): Buffer[] {
  const table = NAT[family];
  const address = family === 4 ? "ipv4" : "ipv6";
  const words = family === 4 ? 1 : 4;
  const destination = family === 4 ? rule.payload("network", 16, 4) : rule.payload("network", 24, 16);
  const target = register(8);
  const redirect = rule.destinationNat(family, target, register(8 + words));
  const port = (first: number): rule.Expression[] => [
    rule.meta("l4proto", register(first)),
    rule.payload("transport", 2, 2, register(first + 1)),
  ];
  const redirects = (chain: string): Buffer[] => [
    tables.newRule(
      table,
      chain,
      [destination, ...port(words), rule.lookUp("bound", register(0), target), redirect],
      "published at one address",
    ),
    tables.newRule(
      table,
      chain,
      [...rule.destinationIsLocal(), ...port(0), rule.lookUp("published", register(0), target), redirect],
      "published at every address",
    ),
  ];
  const data: tables.Datatype[] = [address, "port"];
  return [
    ...tables.emptyTable(table),
    tables.newSet(table, { name: "published", key: ["protocol", "port"], data }),
    tables.newSet(table, { name: "bound", key: [address, "protocol", "port"], data }),
    tables.newSet(table, { name: "routed", key: ["interface"] }),
    tables.newSet(table, { name: "open", key: [address, "protocol", "port"] }),
    tables.newChain(table, { name: "prerouting", hook: { type: "nat", at: "prerouting", priority: -100 } }),
    ...redirects("prerouting"),
    tables.newChain(table, { name: "output", hook: { type: "nat", at: "output", priority: -100 } }),
    ...redirects("output"),
    ...(routed
      ? [
          tables.newChain(table, { name: "forward", hook: { type: "filter", at: "forward", priority: -10 } }),
          tables.newRule(
            table,
            "forward",
            [
              rule.meta("oif"),
              rule.inSet("routed"),
              rule.connection("state"),
              ...rule.anyBit(rule.ConnectionState.new),
              destination,
              ...port(words),
              rule.inSet("open", register(0), true),
              rule.counter(),
              rule.verdict("drop"),
            ],
            "a port that is not published",
          ),
        ]
      : []),
    ...(family === 4 ? loopbackGuard(table) : []),
  ];
}

/** Bridges may route the host's loopback addresses (route_localnet); nobody but the host itself may use them. */
const loopbackGuard = (table: tables.Table): Buffer[] => [
  tables.newChain(table, { name: "loopback", hook: { type: "filter", at: "prerouting", priority: -300 } }),
  tables.newRule(
    table,
    "loopback",
    [
      rule.payload("network", 16, 1),
      rule.compare("==", Buffer.from([127])),
      rule.meta("iif"),
      rule.compare("!=", rule.native32(LOOPBACK_INDEX)),
      rule.counter(),
      rule.verdict("drop"),
    ],
    "the host's loopback from outside",
  ),
];

export class HostTables {
  /** For who is told of them. */
  readonly what = "the rules of nf_tables bridge tsd, ip tsd, ip6 tsd";
  readonly #entries = new Map<string, Entries>();
  readonly #routed = { 4: new Set<number>(), 6: new Set<number>() };
  #open = false;

  /** Whether this host has what it takes. */
  get open(): boolean {
    return this.#open;
  }

  /** Makes the tables, with everything in them, in one transaction: what an earlier daemon left stays in force until then. */
  build(): void {
    const elements = [...this.#entries.values()].flatMap((entries) =>
      entryMessages(entries, tables.addElements),
    );
    const routed = (family: 4 | 6): Buffer[] => {
      const elements = [...this.#routed[family]].map((index) => ({ key: rule.native32(index) }));
      return elements.length ? tables.addElements(NAT[family], "routed", elements) : [];
    };
    changeTables(
      [
        ...guardMessages(),
        ...natMessages(4, this.#routed[4].size > 0),
        ...natMessages(6, this.#routed[6].size > 0),
        ...elements,
        ...routed(4),
        ...routed(6),
      ],
      "the daemon's tables",
    );
    this.#open = true;
  }

  /** Makes the tables again if somebody has taken them away, or anything of them; whether that was so. */
  repair(): boolean {
    if (!this.#open || this.#complete()) return false;
    this.build();
    return true;
  }

  /** Whether the rules are all there. */
  get whole(): boolean {
    return !this.#open || this.#complete();
  }

  /** The elements that there are now, and those that ought to be. Throws KernelError where the tables are gone. */
  kernelElements(): KernelElements {
    if (this.#open) return readKernelElements(this.#entries);
    return { sets: new Map(), expected: new Map(), senders: new Map(), allowed: new Set() };
  }

  /** What a container has too little, or its ports too much, in the tables. */
  compare(id: string, kernel: KernelElements): ElementDifference[] {
    const entries = this.#entries.get(id);
    return entries && this.#open ? compareElements(id, entries, kernel) : [];
  }

  #complete(): boolean {
    const ports = [...this.#entries.values()].reduce((sum, entries) => sum + entries.ports.length, 0);
    return unlessGone(
      () =>
        dumpTable(GUARD, { rules: "prerouting" }).length === 8 &&
        dumpTable(GUARD, { elements: "ports" }).length >= (ports > 0 ? 1 : 0) &&
        dumpTable(NAT[4], { rules: "prerouting" }).length === 2 &&
        dumpTable(NAT[6], { rules: "prerouting" }).length === 2,
    );
  }

  /** Sets what a container has in the tables, in place of what it had. */
  set(id: string, entries: Entries): void {
    const before = this.#entries.get(id);
    this.#entries.set(id, entries);
    if (!this.#open) return;
    const messages = [
      ...(before ? entryMessages(before, tables.deleteElements) : []),
      ...entryMessages(entries, tables.addElements),
    ];
    try {
      changeTables(messages, `entries of ${id.slice(0, 12)}`);
    } catch (error) {
      // Somebody has flushed them; or the kernel refuses what is new.
      try {
        this.build();
      } catch {
        if (before) this.#entries.set(id, before);
        else this.#entries.delete(id);
        throw error;
      }
    }
  }

  /** Remembers what an earlier daemon's container has, without telling the kernel: `build` will. */
  remember(id: string, entries: Entries): void {
    this.#entries.set(id, entries);
  }

  /** Takes everything of a container's away. */
  delete(id: string): void {
    const before = this.#entries.get(id);
    if (!before) return;
    this.#entries.delete(id);
    if (!this.#open) return;
    try {
      changeTables(entryMessages(before, tables.deleteElements), `entries of ${id.slice(0, 12)}`);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.build();
    }
  }

  /** A bridge whose network shows published ports at containers' own addresses. */
  setRouted(index: number, family: 4 | 6, routed: boolean): void {
    const all = this.#routed[family];
    if (all.has(index) === routed) return;
    if (routed) all.add(index);
    else all.delete(index);
    if (this.#open) this.build();
  }
}
