// A container's place in a network: what was asked for, what it was given, and the interface that comes of it.
import { findLink } from "@tsd/kernel-bindings";
import type { EndpointRequest } from "../../api/schemas/container-create.ts";
import type { Shape } from "../../runtime/network/shape.ts";
import type { Attachment, InterfaceSpec } from "../../runtime/spec.ts";
import { invalid } from "../errors.ts";
import type { Network } from "./network.ts";
import type { EndpointState } from "./record.ts";
import { sublinkOptions } from "./sublinks.ts";

const DEVICE = /^device:(.+)$/;

export const emptyEndpoint = (): EndpointRequest => ({
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: "",
  DriverOpts: null,
  GwPriority: 0,
});

/** A host's device that a mode asks for, or undefined. */
export const deviceOf = (mode: string): string | undefined => DEVICE.exec(mode)?.[1];

export interface Place {
  name: string;
  network: Network;
  request: EndpointRequest;
  endpoint: EndpointState;
  shape: Shape;
}

/** The place whose gateway the default route leads to: by priority, then by name. */
export function gatewayPlace<T extends Pick<Place, "name" | "network" | "request" | "endpoint">>(
  places: readonly T[],
  family: 4 | 6,
): T | undefined {
  const gateway = ({ endpoint }: T): string => (family === 4 ? endpoint.gateway : endpoint.gateway6);
  return places
    .filter((place) => place.network.leadsOut && gateway(place))
    .sort((a, b) => b.request.GwPriority - a.request.GwPriority || (a.name < b.name ? -1 : 1))[0];
}

/** The addresses that an endpoint has. */
export const shownAddresses = ({ address, address6 }: EndpointState): string[] =>
  [address, address6].filter((text) => text !== "");

/** All addresses of an endpoint's interface. */
export const interfaceAddresses = ({
  address,
  prefixLength,
  address6,
  prefixLength6,
  linkLocal = [],
}: EndpointState): { address: string; prefixLength: number }[] => [
  ...(address ? [{ address, prefixLength }] : []),
  ...(address6 ? [{ address: address6, prefixLength: prefixLength6 }] : []),
  ...linkLocal.map((one) => ({ address: one, prefixLength: one.includes(":") ? 64 : 16 })),
];

/** The interface of a place, with the index that it has in the container; none for the host's and no network. */
export function interfaceOf(place: Place, index: number, defaultMtu: number): InterfaceSpec | undefined {
  const { network, endpoint, shape } = place;
  if (!endpoint.interface) return undefined;
  const { record, bridge, link } = network;
  const attachment: Attachment = bridge
    ? {
        kind: "bridge",
        hostName: endpoint.hostName,
        hostIndex: endpoint.hostIndex,
        bridgeIndex: link.index,
        isolated: !bridge.icc,
        shape,
        shaper: endpoint.shaper,
      }
    : { ...sublinkOptions(record).kind, parentIndex: link.index };
  const addresses = interfaceAddresses(endpoint);
  const mtu = bridge ? bridge.mtu || defaultMtu : 0;
  return { name: endpoint.interface, index, attachment, mtu, mac: endpoint.mac, addresses, gateways: [] };
}

/** A device of the host's, as it is. Throws if it is not there. */
export function deviceInterface(device: string): InterfaceSpec {
  if (!findLink(device)) throw invalid(`network device ${device} not found on this host`);
  return {
    name: device,
    index: 0,
    attachment: { kind: "device", hostName: device },
    mtu: 0,
    mac: "",
    addresses: [],
    gateways: [],
  };
}

/** Puts the default routes on the interfaces that they go through. */
export function routeThrough(places: readonly Place[], interfaces: InterfaceSpec[]): void {
  for (const family of [4, 6] as const) {
    const chosen = gatewayPlace(places, family)?.endpoint;
    const at = interfaces.findIndex(({ name }) => name === chosen?.interface);
    const link = interfaces[at];
    if (!chosen || !link) continue;
    interfaces[at] = {
      ...link,
      gateways: [...link.gateways, family === 4 ? chosen.gateway : chosen.gateway6],
    };
  }
}

export const deviceEndpoint = (device: string): EndpointState => ({
  networkId: "",
  endpointId: "",
  interface: device,
  hostName: device,
  hostIndex: 0,
  mac: "",
  address: "",
  prefixLength: 0,
  gateway: "",
  address6: "",
  prefixLength6: 0,
  gateway6: "",
});
