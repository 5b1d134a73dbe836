// Network: links made on the host, addresses and routes set inside.
import { linkUp, type Step } from "@tsd/kernel-bindings";
import { hostMessages, insideMessages, insideSysctls } from "../network/interfaces.ts";
import type { ContainerSpec } from "../spec.ts";

/** Where the monitor opens the container's network namespace (launcher/context.h). */
const NETWORK_NAMESPACE_FD = 100;

export function hostNetworkSteps(spec: ContainerSpec): Step[] {
  if (spec.interfaces.length === 0) return [];
  const messages = spec.interfaces.flatMap((link) => hostMessages(link, NETWORK_NAMESPACE_FD));
  return [{ op: "netlink.host", messages: Buffer.concat(messages) }];
}

/** A container's own network namespace has at least a loopback that is up. */
export function networkSteps(spec: ContainerSpec): Step[] {
  if (spec.namespaces.network.kind !== "private") return [];
  const sysctls = spec.interfaces.flatMap(insideSysctls).map((sysctl): Step => ({ op: "sysctl", ...sysctl }));
  const messages = [linkUp("lo"), ...spec.interfaces.flatMap(insideMessages)];
  // Hooks have waited for the host already.
  const wait: Step[] = spec.hooks ? [] : [{ op: "await-host" }];
  return [...wait, ...sysctls, { op: "netlink", messages: Buffer.concat(messages) }];
}
