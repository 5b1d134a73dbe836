// What a network namespace has now: links, addresses and routes, read by rtnetlink (rtnetlink(7)).
import { addressText } from "../addresses.ts";
import { message, NLM_F_DUMP, parseAttributes } from "./message.ts";
import { netlinkDump, netlinkDumps } from "./socket.ts";

const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
const AF_INET = 2;
const AF_INET6 = 10;
const none = Buffer.alloc(0);
const text = (bytes: Buffer | undefined): string => bytes?.toString("utf8").replace(/\0.*$/s, "") ?? "";

export interface LinkState {
  index: number;
  name: string;
  mac: string;
  mtu: number;
  up: boolean;
  /** "veth", "bridge", …; "" for what has none (lo, hardware). */
  kind: string;
  /** The index of the bridge it is a port of; 0 for none. */
  master: number;
  /** Of a bridge's port. */
  isolated: boolean;
}

export interface AddressState {
  index: number;
  address: string;
  prefixLength: number;
  /** 0: universe; 253: link; 254: host. */
  scope: number;
}

export interface RouteState {
  family: 4 | 6;
  /** "" for the default. */
  destination: string;
  prefixLength: number;
  gateway: string;
  index: number;
  /** 2: by the kernel itself; 3: boot (as ip(8) without a word); 9: router advertisement. */
  protocol: number;
  table: number;
  /** 1: unicast. */
  type: number;
}

function linkState(body: Buffer): LinkState {
  const attributes = parseAttributes(body.subarray(16));
  const information = parseAttributes(attributes.get(18) ?? none);
  const port = parseAttributes(information.get(5) ?? none);
  return {
    index: body.readInt32LE(4),
    name: text(attributes.get(3)),
    mac:
      attributes
        .get(1)
        ?.toString("hex")
        .replace(/(..)(?=.)/g, "$1:") ?? "",
    mtu: attributes.get(4)?.readUInt32LE(0) ?? 0,
    up: (body.readUInt32LE(8) & 1) === 1,
    kind: text(information.get(1)),
    master: attributes.get(10)?.readUInt32LE(0) ?? 0,
    isolated: port.get(33)?.[0] === 1,
  };
}

function addressState(body: Buffer): AddressState {
  const attributes = parseAttributes(body.subarray(8));
  return {
    index: body.readUInt32LE(4),
    address: addressText(attributes.get(2) ?? attributes.get(1) ?? none),
    prefixLength: body[1] ?? 0,
    scope: body[3] ?? 0,
  };
}

function routeStates(body: Buffer): RouteState[] {
  if (body[0] !== AF_INET && body[0] !== AF_INET6) return [];
  const attributes = parseAttributes(body.subarray(12));
  const destination = attributes.get(1);
  const gateway = attributes.get(5);
  return [
    {
      family: body[0] === AF_INET ? 4 : 6,
      destination: destination ? addressText(destination) : "",
      prefixLength: body[1] ?? 0,
      gateway: gateway ? addressText(gateway) : "",
      index: attributes.get(4)?.readUInt32LE(0) ?? 0,
      protocol: body[5] ?? 0,
      table: attributes.get(15)?.readUInt32LE(0) ?? body[4] ?? 0,
      type: body[7] ?? 0,
    },
  ];
}

export interface NetworkState {
  links: LinkState[];
  addresses: AddressState[];
  routes: RouteState[];
}

const request = (type: number, size: number): Buffer => message(type, NLM_F_DUMP, Buffer.alloc(size), []);
const linkRequest = request(RTM_GETLINK, 16);
const requests = [linkRequest, request(RTM_GETADDR, 8), request(RTM_GETROUTE, 12)];

/** What the network namespace at `namespace` (a path) has. Throws KernelError. */
export function readNetwork(namespace: string): NetworkState {
  const [links = [], addresses = [], routes = []] = netlinkDumps(requests, "network", namespace);
  return {
    links: links.map(linkState),
    addresses: addresses.map(addressState),
    routes: routes.flatMap(routeStates),
  };
}

/** The links of the daemon's own network namespace. */
/** Bytes that went through a link. */
export interface LinkBytes {
  received: number;
  sent: number;
}

const RTM_GETSTATS = 94;
/** struct if_stats_msg (linux/if_link.h), asking for IFLA_STATS_LINK_64. */
const STATS_HEADER = 12;
const statsRequest = message(RTM_GETSTATS, NLM_F_DUMP, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]), []);

/** What went through each link of this network namespace, by its index: all in a fraction of the time that looking into each
 * container takes. Throws KernelError. */
export function readLinkBytes(): Map<number, LinkBytes> {
  return new Map(
    netlinkDump(statsRequest, "link statistics").map((body) => {
      // struct rtnl_link_stats64: packets received and sent, bytes received and sent, …
      const counters = parseAttributes(body.subarray(STATS_HEADER)).get(1);
      return [
        body.readUInt32LE(4),
        {
          received: Number(counters?.readBigUInt64LE(16) ?? 0n),
          sent: Number(counters?.readBigUInt64LE(24) ?? 0n),
        },
      ];
    }),
  );
}

export const readLinks = (): LinkState[] => netlinkDump(linkRequest, "links").map(linkState);
