// What the daemon does for a container beside its launch plan: in the host's packet filter, and on the disk. In words.

import type { ContainerDefinition } from "../containers/record.ts";
import { requestedPorts } from "../networks/ports.ts";
import type { EndpointState } from "../networks/record.ts";

export interface BesideItem {
  Does: string;
  Why: string;
}

/** In the order in which it happens. */
export function besidePlan(
  { hostConfig, config }: ContainerDefinition,
  endpoints: Readonly<Record<string, EndpointState>>,
): BesideItem[] {
  const items: BesideItem[] = [];
  const size = hostConfig.StorageOpt?.size;
  if (size)
    items.push({
      Does: `limit the writable layer to ${size} (made at create)`,
      Why: "a container must not fill the host's disk",
    });
  for (const endpoint of Object.values(endpoints)) {
    if (endpoint.hostIndex === 0) continue;
    const addresses = [endpoint.address, endpoint.address6].filter(Boolean).join(" and ");
    items.push({
      Does: `nf_tables bridge tsd: from ${endpoint.hostName} take only frames of ${endpoint.mac} with source ${addresses}`,
      Why: "it can't speak in another's name (ARP, IPv4, IPv6), where the network's source guard is on",
    });
  }
  const own = Object.values(endpoints).find(({ hostIndex }) => hostIndex > 0);
  if (own)
    for (const { protocol, containerPort, hostAddress, hostPorts } of requestedPorts(
      hostConfig,
      config.ExposedPorts,
    ))
      items.push({
        Does: `nf_tables ip tsd: lead ${hostAddress || "every address"} port ${shownPorts(hostPorts)}/${protocol} of the host to port ${containerPort}`,
        Why: "--publish asked for it",
      });
  return items;
}

const shownPorts = (ports: { first: number; last: number } | undefined): string =>
  !ports
    ? "of the engine's choice"
    : ports.first === ports.last
      ? `${ports.first}`
      : `${ports.first}-${ports.last}`;
