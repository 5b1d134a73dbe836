// What networks ask of the host's packet filter, as the text that iptables-restore(8) reads: pure.

/** nat: by published ports only; routed: whoever has a route reaches published ports at the container's address;
 * isolated: no address on the host (internal networks only). */
export type GatewayMode = "nat" | "routed" | "isolated";

/** A port of one container that another one of the same network is linked to. */
export interface LinkedPort {
  from: string;
  to: string;
  protocol: string;
  port: number;
}

/** One bridge network, as far as the filter is concerned. */
export interface FilteredBridge {
  bridge: string;
  /** In CIDR notation, of the family at hand. */
  subnets: readonly string[];
  icc: boolean;
  hostAccess: boolean;
  internal: boolean;
  masquerade: boolean;
  gatewayMode: GatewayMode;
  /** The host's address that it goes out under; "" for that of the way out. */
  hostAddress: string;
  /** What is open all the same where containers do not reach each other. */
  links: readonly LinkedPort[];
}

/** Jumps from the kernel's chains to ours. Ours decide first, but for what comes in from outside to published ports: there
 * the host's own rules do. TSD-USER is the host's, for what it has to say of containers; those that are `first` are put
 * in front in this order, one before the other. */
export const jumps: readonly { table: string; chain: string; target: string; first: boolean }[] = [
  { table: "nat", chain: "POSTROUTING", target: "TSD-POSTROUTING", first: false },
  { table: "filter", chain: "INPUT", target: "TSD-INPUT", first: true },
  { table: "filter", chain: "FORWARD", target: "TSD-FORWARD", first: true },
  { table: "filter", chain: "FORWARD", target: "TSD-USER", first: true },
  { table: "filter", chain: "FORWARD", target: "TSD-PUBLISHED", first: false },
];

const chains = {
  nat: ["TSD-POSTROUTING"],
  filter: ["TSD-INPUT", "TSD-FORWARD", "TSD-ISOLATION", "TSD-PUBLISHED"],
} as const;

const established = "-m conntrack --ctstate RELATED,ESTABLISHED";
const redirected = "-m conntrack --ctstate DNAT";

function natRules(network: FilteredBridge, family: 4 | 6): string[] {
  const { bridge, subnets, masquerade, internal, gatewayMode, hostAddress } = network;
  const disguise = hostAddress ? `SNAT --to-source ${hostAddress}` : "MASQUERADE";
  const rules = subnets.flatMap((subnet) => [
    ...(masquerade && !internal && gatewayMode === "nat"
      ? [`-s ${subnet} ! -o ${bridge} -j ${disguise}`]
      : []),
    // Who comes back to its own network by a published port must not be answered directly.
    `-s ${subnet} -o ${bridge} ${redirected} -j MASQUERADE`,
  ]);
  return family === 4 ? [...rules, `-s 127.0.0.0/8 -o ${bridge} ${redirected} -j MASQUERADE`] : rules;
}

const forwardRules = ({ bridge, icc, internal, links }: FilteredBridge): string[] => [
  ...(internal ? [`-i ${bridge} ! -o ${bridge} -j DROP`, `-o ${bridge} ! -i ${bridge} -j DROP`] : []),
  `-o ${bridge} ${established} -j ACCEPT`,
  `-i ${bridge} -o ${bridge} ${redirected} -j ACCEPT`,
  ...links.map(
    ({ from, to, protocol, port }) =>
      `-i ${bridge} -o ${bridge} -s ${from} -d ${to} -p ${protocol} --dport ${port} -j ACCEPT`,
  ),
  `-i ${bridge} -o ${bridge} -j ${icc ? "ACCEPT" : "DROP"}`,
  `-i ${bridge} -j TSD-ISOLATION`,
  `-i ${bridge} -j ACCEPT`,
];

/** From one network to another only by published ports. */
const isolationRules = ({ bridge }: FilteredBridge): string[] => [
  `-o ${bridge} -m conntrack ! --ctstate DNAT -j DROP`,
];

const publishedRules = ({ bridge, gatewayMode }: FilteredBridge): string[] => [
  `-o ${bridge} ${redirected} -j ACCEPT`,
  // Which ports these are, host-tables.ts has decided by now.
  ...(gatewayMode === "routed" ? [`-o ${bridge} -j ACCEPT`] : [`-o ${bridge} -j DROP`]),
];

function inputRules({ bridge, hostAccess }: FilteredBridge, family: 4 | 6): string[] {
  if (hostAccess) return [];
  // Neighbour discovery is to IPv6 what ARP is to IPv4.
  const discovery =
    family === 6 ? [135, 136].map((type) => `-i ${bridge} -p ipv6-icmp --icmpv6-type ${type} -j ACCEPT`) : [];
  return [...discovery, `-i ${bridge} -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP`];
}

/** One rule of a network's, appended to a chain; the comment says whose it is. */
const append = (chain: string, bridge: string, rule: string): string =>
  `-A ${chain} ${rule.replace(" -j ", ` -m comment --comment tsd:${bridge} -j `)}`;

/** Our chains with everything in them. Declaring a chain empties it, so that applying this twice changes nothing, and a
 * table changes as a whole. */
export function restoreText(networks: readonly FilteredBridge[], family: 4 | 6): string {
  const table = (
    name: keyof typeof chains,
    rulesOf: (chain: string, network: FilteredBridge) => string[],
  ): string[] => [
    `*${name}`,
    ...chains[name].map((chain) => `:${chain} - [0:0]`),
    ...chains[name].flatMap((chain) =>
      networks.flatMap((network) =>
        rulesOf(chain, network).map((rule) => append(chain, network.bridge, rule)),
      ),
    ),
    "COMMIT",
  ];
  const filter: Readonly<Record<string, (network: FilteredBridge) => string[]>> = {
    "TSD-INPUT": (network) => inputRules(network, family),
    "TSD-FORWARD": forwardRules,
    "TSD-ISOLATION": isolationRules,
    "TSD-PUBLISHED": publishedRules,
  };
  return [
    ...table("nat", (_chain, network) => natRules(network, family)),
    ...table("filter", (chain, network) => filter[chain]?.(network) ?? []),
    "",
  ].join("\n");
}
