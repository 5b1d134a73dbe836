// Links, addresses and routes as rtnetlink messages (linux/if_link.h, linux/rtnetlink.h).
import { isIPv4 } from "node:net";
import { addressBytes } from "../addresses.ts";
import { type Attribute, message, NLM_F_CREATE, NLM_F_EXCL } from "./message.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const RTA_OIF = 4;
const RTA_DST = 1;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const IFF_UP = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/** An interface name is 1 to 15 bytes (IFNAMSIZ). */
const name = (value: string): Attribute => [IFLA_IFNAME, { string: value }];

function linkHeader(index = 0, flags = 0, change = 0): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(change, 12);
  return header;
}

/** The bytes of a MAC address such as 02:42:ac:11:00:02. */
export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex");

const family = (address: string): number => (isIPv4(address) ? AF_INET : AF_INET6);

export interface VethPair {
  name: string;
  /** The kernel takes the peer's index only together with this one's. */
  index: number;
  bridgeIndex: number;
  mtu: number;
  /** The other end, created inside the network namespace that `namespaceDescriptor` is open on. */
  peer: { name: string; index: number; mac: string; namespaceDescriptor: number };
}

/** A veth pair whose peer is born inside its namespace, with the near end up and on its bridge, in one message:
 * moving an end afterwards would cost an RCU grace period. */
export const createVeth = (pair: VethPair): Buffer => {
  const inside = message(0, 0, linkHeader(pair.peer.index), [
    name(pair.peer.name),
    [IFLA_ADDRESS, { bytes: macBytes(pair.peer.mac) }],
    [IFLA_MTU, { u32: pair.mtu }],
    [IFLA_NET_NS_FD, { u32: pair.peer.namespaceDescriptor }],
  ]).subarray(16);
  return message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, linkHeader(pair.index, IFF_UP, IFF_UP), [
    name(pair.name),
    [IFLA_MTU, { u32: pair.mtu }],
    [IFLA_MASTER, { u32: pair.bridgeIndex }],
    [
      IFLA_LINKINFO,
      {
        nested: [
          [IFLA_INFO_KIND, { string: "veth" }],
          [IFLA_INFO_DATA, { nested: [[VETH_INFO_PEER, { bytes: inside }]] }],
        ],
      },
    ],
  ]);
};

/** Sets up a bridge's port (bridge(8)). What is isolated reaches only the bridge itself, and ports that are not. With
 * hairpin a frame may leave by the port that it came in: br_netfilter redirects on the bridge already, so that what goes
 * to a container's own published port never comes up to the host. */
export function setBridgePort(index: number, port: { isolated: boolean; hairpin: boolean }): Buffer {
  const IFLA_INFO_SLAVE_KIND = 4;
  const IFLA_INFO_SLAVE_DATA = 5;
  const IFLA_BRPORT_MODE = 4;
  const IFLA_BRPORT_ISOLATED = 33;
  return message(RTM_NEWLINK, 0, linkHeader(index), [
    [
      IFLA_LINKINFO,
      {
        nested: [
          [IFLA_INFO_SLAVE_KIND, { string: "bridge" }],
          [
            IFLA_INFO_SLAVE_DATA,
            {
              nested: [
                [IFLA_BRPORT_MODE, { u8: port.hairpin ? 1 : 0 }],
                [IFLA_BRPORT_ISOLATED, { u8: port.isolated ? 1 : 0 }],
              ],
            },
          ],
        ],
      },
    ],
  ]);
}

/** Modes of macvlan and macvtap links (linux/if_link.h). */
export const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
/** Modes of ipvlan links. */
export const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;

export interface Sublink {
  name: string;
  index: number;
  parentIndex: number;
  mtu: number;
  /** "" for the kernel's choice. */
  mac: string;
  kind:
    | { type: "macvlan"; mode: keyof typeof macvlanModes }
    | { type: "ipvlan"; mode: keyof typeof ipvlanModes };
  /** It is born in the network namespace that this is open on. */
  namespaceDescriptor: number;
}

/** A link that shares its parent's wire, inside another network namespace. */
export function createSublink(link: Sublink): Buffer {
  const IFLA_LINK = 5;
  const mode: Attribute[] =
    link.kind.type === "macvlan"
      ? [[1, { u32: macvlanModes[link.kind.mode] }]]
      : [[1, { u16: ipvlanModes[link.kind.mode] }]];
  return message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, linkHeader(link.index), [
    name(link.name),
    [IFLA_LINK, { u32: link.parentIndex }],
    ...(link.mtu ? ([[IFLA_MTU, { u32: link.mtu }]] as const) : []),
    ...(link.mac ? ([[IFLA_ADDRESS, { bytes: macBytes(link.mac) }]] as const) : []),
    [IFLA_NET_NS_FD, { u32: link.namespaceDescriptor }],
    [
      IFLA_LINKINFO,
      {
        nested: [
          [IFLA_INFO_KIND, { string: link.kind.type }],
          [IFLA_INFO_DATA, { nested: mode }],
        ],
      },
    ],
  ]);
}

/** A link for packets that go nowhere: the parent of networks without one. */
export const createDummy = (link: string): Buffer =>
  message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, linkHeader(), [
    name(link),
    [IFLA_LINKINFO, { nested: [[IFLA_INFO_KIND, { string: "dummy" }]] }],
  ]);

/** A link of one VLAN of its parent's. */
export const createVlan = (link: string, parentIndex: number, vlan: number): Buffer =>
  message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, linkHeader(), [
    name(link),
    [5, { u32: parentIndex }],
    [
      IFLA_LINKINFO,
      {
        nested: [
          [IFLA_INFO_KIND, { string: "vlan" }],
          [IFLA_INFO_DATA, { nested: [[1, { u16: vlan }]] }],
        ],
      },
    ],
  ]);

/** Moves a link, by name, into the network namespace that a descriptor is open on. */
export const moveLink = (link: string, namespaceDescriptor: number): Buffer =>
  message(RTM_NEWLINK, 0, linkHeader(), [name(link), [IFLA_NET_NS_FD, { u32: namespaceDescriptor }]]);

/** Whether packets on a bridge pass the packet filter of IP, too (br_netfilter): of this one bridge, whatever holds for
 * others. */
export function filterBridge(index: number, on: boolean): Buffer {
  const IFLA_BR_NF_CALL_IPTABLES = 36;
  const IFLA_BR_NF_CALL_IP6TABLES = 37;
  const value = { u8: on ? 1 : 0 };
  return message(RTM_NEWLINK, 0, linkHeader(index), [
    [
      IFLA_LINKINFO,
      {
        nested: [
          [IFLA_INFO_KIND, { string: "bridge" }],
          [
            IFLA_INFO_DATA,
            {
              nested: [
                [IFLA_BR_NF_CALL_IPTABLES, value],
                [IFLA_BR_NF_CALL_IP6TABLES, value],
              ],
            },
          ],
        ],
      },
    ],
  ]);
}

export const createBridge = (bridge: { name: string; mtu: number; mac: string }): Buffer =>
  message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, linkHeader(), [
    name(bridge.name),
    [IFLA_MTU, { u32: bridge.mtu }],
    [IFLA_ADDRESS, { bytes: macBytes(bridge.mac) }],
    [IFLA_LINKINFO, { nested: [[IFLA_INFO_KIND, { string: "bridge" }]] }],
  ]);

/** Brings a link up, by name. */
export const linkUp = (link: string): Buffer =>
  message(RTM_NEWLINK, 0, linkHeader(0, IFF_UP, IFF_UP), [name(link)]);
export const deleteLink = (link: string): Buffer => message(RTM_DELLINK, 0, linkHeader(), [name(link)]);
/** Puts a link, by name, into a group of links; and removes all links of a group. */
export const groupLink = (link: string, group: number): Buffer =>
  message(RTM_NEWLINK, 0, linkHeader(), [name(link), [IFLA_GROUP, { u32: group }]]);
export const deleteGroup = (group: number): Buffer =>
  message(RTM_DELLINK, 0, linkHeader(), [[IFLA_GROUP, { u32: group }]]);
export const getLink = (link: string): Buffer => message(RTM_GETLINK, 0, linkHeader(), [name(link)]);

/** Gives a link (by index) an address. IPv6 addresses skip duplicate detection: the engine hands each out once. */
export function addAddress(index: number, address: string, prefixLength: number): Buffer {
  const IFA_F_NODAD = 0x02;
  const header = Buffer.from([
    family(address),
    prefixLength,
    isIPv4(address) ? 0 : IFA_F_NODAD,
    0,
    0,
    0,
    0,
    0,
  ]);
  header.writeUInt32LE(index, 4);
  const bytes = addressBytes(address);
  const attributes: Attribute[] = [
    [IFA_LOCAL, { bytes }],
    [IFA_ADDRESS, { bytes }],
  ];
  if (isIPv4(address) && prefixLength < 31) {
    const broadcast = Buffer.alloc(4);
    broadcast.writeUInt32BE((bytes.readUInt32BE() | (2 ** (32 - prefixLength) - 1)) >>> 0);
    attributes.push([IFA_BROADCAST, { bytes: broadcast }]);
  }
  return message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, header, attributes);
}

/** The default route, in place of the one there is. */
export function replaceRoute({ gateway, family }: { gateway: string; family: 4 | 6 }): Buffer {
  const NLM_F_REPLACE = 0x100;
  const bytes = addRoute({ index: 0, gateway, family });
  bytes.writeUInt16LE((bytes.readUInt16LE(6) & ~NLM_F_EXCL) | NLM_F_REPLACE, 6);
  return bytes;
}

/** A route through a link (by index; 0 for the one that its gateway is on): to everywhere by a gateway unless a destination is given. */
export function addRoute(route: {
  index: number;
  gateway?: string;
  destination?: { address: string; prefixLength: number };
  source?: string;
  family: 4 | 6;
}): Buffer {
  const RT_TABLE_MAIN = 254;
  const RTPROT_BOOT = 3;
  const RT_SCOPE_UNIVERSE = 0;
  const RT_SCOPE_LINK = 253;
  const RTN_UNICAST = 1;
  const header = Buffer.from([
    route.family === 4 ? AF_INET : AF_INET6,
    route.destination?.prefixLength ?? 0,
    0,
    0,
    RT_TABLE_MAIN,
    RTPROT_BOOT,
    route.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
    RTN_UNICAST,
    0,
    0,
    0,
    0,
  ]);
  const attributes: Attribute[] = route.index ? [[RTA_OIF, { u32: route.index }]] : [];
  if (route.destination) attributes.push([RTA_DST, { bytes: addressBytes(route.destination.address) }]);
  if (route.gateway) attributes.push([RTA_GATEWAY, { bytes: addressBytes(route.gateway) }]);
  if (route.source) attributes.push([RTA_PREFSRC, { bytes: addressBytes(route.source) }]);
  return message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, header, attributes);
}
