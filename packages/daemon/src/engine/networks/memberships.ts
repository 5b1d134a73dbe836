// Which container is in which networks: joined at its start, changed while it runs, left at its end.
import { randomBytes, randomInt } from "node:crypto";
import { connectionless, forgetConnections, KernelError } from "@tsd/kernel-bindings";
import type { EndpointRequest, NetworkShape } from "../../api/schemas/container-create.ts";
import { macOfAddress } from "../../runtime/network/bridge.ts";
import type { FloodPort, FloodTables } from "../../runtime/network/flood-tables.ts";
import type { Entries, GuardedPort, Redirect } from "../../runtime/network/host-tables.ts";
import { isShaped, type Shape, type Shaper, unshaped } from "../../runtime/network/shape.ts";
import type { InterfaceSpec } from "../../runtime/spec.ts";
import { everything } from "../access/caller.ts";
import { EngineError, invalid } from "../errors.ts";
import { type Network, newId } from "./network.ts";
import {
  deviceEndpoint,
  deviceInterface,
  deviceOf,
  emptyEndpoint,
  gatewayPlace,
  interfaceAddresses,
  interfaceOf,
  type Place,
  routeThrough,
  shownAddresses,
} from "./places.ts";
import type { HostPorts, PortRequest } from "./ports.ts";
import type { EndpointState, PublishedPort } from "./record.ts";
import type { NetworkService } from "./service.ts";
import { readShape } from "./shape-options.ts";
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
  /** How its traffic is to be shaped, where its networks and endpoints do not say more. */
  shape: NetworkShape | null;
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
const IFNAME = "com.docker.network.endpoint.ifname";

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
  floods: FloodTables;
  /** Of networks that do not say. */
  mtu: number;
  watchers: readonly MembershipWatcher[];
}

export class Memberships {
  readonly #networks: NetworkService;
  readonly #hostPorts: HostPorts;
  readonly #floods: FloodTables;
  readonly #mtu: number;
  readonly #watchers: readonly MembershipWatcher[];

  constructor({ networks, hostPorts, floods, mtu, watchers }: MembershipParts) {
    this.#networks = networks;
    this.#hostPorts = hostPorts;
    this.#floods = floods;
    this.#mtu = mtu;
    this.#watchers = watchers;
  }

  /** The interfaces that a container has for its places, in their order. */
  #interfaces({ mode }: Member, places: readonly Place[]): InterfaceSpec[] {
    const device = deviceOf(mode);
    const interfaces: InterfaceSpec[] = [];
    for (const place of places) {
      const link = interfaceOf(place, FIRST_INDEX + interfaces.length, this.#mtu);
      if (link) interfaces.push(link);
    }
    if (device) interfaces.push(deviceInterface(device));
    routeThrough(places, interfaces);
    return interfaces;
  }

  /** What `join` would give now: addresses are looked up and not kept, nobody is told, and no port is taken. */
  rehearse(member: Member): Pick<Joined, "endpoints" | "interfaces"> {
    const places: Place[] = [];
    try {
      for (const name of namesOf(member)) places.push(this.#place(member, name, places));
      return { endpoints: endpointsOf(member, places), interfaces: this.#interfaces(member, places) };
    } finally {
      for (const { network, endpoint } of places) network.release(shownAddresses(endpoint));
    }
  }

  /** Gives a container its places in its networks. Throws what a start fails with; nothing is held then. */
  join(member: Member): Joined {
    const places: Place[] = [];
    try {
      for (const name of namesOf(member)) places.push(this.#enter(member, name, places));
      const interfaces = this.#interfaces(member, places);
      const ports = this.#publish(member, places);
      const endpoints = endpointsOf(member, places);
      this.#tell(member.id, { endpoints, ports });
      this.limitFloods(member, { endpoints, ports });
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
      const link = interfaceOf(place, randomInt(1000, 2 ** 24), this.#mtu);
      const endpoints = { ...membership.endpoints, [name]: place.endpoint };
      this.#tell(member.id, { endpoints, ports: membership.ports });
      this.limitFloods(member, { endpoints, ports: membership.ports });
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
    member: Member,
    { endpoints, ports }: Membership,
    report: (problem: unknown, what: string) => void,
  ): void {
    const { id, labels } = member;
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
    this.#floods.remember(id, this.#floodPorts(member, { endpoints, ports }));
  }

  /** Limits packets and connections of each of a container's ports. */
  limitFloods(member: Member, membership: Membership): void {
    this.#floods.set(member.id, this.#floodPorts(member, membership));
  }

  /** What a limit has dropped at one of a container's ports. */
  floodCounts({ endpoint, shape }: Place): ReturnType<FloodTables["read"]> {
    return this.#floods.read({ index: endpoint.hostIndex, out: shape.out, in: shape.in });
  }

  #floodPorts(member: Member, membership: Membership): FloodPort[] {
    return this.places(member, membership)
      .filter(({ endpoint }) => endpoint.hostIndex > 0)
      .map(({ endpoint, shape }) => ({ index: endpoint.hostIndex, out: shape.out, in: shape.in }));
  }

  /** Gives everything back. May be called twice. */
  leave(id: string, { endpoints, ports }: Membership): void {
    this.#networks.tables.delete(id);
    this.#floods.delete(id);
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
      if (!network) return [];
      const request = member.networks[name] ?? emptyEndpoint();
      return [{ name, network, request, endpoint, shape: shapeOf(network, request, member.shape) }];
    });
  }

  #enter(member: Member, name: string, others: readonly Place[]): Place {
    const place = this.#place(member, name, others);
    const { network, endpoint } = place;
    network.endpoints.set(member.id, endpoint);
    this.#announceJoined(network.id, member.id, {
      labels: member.labels,
      addresses: shownAddresses(endpoint),
      endpoint,
    });
    return place;
  }

  /** A place in a network, with addresses that are the container's from now on, and that nobody knows of yet. */
  #place(member: Member, name: string, others: readonly Place[]): Place {
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
    const shape = shapeOf(network, request, member.shape);
    const endpoint: EndpointState = {
      networkId: network.id,
      endpointId: newId(),
      interface: hasLinks ? own || `${prefix}${number}` : "",
      // The container's id, and something new for each start: the kernel takes a dead namespace's links away a little
      // later, and a restart must not meet its own last one.
      hostName: driver === "bridge" ? `veth${member.id.slice(0, 7)}${randomBytes(2).toString("hex")}` : "",
      hostIndex: driver === "bridge" ? randomInt(...HOST_INDEXES) : 0,
      ...(isShaped(shape.out) ? { shaper: newShaper(member.id) } : {}),
      ...(hasLinks && request.IPAMConfig?.LinkLocalIPs?.length
        ? { linkLocal: request.IPAMConfig.LinkLocalIPs.map(canonicalAddress) }
        : {}),
      mac: hasLinks ? mac || (given.address ? macOfAddress(given.address) : randomMac()) : "",
      ...given,
    };
    return { name, network, request, endpoint, shape };
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
        const isRouted = (binding: { address: string }): boolean =>
          bridge.gatewayMode[binding.address.includes(":") ? 6 : 4] === "routed";
        const routed = bindings.filter(isRouted);
        const redirected = bindings.filter((binding) => !isRouted(binding));
        taken.push(...routed.map((binding) => ({ containerPort, protocol, hostPort: 0, ...binding })));
        if (redirected.length > 0) taken.push(...this.#hostPorts.take(member.id, request, redirected));
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
        ? [
            {
              index: endpoint.hostIndex,
              mac: endpoint.mac,
              addresses: interfaceAddresses(endpoint).map(({ address }) => address),
            },
          ]
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

/** The networks a container is in, the one that comes first in front. */
function namesOf(member: Member): string[] {
  const others = Object.keys(member.networks).filter((name) => name !== member.mode);
  return [...(member.mode in member.networks ? [member.mode] : []), ...others.sort()];
}

function endpointsOf(member: Member, places: readonly Place[]): Record<string, EndpointState> {
  const endpoints = Object.fromEntries(places.map(({ name, endpoint }) => [name, endpoint]));
  const device = deviceOf(member.mode);
  if (device) endpoints[member.mode] = deviceEndpoint(device);
  return endpoints;
}

/** A locally administered one. */
const randomMac = (): string =>
  `02:42:${[...randomBytes(4)].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;

/** A name and an index for a container's ifb. */
export const newShaper = (id: string): Shaper => ({
  name: `ifb${id.slice(0, 7)}${randomBytes(2).toString("hex")}`,
  index: randomInt(...HOST_INDEXES),
});

/** How an endpoint is to be shaped; only what is on a bridge can be. */
const shapeOf = (network: Network, request: EndpointRequest, shape: NetworkShape | null): Shape =>
  network.bridge ? readShape(network.record.options, request.DriverOpts ?? {}, shape) : unshaped;
