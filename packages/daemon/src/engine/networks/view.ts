// Networks and endpoints as the API shows them.
import type { EndpointRequest } from "../../api/schemas/container-create.ts";
import type { Sight } from "../access/caller.ts";
import type { Container, ContainerRegistry } from "../containers/registry.ts";
import type { Network } from "./network.ts";
import { emptyEndpoint } from "./places.ts";
import type { EndpointState, PublishedPort } from "./record.ts";

const withPrefix = (address: string, prefixLength: number): string =>
  address ? `${address}/${prefixLength}` : "";

/** The body of GET /networks/{id}; in a list, without its containers. */
export function networkView(network: Network, members: ContainerRegistry | undefined, sight: Sight): object {
  const { record } = network;
  const containers: Record<string, object> = {};
  for (const [id, endpoint] of members ? network.endpoints : []) {
    const container = members?.look(id, sight);
    if (!container) continue;
    containers[id] = {
      Name: container.name,
      EndpointID: endpoint.endpointId,
      MacAddress: endpoint.mac,
      IPv4Address: withPrefix(endpoint.address, endpoint.prefixLength),
      IPv6Address: withPrefix(endpoint.address6, endpoint.prefixLength6),
    };
  }
  return {
    Name: record.name,
    Id: record.id,
    Created: record.created,
    Scope: "local",
    Driver: record.driver,
    EnableIPv4: record.ipv4,
    EnableIPv6: record.ipv6,
    IPAM: {
      Driver: record.ipam.driver,
      Options: record.ipam.options,
      Config: record.ipam.config.length > 0 ? record.ipam.config : null,
    },
    Internal: record.internal,
    Attachable: record.attachable,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: containers,
    Options: record.options,
    Labels: record.labels,
    Owner: record.owner,
  };
}

/** The names by which a container is known in a network of users': its own, its aliases, its short id, its hostname. */
export function dnsNames(container: Container, request: EndpointRequest): string[] {
  const { config } = container.record.definition;
  return [
    ...new Set([container.name, ...(request.Aliases ?? []), container.id.slice(0, 12), config.Hostname]),
  ].filter((name) => name !== "");
}

function endpointView(
  container: Container,
  request: EndpointRequest,
  endpoint: EndpointState | undefined,
  userDefined: boolean,
): Record<string, unknown> {
  return {
    IPAMConfig: request.IPAMConfig && {
      ...(request.IPAMConfig.IPv4Address ? { IPv4Address: request.IPAMConfig.IPv4Address } : {}),
      ...(request.IPAMConfig.IPv6Address ? { IPv6Address: request.IPAMConfig.IPv6Address } : {}),
      ...(request.IPAMConfig.LinkLocalIPs?.length ? { LinkLocalIPs: request.IPAMConfig.LinkLocalIPs } : {}),
    },
    Links: request.Links,
    Aliases: request.Aliases,
    MacAddress: endpoint?.mac ?? "",
    DriverOpts: request.DriverOpts,
    GwPriority: request.GwPriority,
    NetworkID: endpoint?.networkId ?? "",
    EndpointID: endpoint?.endpointId ?? "",
    Gateway: endpoint?.gateway ?? "",
    IPAddress: endpoint?.address ?? "",
    IPPrefixLen: endpoint?.prefixLength ?? 0,
    IPv6Gateway: endpoint?.gateway6 ?? "",
    GlobalIPv6Address: endpoint?.address6 ?? "",
    GlobalIPv6PrefixLen: endpoint?.prefixLength6 ?? 0,
    DNSNames: userDefined && endpoint ? dnsNames(container, request) : null,
  };
}

const builtIn: ReadonlySet<string> = new Set(["bridge", "host", "none", "default"]);

/** NetworkSettings.Networks: what was asked for, and what the container has while it runs. */
export function networksView(container: Container): Record<string, Record<string, unknown>> {
  const { networks } = container.record.definition;
  return Object.fromEntries(
    Object.entries(networks).map(([name, request]) => [
      name,
      endpointView(
        container,
        request ?? emptyEndpoint(),
        container.state.endpoints[name],
        !builtIn.has(name),
      ),
    ]),
  );
}

/** The same in a list, which does not tell what was asked for. */
export function networkSummaries(container: Container): Record<string, object> {
  const networks = Object.entries(networksView(container));
  const untold = { Links: null, Aliases: null, DriverOpts: null, DNSNames: null };
  return Object.fromEntries(networks.map(([name, endpoint]) => [name, { ...endpoint, ...untold }]));
}

const portKey = ({ containerPort, protocol }: PublishedPort): string => `${containerPort}/${protocol}`;

/** NetworkSettings.Ports: every exposed port, with where it is published. */
export function portsView(container: Container): Record<string, object[] | null> {
  if (!container.alive) return {};
  const ports: Record<string, object[] | null> = {};
  for (const exposed of Object.keys(container.record.definition.config.ExposedPorts ?? {}))
    ports[exposed.includes("/") ? exposed : `${exposed}/tcp`] = null;
  for (const port of container.state.ports) {
    const key = portKey(port);
    ports[key] = [...(ports[key] ?? []), { HostIp: port.hostAddress, HostPort: String(port.hostPort) }];
  }
  return ports;
}

/** The list's Ports. */
export function portSummaries(container: Container): object[] {
  return Object.entries(portsView(container)).flatMap(([key, bindings]) => {
    const [number, Type] = key.split("/");
    const PrivatePort = Number(number);
    if (!bindings) return [{ PrivatePort, Type }];
    return (bindings as { HostIp: string; HostPort: string }[]).map(({ HostIp, HostPort }) => ({
      IP: HostIp,
      PrivatePort,
      PublicPort: Number(HostPort),
      Type,
    }));
  });
}
