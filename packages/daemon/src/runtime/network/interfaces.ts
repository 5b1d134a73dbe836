// One interface of a container as rtnetlink messages: what is made on the host, and what is set inside. The launch plan and
// a live connect send the same.
import {
  addAddress,
  addRoute,
  createSublink,
  createVeth,
  linkUp,
  moveLink,
  setBridgePort,
} from "@tsd/kernel-bindings";
import type { InterfaceSpec } from "../spec.ts";
import { shapeMessages } from "./shape.ts";

/** Messages for the host's namespace; the container's is open on `namespaceDescriptor`. */
export function hostMessages(link: InterfaceSpec, namespaceDescriptor: number): Buffer[] {
  const { attachment } = link;
  if (attachment.kind === "device") return [moveLink(attachment.hostName, namespaceDescriptor)];
  if (attachment.kind !== "bridge")
    return [
      createSublink({
        name: link.name,
        index: link.index,
        parentIndex: attachment.parentIndex,
        mtu: link.mtu,
        mac: attachment.kind === "macvlan" ? link.mac : "",
        kind:
          attachment.kind === "macvlan"
            ? { type: "macvlan", mode: attachment.mode }
            : { type: "ipvlan", mode: attachment.mode },
        namespaceDescriptor,
      }),
    ];
  const pair = createVeth({
    name: attachment.hostName,
    index: attachment.hostIndex,
    bridgeIndex: attachment.bridgeIndex,
    mtu: link.mtu,
    peer: { name: link.name, index: link.index, mac: link.mac, namespaceDescriptor },
  });
  return [
    pair,
    setBridgePort(attachment.hostIndex, { isolated: attachment.isolated, hairpin: true }),
    ...shapeMessages(attachment.hostIndex, attachment.shape, attachment.shaper),
  ];
}

/** What must be written before the link is up: without an IPv6 address it has no IPv6 at all. */
export const insideSysctls = (link: InterfaceSpec): { path: string; value: string }[] => {
  if (link.attachment.kind === "device") return [];
  const ipv6 = link.addresses.some(({ address }) => address.includes(":"));
  return [
    { path: `/proc/sys/net/ipv6/conf/${link.name}/disable_ipv6`, value: ipv6 ? "0" : "1" },
    ...(ipv6 ? [{ path: `/proc/sys/net/ipv6/conf/${link.name}/accept_ra`, value: "0" }] : []),
  ];
};

/** Messages for the container's namespace. */
export function insideMessages(link: InterfaceSpec): Buffer[] {
  if (link.attachment.kind === "device") return [linkUp(link.attachment.hostName)];
  return [
    ...link.addresses.map(({ address, prefixLength }) => addAddress(link.index, address, prefixLength)),
    linkUp(link.name),
    ...link.gateways.map((gateway) =>
      addRoute({ index: link.index, gateway, family: gateway.includes(":") ? 6 : 4 }),
    ),
  ];
}
