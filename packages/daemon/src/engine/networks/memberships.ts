// Which container is in which networks: joined at its start, changed while it runs, left at its end.
import { randomBytes, randomInt } from "node:crypto";
import { connectionless, findLink, forgetConnections, KernelError } from "@tsd/kernel-bindings";
import type { EndpointRequest } from "../../api/schemas/container-create.ts";
import { macOfAddress } from "../../runtime/network/bridge.ts";
import type { Entries, GuardedPort, Redirect } from "../../runtime/network/host-tables.ts";
import type { Attachment, InterfaceSpec } from "../../runtime/spec.ts";
import { everything } from "../access/caller.ts";
import { EngineError, invalid } from "../errors.ts";
import { type Network, newId } from "./network.ts";
import type { HostPorts, PortRequest } from "./ports.ts";
import type { EndpointState, PublishedPort } from "./record.ts";
import type { NetworkService } from "./service.ts";
import { sublinkOptions } from "./sublinks.ts";
import { canonicalAddress } from "./subnet.ts";

/** A container as far as networks are concerned. */
export interface Member {
  id: string;
  name: string;
  /** HostConfig.NetworkMode: the network that comes first. */
  mode: string;
  /** What is asked of each network, by the names that requests gave. */
  networks: Readonly<Record<string, EndpointRequest>>;
  /** What some of the names stood for at create, and nothing else may. */
  networkIds: Readonly<Record<string, string>>;
  /** Its labels, with its name among them (policies/selector.ts). */
  labels: Readonly<Record<string, string>>;
  ports: readonly PortRequest[];
}

/** What a container has while it runs; kept with its state. */
export interface Membership {
  endpoints: Record<string, EndpointState>;
  ports: PublishedPort[];
}

/** A membership, and the interfaces that are to be made for it, in their order. */
export interface Joined extends Membership {
  interfaces: InterfaceSpec[];
}

/** Interfaces in the container are numbered from here: above the tunnels that some kernels put into each namespace. */
const FIRST_INDEX = 100;
/** Far above the numbers that the kernel gives out. */
const HOST_INDEXES = [2 ** 24, 2 ** 31 - 1] as const;
const DEVICE = /^device:(.+)$/;
const IFNAME = "com.docker.network.endpoint.ifname";

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

interface Place {
  name: string;
  network: Network;
  request: EndpointRequest;
  endpoint: EndpointState;
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

const shownAddresses = ({ address, address6 }: EndpointState): string[] =>
  [address, address6].filter((text) => text !== "");

/** A container in one network, for those who watch who comes and goes. */
export interface WatchedMember {
  labels: Readonly<Record<string, string>>;
  addresses: readonly string[];
  endpoint: EndpointState;
}

/** Told before a container's interface is there, and after it is gone. */
export interface MembershipWatcher {
  joined(networkId: string, id: string, member: WatchedMember): void;
  left(networkId: string, id: string): void;
}

export interface MembershipParts {
  networks: NetworkService;
  hostPorts: HostPorts;
  /** Of networks that do not say. */
  mtu: number;
  watchers: readonly MembershipWatcher[];
}

export class Memberships {
  readonly #networks: NetworkService;
  readonly #hostPorts: HostPorts;
  readonly #mtu: number;
  readonly #watchers: readonly MembershipWatcher[];

  constructor({ networks, hostPorts, mtu, watchers }: MembershipParts) {
    this.#networks = networks;
    this.#hostPorts = hostPorts;
    this.#mtu = mtu;
    this.#watchers = watchers;
  }

  /** Gives a container its places in its networks. Throws what a start fails with; nothing is held then. */
  join(member: Member): Joined {
    const device = deviceOf(member.mode);
    const others = Object.keys(member.networks).filter((name) => name !== member.mode);
    const names = [...(member.mode in member.networks ? [member.mode] : []), ...others.sort()];
    const places: Place[] = [];
    const interfaces: InterfaceSpec[] = [];
    try {
      for (const name of names) {
        const place = this.#enter(member, name, places);
        places.push(place);
        const link = this.#interface(place, FIRST_INDEX + interfaces.length);
        if (link) interfaces.push(link);
      }
      if (device) interfaces.push(this.#deviceInterface(device));
      this.#route(places, interfaces);
      const ports = this.#publish(member, places);
      const endpoints = Object.fromEntries(places.map(({ name, endpoint }) => [name, endpoint]));
      if (device) endpoints[member.mode] = deviceEndpoint(device);
      this.#tell(member.id, { endpoints, ports });
      return { endpoints, ports, interfaces };
    } catch (error) {
      this.leave(member.id, {
        endpoints: Object.fromEntries(places.map(({ name, endpoint }) => [name, endpoint])),
        ports: [],
      });
      throw error;
    }
  }

  /** One more network for a running container: its place, and the interface to be made. */
  add(
    member: Member,
    membership: Membership,
    name: string,
  ): { endpoint: EndpointState; link: InterfaceSpec | undefined } {
    const places = this.places(member, membership);
    const place = this.#enter(member, name, places);
    try {
      const link = this.#interface(place, randomInt(1000, 2 ** 24));
      const endpoints = { ...membership.endpoints, [name]: place.endpoint };
      this.#tell(member.id, { endpoints, ports: membership.ports });
      return { endpoint: place.endpoint, link };
    } catch (error) {
      this.#exit(member.id, place.endpoint);
      throw error;
    }
  }

  /** Takes back a place in one network. */
  drop(id: string, membership: Membership, name: string): void {
    const endpoint = membership.endpoints[name];
    if (!endpoint) return;
    this.#exit(id, endpoint);
    const { [name]: _gone, ...endpoints } = membership.endpoints;
    this.#tell(id, { endpoints, ports: membership.ports });
  }

  /** Publishes other ports: what is in both stays untouched. Throws when one can't be had; nothing has changed then. */
  republish(
    member: Member,
    membership: Membership,
    wanted: readonly PublishedPort[],
    more: readonly PortRequest[],
  ): PublishedPort[] {
    const added = this.#publish({ ...member, ports: more }, this.places(member, membership));
    const ports = [...wanted, ...added];
    try {
      this.#tell(member.id, { endpoints: membership.endpoints, ports });
    } catch (error) {
      this.#hostPorts.release(added);
      throw error;
    }
    const gone = membership.ports.filter((port) => !wanted.includes(port));
    this.#hostPorts.release(gone);
    this.#forget(gone);
    return ports;
  }

  /** Takes up what an earlier daemon's container has. */
  takeUp(
    { id, labels }: Pick<Member, "id" | "labels">,
    { endpoints, ports }: Membership,
    report: (problem: unknown, what: string) => void,
  ): void {
    for (const endpoint of Object.values(endpoints)) {
      const network = this.#networks.look(endpoint.networkId, everything);
      if (!network) continue;
      network.claim(shownAddresses(endpoint));
      network.endpoints.set(id, endpoint);
      this.#announceJoined(network.id, id, { labels, addresses: shownAddresses(endpoint), endpoint });
    }
    for (const port of ports)
      try {
        this.#hostPorts.takeUp(id, port);
      } catch (error) {
        report(error, `port ${port.hostPort}/${port.protocol} of container ${id}`);
      }
    this.#networks.tables.remember(id, this.#entries({ endpoints, ports }));
  }

  /** Gives everything back. May be called twice. */
  leave(id: string, { endpoints, ports }: Membership): void {
    this.#networks.tables.delete(id);
    this.#hostPorts.release(ports);
    this.#forget(ports);
    for (const endpoint of Object.values(endpoints)) this.#exit(id, endpoint);
  }

  /** A running container's labels, or its name, are others now. */
  relabel(member: Member, membership: Membership): void {
    for (const { network, endpoint } of this.places(member, membership))
      this.#announceJoined(network.id, member.id, {
        labels: member.labels,
        addresses: shownAddresses(endpoint),
        endpoint,
      });
  }

  /** Where a running container is. */
  places(member: Member, membership: Membership): Place[] {
    return Object.entries(membership.endpoints).flatMap(([name, endpoint]) => {
      const network = this.#networks.look(endpoint.networkId, everything);
      return network ? [{ name, network, request: member.networks[name] ?? emptyEndpoint(), endpoint }] : [];
    });
  }

  #enter(member: Member, name: string, others: readonly Place[]): Place {
    const network = this.#networks.find(member.networkIds[name] ?? name, everything);
    if (network.endpoints.has(member.id))
      throw new EngineError(
        "forbidden",
        `endpoint with name ${member.name} already exists in network ${network.name}`,
      );
    const request = member.networks[name] ?? emptyEndpoint();
    const { driver } = network.record;
    const hasLinks = driver !== "host" && driver !== "null";
    if (hasLinks && network.link.index === 0)
      throw new EngineError("system", `network ${network.name} has no link on this host`);
    const given = network.allocate({
      ipv4: request.IPAMConfig?.IPv4Address ?? "",
      ipv6: request.IPAMConfig?.IPv6Address ? canonicalAddress(request.IPAMConfig.IPv6Address) : "",
    });
    const own = request.DriverOpts?.[IFNAME];
    const prefix = network.bridge?.interfacePrefix ?? "eth";
    const used = new Set(others.map(({ endpoint }) => endpoint.interface));
    let number = 0;
    while (used.has(`${prefix}${number}`)) number++;
    const mac = request.MacAddress.toLowerCase().replaceAll("-", ":");
    const endpoint: EndpointState = {
      networkId: network.id,
      endpointId: newId(),
      interface: hasLinks ? own || `${prefix}${number}` : "",
      // The container's id, and something new for each start: the kernel takes a dead namespace's links away a little
      // later, and a restart must not meet its own last one.
      hostName: driver === "bridge" ? `veth${member.id.slice(0, 7)}${randomBytes(2).toString("hex")}` : "",
      hostIndex: driver === "bridge" ? randomInt(...HOST_INDEXES) : 0,
      mac: hasLinks ? mac || (given.address ? macOfAddress(given.address) : randomMac()) : "",
      ...given,
    };
    network.endpoints.set(member.id, endpoint);
    this.#announceJoined(network.id, member.id, {
      labels: member.labels,
      addresses: shownAddresses(endpoint),
      endpoint,
    });
    return { name, network, request, endpoint };
  }

  #announceJoined(networkId: string, id: string, member: WatchedMember): void {
    for (const watcher of this.#watchers) watcher.joined(networkId, id, member);
  }

  /** Clients of ports without connections would be led to where they were led before. */
  #forget(ports: readonly PublishedPort[]): void {
    const used = Object.entries(connectionless).filter(([name]) =>
      ports.some(({ protocol }) => protocol === name),
    );
    if (used.length === 0) return;
    for (const address of new Set(ports.map((port) => port.address)))
      try {
        forgetConnections(
          address,
          used.map(([, number]) => number),
        );
      } catch (error) {
        // Where the kernel does not tell of connections, they end by themselves in some minutes.
        if (!(error instanceof KernelError)) throw error;
      }
  }

  #exit(id: string, endpoint: EndpointState): void {
    const network = this.#networks.look(endpoint.networkId, everything);
    if (
      network?.endpoints.get(id) !== endpoint &&
      network?.endpoints.get(id)?.endpointId !== endpoint.endpointId
    )
      return;
    network.endpoints.delete(id);
    for (const watcher of this.#watchers) watcher.left(network.id, id);
    network.release(shownAddresses(endpoint));
  }

  #interface({ network, endpoint }: Place, index: number): InterfaceSpec | undefined {
    if (!endpoint.interface) return undefined;
    const { record, bridge, link } = network;
    const attachment: Attachment = bridge
      ? {
          kind: "bridge",
          hostName: endpoint.hostName,
          hostIndex: endpoint.hostIndex,
          bridgeIndex: link.index,
          isolated: !bridge.icc,
        }
      : { ...sublinkOptions(record).kind, parentIndex: link.index };
    const addresses = [
      ...(endpoint.address ? [{ address: endpoint.address, prefixLength: endpoint.prefixLength }] : []),
      ...(endpoint.address6 ? [{ address: endpoint.address6, prefixLength: endpoint.prefixLength6 }] : []),
    ];
    const mtu = bridge ? bridge.mtu || this.#mtu : 0;
    return { name: endpoint.interface, index, attachment, mtu, mac: endpoint.mac, addresses, gateways: [] };
  }

  #deviceInterface(device: string): InterfaceSpec {
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
  #route(places: readonly Place[], interfaces: InterfaceSpec[]): void {
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

  /** Takes the host's ports for a container that starts. Throws with Docker's words. */
  #publish(member: Member, places: readonly Place[]): PublishedPort[] {
    const place = gatewayPlace(places, 4) ?? gatewayPlace(places, 6);
    const bridge = place?.network.bridge;
    // Where nothing comes in from outside, Docker publishes nothing, without a word.
    if (!place || !bridge) return [];
    if (member.ports.length > 0 && !this.#networks.tables.open)
      throw new EngineError(
        "system",
        "ports can't be published: this daemon writes no rules (--iptables=false), or the kernel lacks nf_tables",
      );
    const taken: PublishedPort[] = [];
    try {
      for (const request of member.ports) {
        const { address, address6 } = place.endpoint;
        const bindings = this.#bindAddresses(request, place).map((hostAddress) => ({
          hostAddress,
          address: hostAddress.includes(":") ? address6 : address,
        }));
        const { containerPort, protocol } = request;
        if (bridge.gatewayMode === "routed")
          taken.push(...bindings.map((binding) => ({ containerPort, protocol, hostPort: 0, ...binding })));
        else taken.push(...this.#hostPorts.take(member.id, request, bindings));
      }
      return taken;
    } catch (error) {
      this.#hostPorts.release(taken);
      if (!(error instanceof EngineError)) throw error;
      const { endpointId } = place.endpoint;
      throw new EngineError(
        error.kind === "invalid" ? "invalid" : "system",
        `driver failed programming external connectivity on endpoint ${member.name} (${endpointId}): ${error.message}`,
      );
    }
  }

  /** Where a port is to be published: everywhere, unless an address was given. */
  #bindAddresses(
    { hostAddress, containerPort, protocol }: PortRequest,
    { network, endpoint }: Place,
  ): string[] {
    const given = hostAddress && canonicalAddress(hostAddress);
    const usable = (address: string): boolean =>
      Boolean(address.includes(":") ? endpoint.address6 : endpoint.address);
    if (given) {
      if (!usable(given))
        throw invalid(
          `port ${containerPort}/${protocol} can't be published at ${given}: the container has no IPv${given.includes(":") ? 6 : 4} address`,
        );
      return [given];
    }
    const binding = network.bridge?.hostBinding ?? "0.0.0.0";
    return [binding, ...(binding === "0.0.0.0" ? ["::"] : [])].filter(usable);
  }

  #tell(id: string, membership: Membership): void {
    if (this.#networks.tables.open) this.#networks.tables.set(id, this.#entries(membership));
  }

  /** What the host's tables say of a container. */
  #entries({ endpoints, ports }: Membership): Entries {
    const bridged = Object.values(endpoints).flatMap((endpoint) => {
      const network = this.#networks.look(endpoint.networkId, everything);
      return network?.bridge ? [{ endpoint, bridge: network.bridge }] : [];
    });
    const guarded = bridged.flatMap(({ endpoint, bridge }): GuardedPort[] =>
      bridge.guard
        ? [{ index: endpoint.hostIndex, mac: endpoint.mac, addresses: shownAddresses(endpoint) }]
        : [],
    );
    const redirects = ports.map(
      ({ protocol, hostAddress, hostPort, address, containerPort }): Redirect => ({
        protocol,
        hostAddress,
        hostPort,
        address,
        port: containerPort,
        open: hostPort === 0,
      }),
    );
    return { ports: guarded, redirects };
  }
}

const deviceEndpoint = (device: string): EndpointState => ({
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

/** A locally administered one. */
const randomMac = (): string =>
  `02:42:${[...randomBytes(4)].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;
