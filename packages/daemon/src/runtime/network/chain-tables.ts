// Service chains as nf_tables: frames of a steered connection get the next member's link address as their destination, so
// that the bridge takes them there; copies for a tap leave by its interface. Every way is an element of a map.
import {
  addressBytes,
  changeTables,
  KernelError,
  macBytes,
  readElements,
  readRules,
  rule,
  tables,
} from "@tsd/kernel-bindings";
import { unlessGone } from "./unless-gone.ts";

const STEER: tables.Table = { family: "bridge", name: "tsd-chain" };
const TAP: tables.Table = { family: "netdev", name: "tsd-chain" };
const ICMPV6 = 58;
const { register } = rule;

/** Frames that come in by a port from one address to another go to this link address next; or, without one, nowhere. */
export interface Way {
  index: number;
  source: string;
  destination: string;
  nextMac: string | undefined;
}

/** What is sent out by an interface, from this address, is also sent out by another. */
export interface Copy {
  device: string;
  source: string;
  tapIndex: number;
}

const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);
const families = [4, 6] as const;
const etherTypes = { 4: rule.network16(0x0800), 6: rule.network16(0x86dd) } as const;
/** Offsets of the addresses in the headers of IPv4 and IPv6, and their lengths. */
const layout = {
  4: { source: 12, destination: 16, length: 4 },
  6: { source: 8, destination: 24, length: 16 },
} as const;

function baseMessages(): Buffer[] {
  const load = (family: 4 | 6): rule.Expression[] => {
    const { source, destination, length } = layout[family];
    return [
      rule.meta("protocol"),
      rule.compare("==", etherTypes[family]),
      rule.meta("iif", register(0)),
      rule.payload("network", source, length, register(1)),
      rule.payload("network", destination, length, register(1 + length / 4)),
    ];
  };
  const key = (family: 4 | 6): tables.Datatype[] =>
    family === 4 ? ["interface", "ipv4", "ipv4"] : ["interface", "ipv6", "ipv6"];
  return [
    ...tables.emptyTable(STEER),
    tables.newChain(STEER, {
      name: "prerouting",
      hook: { type: "filter", at: "prerouting", priority: -190 },
    }),
    tables.newRule(
      STEER,
      "prerouting",
      [
        rule.meta("protocol"),
        rule.compare("==", etherTypes[6]),
        rule.meta("l4proto"),
        rule.compare("==", Buffer.from([ICMPV6])),
        rule.payload("transport", 0, 1),
        ...rule.between(Buffer.from([133]), Buffer.from([137])),
        rule.verdict("accept"),
      ],
      "neighbours find each other directly, as by ARP",
    ),
    ...families.flatMap((family) => [
      tables.newSet(STEER, { name: `blocked${family}`, key: key(family) }),
      tables.newSet(STEER, { name: `next${family}`, key: key(family), data: ["ether"] }),
      tables.newRule(
        STEER,
        "prerouting",
        [...load(family), rule.inSet(`blocked${family}`), rule.counter(), rule.verdict("drop")],
        "a chain that has lost a member",
      ),
      tables.newRule(
        STEER,
        "prerouting",
        [
          ...load(family),
          rule.lookUp(`next${family}`, register(0), register(10)),
          rule.writeDestination(register(10)),
          rule.counter(),
        ],
        "to the next member of a chain",
      ),
    ]),
  ];
}

const wayKey = ({ index, source, destination }: Way): Buffer =>
  tables.concatenation(rule.native32(index), addressBytes(source), addressBytes(destination));

function wayMessages(ways: readonly Way[]): Buffer[] {
  return families.flatMap((family) => {
    const own = ways.filter(({ source }) => familyOf(source) === family);
    const steered = own.flatMap((way) =>
      way.nextMac ? [{ key: wayKey(way), data: macBytes(way.nextMac) }] : [],
    );
    const blocked = own.flatMap((way) => (way.nextMac ? [] : [{ key: wayKey(way) }]));
    return [
      tables.flushSet(STEER, `next${family}`),
      tables.flushSet(STEER, `blocked${family}`),
      ...tables.addElements(STEER, `next${family}`, steered),
      ...tables.addElements(STEER, `blocked${family}`, blocked),
    ];
  });
}

/** One chain for each interface whose traffic is copied. */
function copyMessages(copies: readonly Copy[]): Buffer[] {
  const devices = [...new Set(copies.map(({ device }) => device))];
  return [
    ...tables.emptyTable(TAP),
    ...devices.flatMap((device) => [
      tables.newChain(TAP, { name: device, hook: { type: "filter", at: "egress", priority: 0, device } }),
      ...copies
        .filter((copy) => copy.device === device)
        .map(({ source, tapIndex }) => {
          const family = familyOf(source);
          const { source: offset, length } = layout[family];
          return tables.newRule(
            TAP,
            device,
            [
              rule.meta("protocol"),
              rule.compare("==", etherTypes[family]),
              rule.payload("network", offset, length),
              rule.compare("==", addressBytes(source)),
              rule.immediate(register(0), rule.native32(tapIndex)),
              rule.duplicateTo(register(0)),
              rule.counter(),
            ],
            "a copy for a tap",
          );
        }),
    ]),
  ];
}

/** Whether a set leads these ways, and no others. */
function sameElements(set: string, ways: readonly Way[]): boolean {
  const text = (key: Buffer, data: Buffer): string => `${key.toString("hex")} ${data.toString("hex")}`;
  const wanted = new Set(
    ways.map((way) => text(wayKey(way), way.nextMac ? macBytes(way.nextMac) : Buffer.alloc(0))),
  );
  const found = readElements(STEER, set);
  return found.length === wanted.size && found.every(({ key, data }) => wanted.has(text(key, data)));
}

export class ChainTables {
  /** For who is told of them. */
  readonly what = "service chains: nf_tables bridge and netdev tsd-chain";
  #made = false;
  #ways: readonly Way[] = [];
  #copies: readonly Copy[] = [];

  /** Sets all ways and copies there are, in place of those there were. */
  set(ways: readonly Way[], copies: readonly Copy[]): void {
    if (!this.#made && ways.length === 0 && copies.length === 0) return;
    const copiesChange = JSON.stringify(copies) !== JSON.stringify(this.#copies);
    this.#ways = ways;
    this.#copies = copies;
    try {
      changeTables(
        [
          ...(this.#made ? [] : baseMessages()),
          ...wayMessages(ways),
          ...(copiesChange || !this.#made ? copyMessages(copies) : []),
        ],
        "service chains",
      );
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#make();
    }
    this.#made = true;
  }

  #make(): void {
    changeTables(
      [...baseMessages(), ...wayMessages(this.#ways), ...copyMessages(this.#copies)],
      "service chains",
    );
  }

  /** Whether rules, ways and copies are all there, and no others. */
  get whole(): boolean {
    if (!this.#made) return true;
    const devices = [...new Set(this.#copies.map(({ device }) => device))];
    return unlessGone(
      () =>
        readRules(STEER, "prerouting").length === 5 &&
        families.every((family) => {
          const own = this.#ways.filter(({ source }) => familyOf(source) === family);
          return (
            sameElements(
              `next${family}`,
              own.filter(({ nextMac }) => nextMac),
            ) &&
            sameElements(
              `blocked${family}`,
              own.filter(({ nextMac }) => !nextMac),
            )
          );
        }) &&
        devices.every(
          (device) =>
            readRules(TAP, device).length === this.#copies.filter((copy) => copy.device === device).length,
        ),
    );
  }

  /** Makes everything again if somebody changed it or took it away; whether that was so. */
  repair(): boolean {
    if (this.whole) return false;
    this.#make();
    return true;
  }
}
