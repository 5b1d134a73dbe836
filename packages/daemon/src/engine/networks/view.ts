// The networks there are, as the API shows them: the default bridge, the host's, and none.
import { macOfAddress } from "../../runtime/bridge.ts";
import type { Container } from "../containers/registry.ts";
import { notFound } from "../errors.ts";
import type { NetworkInfo } from "./default-network.ts";

interface Network {
  id: string;
  name: string;
  driver: string;
  ipam: { Subnet: string; Gateway: string }[];
}

/** Ids of networks that are not ours to make: fixed, so that scripts can keep them. */
const fixedId = (digit: string): string => digit.repeat(64);

const networksOf = (info: NetworkInfo): Network[] => [
  { id: info.id, name: info.name, driver: "bridge", ipam: [{ Subnet: info.subnet, Gateway: info.gateway }] },
  { id: fixedId("1"), name: "host", driver: "host", ipam: [] },
  { id: fixedId("0"), name: "none", driver: "null", ipam: [] },
];

function view(network: Network, info: NetworkInfo, containers: readonly Container[]): object {
  const members = containers.filter(
    (container) => container.running && container.record.definition.hostConfig.NetworkMode === network.name,
  );
  return {
    Name: network.name,
    Id: network.id,
    Created: info.created,
    Scope: "local",
    Driver: network.driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: network.ipam },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: Object.fromEntries(
      members.map(({ id, name, state }) => [
        id,
        {
          Name: name,
          EndpointID: "",
          MacAddress: state.address ? macOfAddress(state.address) : "",
          IPv4Address: state.address ? `${state.address}/${info.prefixLength}` : "",
          IPv6Address: "",
        },
      ]),
    ),
    Options: {},
    Labels: {},
  };
}

export const listNetworks = (info: NetworkInfo): object[] =>
  networksOf(info).map((network) => view(network, info, []));

/** By name, id or id prefix. Throws not-found with Docker's words. */
export function inspectNetwork(
  info: NetworkInfo,
  reference: string,
  containers: readonly Container[],
): object {
  const network =
    networksOf(info).find(({ name, id }) => name === reference || id === reference) ??
    networksOf(info).find(({ id }) => id.startsWith(reference));
  if (!network) throw notFound(`network ${reference} not found`);
  return view(network, info, containers);
}
