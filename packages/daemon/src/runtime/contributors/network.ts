// Network: a veth pair for each interface, made on the host; addresses and routes, set inside.
import { addAddress, addRoute, createVeth, linkUp, type Step } from "@tsd/kernel-bindings";
import type { ContainerSpec } from "../spec.ts";

/** Where the monitor opens the container's network namespace (launcher/context.h). */
const NETWORK_NAMESPACE_FD = 100;
/** Interfaces in the container are numbered from here: above the tunnels that some kernels put into each namespace. */
const FIRST_INDEX = 100;

export function hostNetworkSteps(spec: ContainerSpec): Step[] {
  if (spec.interfaces.length === 0) return [];
  const messages = spec.interfaces.map((link, position) =>
    createVeth({
      name: link.hostName,
      index: link.hostIndex,
      bridgeIndex: link.bridgeIndex,
      mtu: link.mtu,
      peer: {
        name: link.name,
        index: FIRST_INDEX + position,
        mac: link.mac,
        namespaceDescriptor: NETWORK_NAMESPACE_FD,
      },
    }),
  );
  return [{ op: "netlink.host", messages: Buffer.concat(messages) }];
}

/** A container's own network namespace has at least a loopback that is up. */
export function networkSteps(spec: ContainerSpec): Step[] {
  if (spec.namespaces.network.kind !== "private") return [];
  const steps: Step[] = [{ op: "await-host" }];
  const messages = [linkUp("lo")];
  spec.interfaces.forEach((link, position) => {
    const index = FIRST_INDEX + position;
    if (!link.addresses.some(({ address }) => address.includes(":")))
      steps.push({ op: "sysctl", path: `/proc/sys/net/ipv6/conf/${link.name}/disable_ipv6`, value: "1" });
    for (const { address, prefixLength } of link.addresses)
      messages.push(addAddress(index, address, prefixLength));
    messages.push(linkUp(link.name));
    for (const gateway of link.gateways)
      messages.push(addRoute({ index, gateway, family: gateway.includes(":") ? 6 : 4 }));
  });
  return [...steps, { op: "netlink", messages: Buffer.concat(messages) }];
}
