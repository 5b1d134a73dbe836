// Names: the sockets of the container's name server, and the rules that lead port 53 to them.
import { NAME_SERVER_ADDRESS, nameServerRules, type Step } from "@tsd/kernel-bindings";
import type { ContainerSpec } from "../spec.ts";

const DNS_PORT = 53;

/** After the network's steps: the address is there once the loopback is up. */
export function nameServerSteps(spec: Pick<ContainerSpec, "namespaces" | "nameServer">): Step[] {
  if (!spec.nameServer || spec.namespaces.network.kind !== "private") return [];
  const { port } = spec.nameServer;
  const steps: Step[] = [{ op: "name-server.listen", address: NAME_SERVER_ADDRESS, port }];
  return port === DNS_PORT ? steps : [...steps, { op: "netfilter", messages: nameServerRules(port) }];
}
