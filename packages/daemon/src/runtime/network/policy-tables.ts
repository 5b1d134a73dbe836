// Policies as nf_tables: one chain for each network that has one, reached by what passes its bridge, with a set of addresses
// for each selector. A policy changes as a whole. Rules look at a connection's first packet, whichever way the packet at
// hand goes: a change of policy holds for connections that are there already, and leaves alone those that stay allowed.
import {
  addressBytes,
  addressText,
  type Counted,
  changeTables,
  filterBridge,
  KernelError,
  netlinkRequest,
  readElements,
  readRules,
  rule,
  tables,
} from "@tsd/kernel-bindings";
import { unlessGone } from "./unless-gone.ts";

const TABLE: tables.Table = { family: "inet", name: "tsd-policy" };
const DENIED = { milliseconds: 3_600_000, size: 65_535 };
const ICMPV6 = 58;
const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const;
const { register } = rule;

type Labels = Readonly<Record<string, string>>;

/** What the tables are made from: a policy, read. */
export interface TabledPolicy {
  fallback: "allow" | "deny";
  rules: readonly {
    from: { text: string };
    to: { text: string };
    action: "allow" | "deny";
    traffic: {
      protocol: keyof typeof protocolNumbers | "icmp" | "any";
      ports: { first: number; last: number } | undefined;
    };
    text: string;
  }[];
  selectors: readonly { text: string; matches(labels: Labels): boolean }[];
}

/** A container in a network with a policy. */
export interface PolicyMember {
  labels: Labels;
  addresses: readonly string[];
}

export interface DeniedFlow extends Counted {
  from: string;
  to: string;
  protocol: number;
  port: number;
}

interface Place {
  bridgeIndex: number;
  policy: TabledPolicy;
  members: Map<string, PolicyMember>;
  /** Part of the sets' names: a new policy brings sets of its own. */
  version: number;
}

const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);
const bridgeKey = (index: number): Buffer => tables.concatenation(rule.native32(index), rule.native32(index));

/** Whether the kernel can filter what passes a bridge. */
const lacksBridgeFilter = (): Error =>
  new Error("policies need br_netfilter and nf_tables, which this kernel lacks");

export class PolicyTables {
  /** For who is told of them. */
  readonly what = "policies: nf_tables inet tsd-policy";
  readonly #places = new Map<string, Place>();
  #version = 0;
  #made = false;

  #chain(networkId: string): string {
    return `n-${networkId.slice(0, 12)}`;
  }
  #set(networkId: string, { version, policy }: Place, selector: string, family: 4 | 6): string {
    const number = policy.selectors.findIndex(({ text }) => text === selector);
    return `s${family}-${networkId.slice(0, 12)}-${version}-${number}`;
  }
  #denied(networkId: string, family: 4 | 6): string {
    return `d${family}-${networkId.slice(0, 12)}`;
  }

  #baseMessages(): Buffer[] {
    return [
      ...tables.emptyTable(TABLE),
      tables.newSet(TABLE, { name: "bridges", key: ["interface", "interface"], data: "verdict" }),
      tables.newChain(TABLE, { name: "forward", hook: { type: "filter", at: "forward", priority: -5 } }),
      tables.newRule(
        TABLE,
        "forward",
        [rule.meta("iif", register(0)), rule.meta("oif", register(1)), rule.decideBy("bridges")],
        "within a network with a policy",
      ),
    ];
  }

  /** Gives a network its policy, in place of the one that it has; in one transaction. */
  apply(
    networkId: string,
    bridgeIndex: number,
    policy: TabledPolicy,
    members: ReadonlyMap<string, PolicyMember>,
  ): void {
    const before = this.#places.get(networkId);
    const place: Place = { bridgeIndex, policy, members: new Map(members), version: ++this.#version };
    if (!this.#made) this.#make();
    try {
      netlinkRequest(filterBridge(bridgeIndex, true), `filter of bridge ${bridgeIndex}`);
      changeTables(
        [
          ...(before ? this.#removal(networkId, before, false) : this.#frame(networkId, place)),
          ...this.#content(networkId, place),
        ],
        `policy of network ${networkId.slice(0, 12)}`,
      );
    } catch (error) {
      throw error instanceof KernelError && error.code === "EOPNOTSUPP" ? lacksBridgeFilter() : error;
    }
    this.#places.set(networkId, place);
  }

  /** The chain, its place in the way of packets, and where denied connections are remembered. */
  #frame(networkId: string, { bridgeIndex }: Place): Buffer[] {
    const chain = this.#chain(networkId);
    return [
      tables.newChain(TABLE, { name: chain }),
      ...([4, 6] as const).map((family) => {
        const address = family === 4 ? "ipv4" : "ipv6";
        return tables.newSet(TABLE, {
          name: this.#denied(networkId, family),
          key: [address, address, "protocol", "port"],
          learned: DENIED,
        });
      }),
      ...tables.addElements(TABLE, "bridges", [{ key: bridgeKey(bridgeIndex), verdict: { goto: chain } }]),
    ];
  }

  /** Takes rules and sets away; with `whole` the chain as well. */
  #removal(networkId: string, place: Place, whole: boolean): Buffer[] {
    const chain = this.#chain(networkId);
    const sets = place.policy.selectors.flatMap(({ text }) =>
      ([4, 6] as const).map((family) => this.#set(networkId, place, text, family)),
    );
    return [
      ...(whole ? tables.deleteElements(TABLE, "bridges", [{ key: bridgeKey(place.bridgeIndex) }]) : []),
      tables.flushChain(TABLE, chain),
      ...sets.map((set) => tables.deleteSet(TABLE, set)),
      ...(whole
        ? [
            tables.deleteChain(TABLE, chain),
            ...([4, 6] as const).map((family) => tables.deleteSet(TABLE, this.#denied(networkId, family))),
          ]
        : []),
    ];
  }

  #content(networkId: string, place: Place): Buffer[] {
    const { policy, members } = place;
    const sets = policy.selectors.flatMap(({ text }) =>
      ([4, 6] as const).map((family) =>
        tables.newSet(TABLE, {
          name: this.#set(networkId, place, text, family),
          key: [family === 4 ? "ipv4" : "ipv6"],
        }),
      ),
    );
    const elements = [...members.values()].flatMap((member) =>
      this.#elements(networkId, place, member, tables.addElements),
    );
    const chain = this.#chain(networkId);
    const rules = policy.rules.flatMap((one) =>
      ([4, 6] as const).map((family) =>
        tables.newRule(TABLE, chain, this.#rule(networkId, place, one, family), one.text),
      ),
    );
    return [
      ...sets,
      ...elements,
      this.#discovery(chain),
      ...rules,
      ...this.#fallback(networkId, chain, policy),
    ];
  }

  /** Neighbours find each other by these (RFC 4861); whose they are, the source guard sees to. */
  #discovery(chain: string): Buffer {
    return tables.newRule(
      TABLE,
      chain,
      [
        rule.meta("l4proto"),
        rule.compare("==", Buffer.from([ICMPV6])),
        rule.payload("transport", 0, 1),
        ...rule.between(Buffer.from([135]), Buffer.from([136])),
        rule.verdict("accept"),
      ],
      "neighbour discovery",
    );
  }

  #rule(
    networkId: string,
    place: Place,
    one: TabledPolicy["rules"][number],
    family: 4 | 6,
  ): rule.Expression[] {
    const within = (key: "source" | "destination", selector: string): rule.Expression[] => [
      rule.originally(family === 4 ? key : `${key}6`),
      ...(selector === "*" ? [] : [rule.inSet(this.#set(networkId, place, selector, family))]),
    ];
    const { protocol, ports } = one.traffic;
    const number =
      protocol === "icmp"
        ? family === 4
          ? 1
          : ICMPV6
        : protocol === "any"
          ? undefined
          : protocolNumbers[protocol];
    return [
      ...within("source", one.from.text),
      ...within("destination", one.to.text),
      ...(number === undefined
        ? []
        : [rule.originally("protocol"), rule.compare("==", Buffer.from([number]))]),
      ...(ports
        ? [
            rule.originally("destinationPort"),
            ...rule.between(rule.network16(ports.first), rule.network16(ports.last)),
          ]
        : []),
      rule.counter(),
      rule.verdict(one.action === "allow" ? "accept" : "drop"),
    ];
  }

  #fallback(networkId: string, chain: string, { fallback }: TabledPolicy): Buffer[] {
    const end = tables.newRule(
      TABLE,
      chain,
      [rule.counter(), rule.verdict(fallback === "allow" ? "accept" : "drop")],
      `default ${fallback}`,
    );
    if (fallback === "allow") return [end];
    const remembered = ([4, 6] as const).map((family) => {
      const words = family === 4 ? 1 : 4;
      return tables.newRule(
        TABLE,
        chain,
        [
          rule.originally(family === 4 ? "source" : "source6", register(0)),
          rule.originally(family === 4 ? "destination" : "destination6", register(words)),
          rule.originally("protocol", register(2 * words)),
          rule.originally("destinationPort", register(2 * words + 1)),
          rule.remember(this.#denied(networkId, family), register(0), DENIED.milliseconds),
        ],
        "denied connections are remembered",
      );
    });
    return [...remembered, end];
  }

  #elements(
    networkId: string,
    place: Place,
    member: PolicyMember,
    change: typeof tables.addElements,
  ): Buffer[] {
    return place.policy.selectors
      .filter((selector) => selector.text !== "*" && selector.matches(member.labels))
      .flatMap(({ text }) =>
        member.addresses.flatMap((address) =>
          change(TABLE, this.#set(networkId, place, text, familyOf(address)), [
            { key: addressBytes(address) },
          ]),
        ),
      );
  }

  /** A container has come into a network, or has other addresses there. Nothing happens in one without a policy. */
  join(networkId: string, id: string, member: PolicyMember): void {
    const place = this.#places.get(networkId);
    if (!place) return;
    const before = place.members.get(id);
    place.members.set(id, member);
    this.#change([
      ...(before ? this.#elements(networkId, place, before, tables.deleteElements) : []),
      ...this.#elements(networkId, place, member, tables.addElements),
    ]);
  }

  leave(networkId: string, id: string): void {
    const place = this.#places.get(networkId);
    const before = place?.members.get(id);
    if (!place || !before) return;
    place.members.delete(id);
    this.#change(this.#elements(networkId, place, before, tables.deleteElements));
  }

  #change(messages: Buffer[]): void {
    try {
      changeTables(messages, "members of policies");
    } catch (error) {
      // Somebody has flushed them.
      if (!(error instanceof KernelError)) throw error;
      this.#make();
    }
  }

  remove(networkId: string): void {
    const place = this.#places.get(networkId);
    if (!place) return;
    this.#places.delete(networkId);
    this.#change(this.#removal(networkId, place, true));
    try {
      netlinkRequest(filterBridge(place.bridgeIndex, false), "bridge");
    } catch (error) {
      // The bridge may be gone with its network.
      if (!(error instanceof KernelError)) throw error;
    }
  }

  /** Makes everything anew, in one transaction. */
  #make(): void {
    const messages = [...this.#places].flatMap(([networkId, place]) => [
      ...this.#frame(networkId, place),
      ...this.#content(networkId, place),
    ]);
    changeTables([...this.#baseMessages(), ...messages], "the policies' table");
    this.#made = true;
  }

  /** Whether rules and members are all there, and no others. */
  get whole(): boolean {
    if (!this.#made) return true;
    return unlessGone(
      () =>
        readRules(TABLE, "forward").length === 1 &&
        readElements(TABLE, "bridges").length === this.#places.size &&
        [...this.#places].every(([networkId, place]) => this.#isWhole(networkId, place)),
    );
  }

  #isWhole(networkId: string, place: Place): boolean {
    const { policy, members } = place;
    const texts = policy.rules.flatMap(({ text }) => [text, text]);
    const comments = readRules(TABLE, this.#chain(networkId)).map(({ comment }) => comment);
    const frame = policy.fallback === "deny" ? 4 : 2;
    if (comments.length !== texts.length + frame || texts.some((text, at) => comments[at + 1] !== text))
      return false;
    const all = [...members.values()];
    return policy.selectors
      .filter(({ text }) => text !== "*")
      .every((selector) => {
        const addresses = all
          .filter(({ labels }) => selector.matches(labels))
          .flatMap((member) => member.addresses);
        return ([4, 6] as const).every((family) => {
          const wanted = new Set(addresses.filter((address) => familyOf(address) === family));
          const found = readElements(TABLE, this.#set(networkId, place, selector.text, family));
          return found.length === wanted.size && found.every(({ key }) => wanted.has(addressText(key)));
        });
      });
  }

  /** Makes everything again if somebody changed it or took it away; whether that was so. */
  repair(): boolean {
    if (this.whole) return false;
    this.#make();
    return true;
  }

  /** How often each rule has decided, by its text, and what was denied in the last hour. */
  read(networkId: string): { rules: Map<string, Counted>; denied: DeniedFlow[] } {
    if (!this.#places.has(networkId)) return { rules: new Map(), denied: [] };
    const rules = new Map<string, Counted>();
    for (const { comment, packets, bytes } of readRules(TABLE, this.#chain(networkId))) {
      const sum = rules.get(comment) ?? { packets: 0n, bytes: 0n };
      rules.set(comment, { packets: sum.packets + packets, bytes: sum.bytes + bytes });
    }
    const denied = ([4, 6] as const).flatMap((family) =>
      readElements(TABLE, this.#denied(networkId, family)).map(({ key, packets, bytes }): DeniedFlow => {
        const size = family === 4 ? 4 : 16;
        return {
          from: addressText(key.subarray(0, size)),
          to: addressText(key.subarray(size, 2 * size)),
          protocol: key.readUInt8(2 * size),
          port: key.readUInt16BE(2 * size + 4),
          packets,
          bytes,
        };
      }),
    );
    return { rules, denied };
  }
}
