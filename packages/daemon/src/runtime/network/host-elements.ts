// What a container has in the daemon's own nf_tables, as elements of sets: its ports on bridges with what may come from them, and
// its published ports. Pure.
import { addressBytes, addressText, macBytes, rule, tables } from "@tsd/kernel-bindings";

export const GUARD: tables.Table = { family: "bridge", name: "tsd" };
export const NAT: Readonly<Record<4 | 6, tables.Table>> = {
  4: { family: "ip", name: "tsd" },
  6: { family: "ip6", name: "tsd" },
};
const ANY = { 4: "0.0.0.0", 6: "::" } as const;
export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const;

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

const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);

/** The link-local address that the kernel makes of a MAC address (RFC 4291, appendix A). */
function linkLocalAddress(mac: string): Buffer {
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

/** What one container has in the tables. */
export interface Entries {
  ports: readonly GuardedPort[];
  redirects: readonly Redirect[];
  /** Addresses of others that a port may send for: of those whose traffic it passes on. */
  forwards?: readonly GuardedPort[];
}

/** Every element of a container's, one by one. */
export function entryElements(
  entries: Entries,
): { table: tables.Table; set: string; element: tables.Element }[] {
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

export const entryMessages = (entries: Entries, change: typeof tables.addElements): Buffer[] =>
  elementLists(entries).flatMap(({ table, set, elements }) => change(table, set, elements));
