// The daemon's own nf_tables: which frames a container may send (the source guard), and where published ports lead. Every
// entry is an element of a set, so that a start costs the same however many containers there are.
import {
  addressBytes,
  addressText,
  changeTables,
  dumpTable,
  KernelError,
  macBytes,
  readElements,
  rule,
  tables,
} from "@tsd/kernel-bindings";

const GUARD: tables.Table = { family: "bridge", name: "tsd" };
const NAT: Readonly<Record<4 | 6, tables.Table>> = {
  4: { family: "ip", name: "tsd" },
  6: { family: "ip6", name: "tsd" },
};
const LOOPBACK_INDEX = 1;
const ANY = { 4: "0.0.0.0", 6: "::" } as const;
const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const;

/** A container's port on a bridge: the host's link, and what may come from it. */
export interface GuardedPort {
  index: number;
  mac: string;
  addresses: readonly string[];
}

/** A published port, or, with `open`, a port that a routed network shows to whoever has a route. */
export interface Redirect {
  protocol: keyof typeof protocolNumbers;
  hostAddress: string;
  hostPort: number;
  address: string;
  port: number;
  open?: boolean;
}

const { register } = rule;
const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);

/** The link-local address that the kernel makes of a MAC address (RFC 4291, appendix A). */
export function linkLocalAddress(mac: string): Buffer {
  const bytes = macBytes(mac);
  const [first = 0] = bytes;
  return Buffer.from([
    0xfe,
    0x80,
    0,
    0,
    0,
    0,
    0,
    0,
    first ^ 2,
    ...bytes.subarray(1, 3),
    0xff,
    0xfe,
    ...bytes.subarray(3),
  ]);
}

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
    add([...sender, rule.inSet("senders", register(0), true), ...drop], "somebody else's MAC address"),
    add(
      [
        ...isType(ETHERTYPE_IP),
        ...sender,
        rule.payload("network", 12, 4, register(3)),
        rule.inSet("sources", register(0), true),
        ...drop,
      ],
      "somebody else's address",
    ),
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

function natMessages(family: 4 | 6): Buffer[] {
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
      rule.meta("iif"),
      rule.compare("!=", rule.native32(LOOPBACK_INDEX)),
      rule.payload("network", 16, 1),
      rule.compare("==", Buffer.from([127])),
      rule.counter(),
      rule.verdict("drop"),
    ],
    "the host's loopback from outside",
  ),
];

type SetElements = [set: string, elements: tables.Element[]];

/** The addresses that may stand in what a port sends, by set. */
function sourceElements({ index, mac, addresses }: GuardedPort): SetElements[] {
  const source = (address: string): tables.Element => ({
    key: tables.concatenation(rule.native32(index), macBytes(mac), addressBytes(address)),
  });
  return [
    ["sources", addresses.filter((address) => familyOf(address) === 4).map(source)],
    ["sources6", addresses.filter((address) => familyOf(address) === 6).map(source)],
  ];
}

/** The elements of one port, by set. A container may always ask who has an address (0.0.0.0, ::). */
function portElements(port: GuardedPort): SetElements[] {
  const link = rule.native32(port.index);
  const ipv6 = port.addresses.some((address) => familyOf(address) === 6);
  const own = ["0.0.0.0", ...(ipv6 ? ["::", addressText(linkLocalAddress(port.mac))] : [])];
  return [
    ["ports", [{ key: link }]],
    ["senders", [{ key: tables.concatenation(link, macBytes(port.mac)) }]],
    ["hairpins", [{ key: tables.concatenation(link, link) }]],
    ...sourceElements({ ...port, addresses: [...own, ...port.addresses] }),
  ];
}

function redirectElement(redirect: Redirect): { family: 4 | 6; set: string; element: tables.Element } {
  const { protocol, hostAddress, hostPort, address, port, open } = redirect;
  const family = familyOf(address);
  const key = [Buffer.from([protocolNumbers[protocol]]), rule.network16(open ? port : hostPort)];
  if (open)
    return { family, set: "open", element: { key: tables.concatenation(addressBytes(address), ...key) } };
  const data = tables.concatenation(addressBytes(address), rule.network16(port));
  if (hostAddress === ANY[family])
    return { family, set: "published", element: { key: tables.concatenation(...key), data } };
  return {
    family,
    set: "bound",
    element: { key: tables.concatenation(addressBytes(hostAddress), ...key), data },
  };
}

const hexadecimal = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Elements of the kernel's sets, by "family set": keys with what they lead to; and all that ought to be, as "family set key". */
export interface KernelElements {
  sets: ReadonlyMap<string, ReadonlyMap<string, string>>;
  known: ReadonlySet<string>;
}

const protocolNames = new Map<number, string>(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name]),
);

/** A key in words: link, MAC address and address of a sender; address, protocol and port of what is published. */
function elementText(set: string, key: Uint8Array): string {
  const bytes = Buffer.from(key);
  const mac = (at: number): string => bytes.toString("hex", at, at + 6).replace(/(..)(?=.)/g, "$1:");
  if (set === "ports" || set === "hairpins") return `link ${bytes.readUInt32LE(0)}`;
  if (set === "senders") return `link ${bytes.readUInt32LE(0)}, ${mac(4)}`;
  if (set.startsWith("sources"))
    return `link ${bytes.readUInt32LE(0)}, ${mac(4)}, ${addressText(bytes.subarray(12))}`;
  const at = bytes.length - 8;
  const address = at > 0 ? `${addressText(bytes.subarray(0, at))} ` : "";
  return `${address}port ${bytes.readUInt16BE(at + 4)}/${protocolNames.get(bytes[at] ?? 0)}`;
}

/** What a published port leads to, in words. */
function elementData(data: string): string {
  const bytes = Buffer.from(data, "hex");
  const at = bytes.length - 4;
  return at > 0 ? `leads to ${addressText(bytes.subarray(0, at))} port ${bytes.readUInt16BE(at)}` : "there";
}

/** What one container has in the tables. */
export interface Entries {
  ports: readonly GuardedPort[];
  redirects: readonly Redirect[];
  /** Addresses of others that a port may send for: of those whose traffic it passes on. */
  forwards?: readonly GuardedPort[];
}

export class HostTables {
  readonly #entries = new Map<string, Entries>();
  readonly #routed = new Set<number>();
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
    const routed = [...this.#routed].map((index) => ({ key: rule.native32(index) }));
    changeTables(
      [
        ...guardMessages(),
        ...natMessages(4),
        ...natMessages(6),
        ...elements,
        ...(routed.length
          ? ([4, 6] as const).flatMap((family) => tables.addElements(NAT[family], "routed", routed))
          : []),
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

  /** The elements that there are now, and those that ought to be. */
  kernelElements(): KernelElements {
    const sets = new Map<string, Map<string, string>>();
    const known = new Set<string>();
    if (!this.#open) return { sets, known };
    const read = (table: tables.Table, names: readonly string[]): void => {
      for (const set of names)
        sets.set(
          `${table.family} ${set}`,
          new Map(readElements(table, set).map(({ key, data }) => [hexadecimal(key), hexadecimal(data)])),
        );
    };
    read(GUARD, ["ports", "senders", "sources", "sources6", "hairpins"]);
    for (const family of [4, 6] as const) read(NAT[family], ["published", "bound", "open"]);
    for (const entries of this.#entries.values())
      for (const { table, set, element } of entryElements(entries))
        known.add(`${table.family} ${set} ${hexadecimal(element.key)}`);
    return { sets, known };
  }

  /** What a container has too little, or its ports too much, in the tables: in words. */
  compare(id: string, kernel: KernelElements): { what: string; expected: string; found: string }[] {
    const entries = this.#entries.get(id);
    if (!entries || !this.#open) return [];
    const differences: { what: string; expected: string; found: string }[] = [];
    for (const { table, set, element } of entryElements(entries)) {
      const name = `${table.family} ${set}`;
      const data = kernel.sets.get(name)?.get(hexadecimal(element.key));
      const wanted = element.data ? hexadecimal(element.data) : "";
      const what = `nf_tables ${table.family} ${table.name}, set ${set}, ${elementText(set, element.key)}`;
      if (data === undefined) differences.push({ what, expected: "there", found: "not there" });
      else if (data !== wanted)
        differences.push({ what, expected: elementData(wanted), found: elementData(data) });
    }
    for (const set of ["senders", "sources", "sources6"])
      for (const key of kernel.sets.get(`${GUARD.family} ${set}`)?.keys() ?? [])
        if (
          entries.ports.some(({ index }) => key.startsWith(hexadecimal(rule.native32(index)))) &&
          !kernel.known.has(`${GUARD.family} ${set} ${key}`)
        )
          differences.push({
            what: `nf_tables ${GUARD.family} ${GUARD.name}, set ${set}, ${elementText(set, Buffer.from(key, "hex"))}`,
            expected: "not there",
            found: "there",
          });
    return differences;
  }

  #complete(): boolean {
    try {
      const ports = [...this.#entries.values()].reduce((sum, entries) => sum + entries.ports.length, 0);
      return (
        dumpTable(GUARD, { rules: "prerouting" }).length === 7 &&
        dumpTable(GUARD, { elements: "ports" }).length >= (ports > 0 ? 1 : 0) &&
        dumpTable(NAT[4], { rules: "prerouting" }).length === 2 &&
        dumpTable(NAT[6], { rules: "prerouting" }).length === 2
      );
    } catch (error) {
      if (error instanceof KernelError) return false;
      throw error;
    }
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
  setRouted(index: number, routed: boolean): void {
    if (this.#routed.has(index) === routed) return;
    if (routed) this.#routed.add(index);
    else this.#routed.delete(index);
    if (this.#open) this.build();
  }
}

/** Every element of a container's, one by one. */
function entryElements(entries: Entries): { table: tables.Table; set: string; element: tables.Element }[] {
  return elementLists(entries).flatMap(({ table, set, elements }) =>
    elements.map((element) => ({ table, set, element })),
  );
}

/** A container's elements, those of one port and set together. */
function elementLists({
  ports,
  redirects,
  forwards = [],
}: Entries): { table: tables.Table; set: string; elements: tables.Element[] }[] {
  const guarded = [...ports.flatMap(portElements), ...forwards.flatMap(sourceElements)];
  return [
    ...guarded
      .filter(([, elements]) => elements.length > 0)
      .map(([set, elements]) => ({ table: GUARD, set, elements })),
    ...redirects.map((redirect) => {
      const { family, set, element } = redirectElement(redirect);
      return { table: NAT[family], set, elements: [element] };
    }),
  ];
}

const entryMessages = (entries: Entries, change: typeof tables.addElements): Buffer[] =>
  elementLists(entries).flatMap(({ table, set, elements }) => change(table, set, elements));
