// The links that networks have on the host: bridges, and what macvlan networks hang on.
import { writeFileSync } from "node:fs";
import {
  addAddress,
  createBridge,
  createDummy,
  createVlan,
  findLink,
  KernelError,
  type Link,
  linkUp,
  netlinkRequest,
} from "@tsd/kernel-bindings";

const EEXIST = 17;

export interface BridgeLink {
  name: string;
  /** The bridge's own addresses; none for networks that are closed to the host. */
  addresses: readonly { address: string; prefixLength: number }[];
  mtu: number;
  mac: string;
  ipv6: boolean;
}

/** A locally administered MAC address for an IPv4 address, as Docker's 02:42 ones. */
export const macOfAddress = (address: string): string =>
  `02:42:${address
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join(":")}`;

function setNetworkSysctl(path: string, value: string): void {
  writeFileSync(`/proc/sys/net/${path}`, value);
}

/** Makes the bridge, or takes the one that is there, brings it up, and sees to its addresses. */
export function ensureBridge(bridge: BridgeLink): Link {
  if (!findLink(bridge.name))
    netlinkRequest(createBridge({ name: bridge.name, mtu: bridge.mtu, mac: bridge.mac }), bridge.name);
  const link = findLink(bridge.name);
  if (!link) throw new Error(`bridge ${bridge.name} vanished while it was made`);
  // Published ports are reached from the host's own 127.0.0.1; host-tables.ts keeps others from doing so.
  setNetworkSysctl(`ipv4/conf/${bridge.name}/route_localnet`, "1");
  setNetworkSysctl(`ipv6/conf/${bridge.name}/disable_ipv6`, bridge.ipv6 ? "0" : "1");
  if (bridge.ipv6) setNetworkSysctl(`ipv6/conf/${bridge.name}/accept_ra`, "0");
  for (const { address, prefixLength } of bridge.addresses) {
    try {
      netlinkRequest(addAddress(link.index, address, prefixLength), address);
    } catch (error) {
      if (!(error instanceof KernelError && error.errno === EEXIST)) throw error;
    }
  }
  netlinkRequest(linkUp(bridge.name), bridge.name);
  return link;
}

/** Whether the host answers for containers whose ports are isolated from each other, so that what they send to each other comes
 * by way of the host, whose rules decide (RFC 3069). */
export function answerForPorts(bridge: string, on: boolean): void {
  // At once: the kernel waits up to 0.8 s otherwise, in case somebody else answers.
  if (on) setNetworkSysctl(`ipv4/neigh/${bridge}/proxy_delay`, "0");
  setNetworkSysctl(`ipv4/conf/${bridge}/proxy_arp_pvlan`, on ? "1" : "0");
}

/** The link that a macvlan or ipvlan network's containers hang on: one of the host's, a VLAN of it, or, for `dummy`, one
 * that leads nowhere. Throws KernelError where the kernel lacks what it takes. */
export function ensureParent(parent: {
  name: string;
  dummy: boolean;
  vlan?: { of: string; id: number };
}): Link {
  const found = findLink(parent.name);
  if (!found && parent.dummy) netlinkRequest(createDummy(parent.name), parent.name);
  if (!found && parent.vlan) {
    const below = findLink(parent.vlan.of);
    if (!below) throw new KernelError("netlink", 19, parent.vlan.of);
    netlinkRequest(createVlan(parent.name, below.index, parent.vlan.id), parent.name);
  }
  const link = found ?? findLink(parent.name);
  if (!link) throw new KernelError("netlink", 19, parent.name);
  if (!found) netlinkRequest(linkUp(parent.name), parent.name);
  return link;
}
