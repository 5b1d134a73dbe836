// Links, addresses, routes and traffic shaping of a container against the places that it has in networks now.
import {
  type AddressState,
  type LinkState,
  type NetworkState,
  type RouteState,
  readNetwork,
  type TrafficState,
} from "@tsd/kernel-bindings";
import {
  classHandle,
  classSettings,
  isShaped,
  type Shape,
  type ShapeDirection,
  type Shaper,
} from "../network/shape.ts";
import { type Drift, drift, unlessAllowed } from "./drift.ts";

export interface ExpectedLink {
  name: string;
  /** "" where it is not known: a device of the host's. */
  mac: string;
  /** "address/length"; undefined where they are not the engine's. */
  addresses: readonly string[] | undefined;
  /** The other end, on a bridge. */
  host:
    | {
        name: string;
        index: number;
        bridgeIndex: number;
        isolated: boolean;
        shape: Shape;
        shaper: Shaper | undefined;
      }
    | undefined;
}

export interface ExpectedNetwork {
  links: readonly ExpectedLink[];
  /** Of the default routes; "" for none. */
  gateways: { 4: string; 6: string };
}

/** The host's side, read once. */
export interface HostNetwork {
  links: ReadonlyMap<number, LinkState>;
  qdiscs: ReadonlyMap<number, readonly TrafficState[]>;
  /** The classes of one link, asked for where there ought to be some. */
  classesOf: (index: number) => readonly TrafficState[];
}

/** Tunnels that some kernels put into every network namespace. */
const kernelsOwn = /^(lo|tunl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|sit0|ip6tnl0|ip6gre0)$/;
const ROUTE_BY_KERNEL = 2;
const ROUTE_BY_ADVERTISEMENT = 9;
const MAIN_TABLE = 254;
const LINK_SCOPE = 253;
const UNICAST = 1;

const cidr = ({ address, prefixLength }: AddressState): string => `${address}/${prefixLength}`;
const routeText = ({ family, destination, prefixLength, gateway }: RouteState, link: string): string =>
  `IPv${family} ${destination ? `${destination}/${prefixLength}` : "default"}${gateway ? ` by ${gateway}` : ""} through ${link}`;

/** Compares what a container's network namespace has with what it ought to. */
export function compareInside({ links, gateways }: ExpectedNetwork, found: NetworkState): Drift[] {
  const drifts: Drift[] = [];
  const byName = new Map(found.links.map((link) => [link.name, link]));
  const nameOf = new Map(found.links.map(({ index, name }) => [index, name]));
  for (const { name, mac, addresses } of links) {
    const link = byName.get(name);
    if (!link) {
      drifts.push(drift("network", `link ${name}`, "there", "not there", "high"));
      continue;
    }
    if (!link.up) drifts.push(drift("network", `link ${name}`, "up", "down", "medium"));
    if (mac && link.mac !== mac)
      drifts.push(drift("network", `MAC address of ${name}`, mac, link.mac, "medium"));
    if (!addresses) continue;
    const has = found.addresses
      .filter(({ index, scope }) => index === link.index && scope !== LINK_SCOPE)
      .map(cidr);
    for (const one of addresses)
      if (!has.includes(one))
        drifts.push(drift("network", `address of ${name}`, one, has.join(" ") || "none", "medium"));
    for (const one of has)
      if (!addresses.includes(one))
        drifts.push(drift("network", `address of ${name}`, "none besides", one, "medium"));
  }
  const known = new Set(links.map(({ name }) => name));
  for (const { name, kind } of found.links)
    if (!known.has(name) && !kernelsOwn.test(name))
      drifts.push(drift("network", `link ${name}`, "not there", kind || "there", "high"));
  const opaque = new Set(links.filter(({ addresses }) => !addresses).map(({ name }) => name));
  const defaults = { 4: [] as string[], 6: [] as string[] };
  for (const route of found.routes) {
    const link = nameOf.get(route.index) ?? "";
    if (route.table !== MAIN_TABLE || route.type !== UNICAST || opaque.has(link)) continue;
    if (route.protocol === ROUTE_BY_KERNEL || route.protocol === ROUTE_BY_ADVERTISEMENT) continue;
    if (route.destination === "") defaults[route.family].push(route.gateway);
    if (route.destination === "" && route.gateway === gateways[route.family]) continue;
    drifts.push(drift("network", "route", "none besides", routeText(route, link), "medium"));
  }
  for (const family of [4, 6] as const)
    if (gateways[family] && !defaults[family].includes(gateways[family]))
      drifts.push(
        drift(
          "network",
          `IPv${family} default route`,
          `by ${gateways[family]}`,
          defaults[family].join(" ") || "none",
          "medium",
        ),
      );
  return drifts;
}

/** The kernel counts whole bytes. */
const close = (one: number, other: number): boolean => Math.abs(one - other) <= 8;
const rates = ({ rate, ceiling }: { rate: number; ceiling: number }): string =>
  `${rate} bit/s, at most ${ceiling}`;

/** The classes of one direction. */
function compareClasses(what: string, direction: ShapeDirection, found: readonly TrafficState[]): Drift[] {
  const wanted = classSettings(direction).map((one) => ({ ...one, handle: classHandle(one.number) }));
  const missing = wanted.flatMap((one) => {
    const own = found.find(({ handle }) => handle === one.handle);
    if (own && close(own.rate, one.rate) && close(own.ceiling, one.ceiling)) return [];
    return [
      drift("traffic", `class ${one.handle} ${what}`, rates(one), own ? rates(own) : "not there", "medium"),
    ];
  });
  const strange = found
    .filter(({ handle }) => !wanted.some((one) => one.handle === handle))
    .map((one) => drift("traffic", `class ${one.handle} ${what}`, "not there", rates(one), "medium"));
  return [...missing, ...strange];
}

/** The qdisc that shapes one direction, with its classes. */
function compareTraffic(
  what: string,
  direction: ShapeDirection,
  index: number,
  { qdiscs, classesOf }: HostNetwork,
): Drift[] {
  const found = qdiscs.get(index) ?? [];
  const root = found.find(({ kind }) => kind === "tbf" || kind === "htb");
  if (!isShaped(direction))
    return root ? [drift("traffic", what, "not shaped", `${root.kind} ${root.rate} bit/s`, "low")] : [];
  const kind = direction.classes.length > 0 ? "htb" : "tbf";
  if (root?.kind !== kind) return [drift("traffic", what, kind, root?.kind ?? "no qdisc", "medium")];
  if (kind === "htb") return compareClasses(what, direction, classesOf(index));
  const wanted = { rate: direction.rate, ceiling: direction.ceiling || direction.rate };
  return close(root.rate, wanted.rate) && close(root.ceiling, wanted.ceiling)
    ? []
    : [drift("traffic", what, rates(wanted), rates(root), "medium")];
}

/** Compares the host's ends of a container's links, and how traffic goes through them. */
export function compareOutside({ links }: ExpectedNetwork, outside: HostNetwork): Drift[] {
  const { links: there, qdiscs } = outside;
  return links.flatMap(({ name, host }): Drift[] => {
    if (!host) return [];
    const link = there.get(host.index);
    const what = `${host.name} (${name})`;
    if (!link) return [drift("network", `link ${what}`, "there", "not there", "high")];
    const drifts: Drift[] = [];
    if (link.name !== host.name)
      drifts.push(drift("network", `link ${what}`, host.name, link.name, "medium"));
    if (link.master !== host.bridgeIndex)
      drifts.push(
        drift(
          "network",
          `bridge of ${what}`,
          `link ${host.bridgeIndex}`,
          link.master ? `link ${link.master}` : "none",
          "high",
        ),
      );
    if (host.isolated && !link.isolated)
      drifts.push(drift("network", `bridge port ${what}`, "isolated", "not isolated", "high"));
    drifts.push(...compareTraffic(`to the container by ${what}`, host.shape.in, host.index, outside));
    const { shaper } = host;
    if (!shaper || !isShaped(host.shape.out)) return drifts;
    const led = (qdiscs.get(host.index) ?? []).some(({ kind }) => kind === "ingress");
    if (!led || !there.has(shaper.index))
      drifts.push(
        drift("traffic", `from the container by ${what}`, `led through ${shaper.name}`, "not led", "medium"),
      );
    else
      drifts.push(...compareTraffic(`from the container by ${what}`, host.shape.out, shaper.index, outside));
    return drifts;
  });
}

/** Verifies a network namespace that is the container's own. */
export function verifyNetwork(
  pid: number,
  expected: ExpectedNetwork,
  host: HostNetwork,
  bounding: bigint,
): Drift[] {
  const inside = compareInside(expected, readNetwork(`/proc/${pid}/ns/net`));
  return [...unlessAllowed(inside, "NET_ADMIN", bounding), ...compareOutside(expected, host)];
}
