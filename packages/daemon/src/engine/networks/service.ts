// The networks there are: made, found, removed; their links on the host and their rules in its packet filter.
import { findLink, KernelError, removeLink } from "@tsd/kernel-bindings";
import type { NetworkCreate } from "../../api/schemas/network.ts";
import { answerForPorts, ensureBridge, ensureParent, macOfAddress } from "../../runtime/network/bridge.ts";
import type { Firewall } from "../../runtime/network/firewall.ts";
import type { HostTables } from "../../runtime/network/host-tables.ts";
import type { FilteredBridge, LinkedPort } from "../../runtime/network/rules.ts";
import { type Caller, denied, type Sight } from "../access/caller.ts";
import { conflict, EngineError, invalid, notFound } from "../errors.ts";
import type { EventSink } from "../events/event.ts";
import { now } from "../timestamps.ts";
import { type BridgeOptions, parseBridgeOptions } from "./bridge-options.ts";
import { Network, newId } from "./network.ts";
import { checkFree, type SubnetChooser } from "./pools.ts";
import type { IpamConfig, NetworkRecord, NetworkStore } from "./record.ts";
import { readShape } from "./shape-options.ts";
import { sublinkOptions } from "./sublinks.ts";
import { canonicalAddress, Subnet } from "./subnet.ts";
import { checkNetworkCreate } from "./validate.ts";

export interface NetworkSettings {
  /** The default network's bridge. */
  bridge: { name: string; address: string; prefixLength: number };
  defaultNetworkId: string;
  mtu: number;
  /** Of networks that do not say. */
  icc: boolean;
  /** Whether rules may be written at all (--iptables). */
  firewall: boolean;
}

export interface NetworkParts {
  store: NetworkStore;
  settings: NetworkSettings;
  subnets: SubnetChooser;
  firewall: Firewall;
  tables: HostTables;
  events: EventSink;
  report: (problem: unknown, what: string) => void;
}

/** Ids of networks that are not ours to make: fixed, so that scripts can keep them. */
const fixedId = (digit: string): string => digit.repeat(64);
const EOPNOTSUPP = 95;
const ENODEV = 19;

export class NetworkService {
  readonly #parts: NetworkParts;
  readonly #networks = new Map<string, Network>();
  /** Names that are being given. */
  readonly #pending = new Set<string>();
  /** Ports of the default network's containers that others are linked to; set when there are containers. */
  linkedPorts: () => readonly LinkedPort[] = () => [];
  #links = "[]";
  /** Told when a network is gone. */
  removed: (network: Network) => void = () => undefined;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
    for (const record of [...this.#predefined(), ...parts.store.all()]) {
      const network = new Network(record, this.#bridgeOptions(record));
      this.#networks.set(record.id, network);
    }
  }

  get tables(): HostTables {
    return this.#parts.tables;
  }

  #bridgeOptions({ driver, options }: Pick<NetworkRecord, "driver" | "options">): BridgeOptions | undefined {
    return driver === "bridge" ? parseBridgeOptions(options, this.#parts.settings.icc) : undefined;
  }

  #predefined(): NetworkRecord[] {
    const { bridge, defaultNetworkId, mtu, icc } = this.#parts.settings;
    const subnet = new Subnet(
      4,
      Subnet.parse(`${bridge.address}/${bridge.prefixLength}`)?.base ?? 0n,
      bridge.prefixLength,
    );
    const common = {
      created: now(),
      owner: "",
      ipv4: true,
      ipv6: false,
      internal: false,
      attachable: false,
      labels: {},
    };
    const ipam = { driver: "default", options: null, chosen: false };
    return [
      {
        ...common,
        id: defaultNetworkId,
        name: "bridge",
        driver: "bridge",
        ipam: { ...ipam, config: [{ Subnet: String(subnet), Gateway: bridge.address }] },
        options: {
          "com.docker.network.bridge.default_bridge": "true",
          "com.docker.network.bridge.enable_icc": String(icc),
          "com.docker.network.bridge.enable_ip_masquerade": "true",
          "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
          "com.docker.network.bridge.name": bridge.name,
          "com.docker.network.driver.mtu": String(mtu),
        },
      },
      {
        ...common,
        id: fixedId("1"),
        name: "host",
        driver: "host",
        ipam: { ...ipam, config: [] },
        options: {},
      },
      {
        ...common,
        id: fixedId("0"),
        name: "none",
        driver: "null",
        ipam: { ...ipam, config: [] },
        options: {},
      },
    ];
  }

  all(): Network[] {
    return [...this.#networks.values()];
  }

  seenBy(sight: Sight): Network[] {
    return this.all().filter((network) => network.seenBy(sight));
  }

  /** By name, id or the beginning of an id. */
  look(reference: string, sight: Sight): Network | undefined {
    const seen = this.seenBy(sight);
    const exact = seen.find(({ name, id }) => name === reference || id === reference);
    if (exact || reference.length === 0) return exact;
    const matching = seen.filter(({ id }) => id.startsWith(reference));
    return matching.length === 1 ? matching[0] : undefined;
  }

  /** Throws not-found with Docker's words. */
  find(reference: string, sight: Sight): Network {
    const found = this.look(reference, sight);
    if (!found) throw notFound(`network ${reference} not found`);
    return found;
  }

  get default(): Network {
    return this.#networks.get(this.#parts.settings.defaultNetworkId) as Network;
  }

  /** Makes every network's links; what is there already stays. One that can't be made is told of, and left out. */
  async open(): Promise<void> {
    for (const network of this.all()) {
      try {
        this.#makeLink(network);
      } catch (error) {
        if (network === this.default) throw error;
        this.#parts.report(error, `links of network ${network.name}`);
      }
    }
    await this.#filter();
  }

  /** Once it is known who is in which network: what the last daemon left in the tables is replaced, and looked after. */
  settle(): void {
    if (!this.#parts.settings.firewall) return;
    try {
      this.#parts.tables.build();
    } catch (error) {
      // Ports are then refused by name; the networks work without the guard.
      this.#parts.report(
        error,
        "no source guard and no published ports: this kernel lacks what nf_tables need",
      );
    }
    this.#parts.firewall.watch();
  }

  async close(): Promise<void> {
    await this.#parts.firewall.close();
  }

  announce(network: Network, action: string, attributes: Record<string, string> = {}): void {
    const { id, name, driver, owner } = network.record;
    this.#parts.events.publish({
      Type: "network",
      Action: action,
      Actor: { ID: id, Attributes: { name, type: driver, ...attributes } },
      owner,
    });
  }

  async create(request: NetworkCreate, caller: Caller): Promise<Network> {
    const driver = checkNetworkCreate(request);
    if (this.#pending.has(request.Name) || this.all().some(({ name }) => name === request.Name))
      throw conflict(`network with name ${request.Name} already exists`);
    checkLimits(request, driver, caller);
    readShape(request.Options, {}, null);
    const id = newId();
    const bridge = this.#bridgeOptions({ driver, options: request.Options });
    if (driver !== "bridge")
      sublinkOptions({ id, driver, options: request.Options, internal: request.Internal });
    const record: NetworkRecord = {
      id,
      name: request.Name,
      created: now(),
      owner: caller.id,
      driver,
      ipv4: request.EnableIPv4,
      ipv6: request.EnableIPv6,
      internal: request.Internal,
      attachable: request.Attachable,
      ipam: {
        driver: request.IPAM.Driver || "default",
        options: request.IPAM.Options,
        config: this.#subnets(request, driver),
        chosen: request.IPAM.Config.length > 0,
      },
      options: request.Options,
      labels: request.Labels,
    };
    const network = new Network(record, bridge);
    const name = this.#linkName(network);
    if (bridge && this.all().some((other) => other.link.name === name))
      throw conflict(
        `cannot create network ${id} (${name}): conflicts with another network: networks have same bridge name`,
      );
    this.#pending.add(request.Name);
    // Known before it is there, and until it is gone: what a death leaves in between is found by its record.
    try {
      this.#parts.store.insert(record);
      this.#makeLink(network);
      this.#networks.set(id, network);
      await this.#filter();
    } catch (error) {
      this.#networks.delete(id);
      this.#parts.store.delete(id);
      await this.#removeLink(network);
      await this.#filter();
      throw networkError(error, driver);
    } finally {
      this.#pending.delete(request.Name);
    }
    this.announce(network, "create");
    return network;
  }

  /** The subnets that a request asks for, or that it is given; each with a gateway where the engine chose it. */
  #subnets(request: NetworkCreate, driver: string): IpamConfig[] {
    const taken = this.all().flatMap(({ subnets }) => subnets);
    const config = request.IPAM.Config.map(
      ({ Subnet: text, IPRange, Gateway, AuxiliaryAddresses }): IpamConfig => {
        const subnet = Subnet.parse(text) as Subnet;
        checkFree(subnet, taken);
        taken.push(subnet);
        return {
          Subnet: String(subnet),
          ...(IPRange ? { IPRange } : {}),
          ...(Gateway ? { Gateway: canonicalAddress(Gateway) } : {}),
          ...(Object.keys(AuxiliaryAddresses).length > 0 ? { AuxiliaryAddresses } : {}),
        };
      },
    );
    const has = (family: 4 | 6): boolean => config.some((one) => Subnet.parse(one.Subnet)?.family === family);
    if (
      request.IPAM.Driver === "null" ||
      (driver === "bridge" && !request.EnableIPv4 && !request.EnableIPv6)
    ) {
      if (driver === "bridge") throw invalid("invalid network config: neither IPv4 nor IPv6 is enabled");
      return config;
    }
    for (const family of [4, 6] as const) {
      if (has(family) || !(family === 4 ? request.EnableIPv4 : request.EnableIPv6)) continue;
      const subnet = this.#parts.subnets.choose(family, taken);
      taken.push(subnet);
      config.push({ Subnet: String(subnet), Gateway: subnet.at(1n) });
    }
    return config;
  }

  #linkName(network: Network): string {
    if (network.bridge) return network.bridge.name || `br-${network.id.slice(0, 12)}`;
    const { driver } = network.record;
    return driver === "macvlan" || driver === "ipvlan" ? sublinkOptions(network.record).parent.name : "";
  }

  #makeLink(network: Network): void {
    const name = this.#linkName(network);
    if (!name) return;
    if (!network.bridge) {
      network.link = { name, index: ensureParent(sublinkOptions(network.record).parent).index };
      return;
    }
    const { record, bridge } = network;
    const [first] = network.gateways;
    const addresses = network.gateways.filter(({ address }) => {
      const family = address.includes(":") ? 6 : 4;
      return bridge.gatewayMode[family] !== "isolated" && !(family === 4 && bridge.inhibitIpv4);
    });
    const mac = first && !first.address.includes(":") ? macOfAddress(first.address) : macOfId(network.id);
    const mtu = bridge.mtu || this.#parts.settings.mtu;
    const { index } = ensureBridge({ name, addresses, mtu, mac, ipv6: record.ipv6 });
    network.link = { name, index };
    for (const family of [4, 6] as const)
      this.#parts.tables.setRouted(index, family, bridge.gatewayMode[family] === "routed");
  }

  /** Only what was made for the network goes: a bridge or parent that was there before has another name. */
  async #removeLink(network: Network): Promise<void> {
    const { name, index } = network.link;
    if (!name) return;
    for (const family of [4, 6] as const) this.#parts.tables.setRouted(index, family, false);
    const { id, record } = network;
    const vlan = record.driver !== "bridge" && sublinkOptions(record).parent.vlan !== undefined;
    const shared = this.all().some((other) => other !== network && other.link.name === name);
    const own = network.bridge ? true : name === `dm-${id.slice(0, 12)}` || (vlan && !shared);
    if (own) await removeLink(name);
  }

  /** Containers have come or gone: links open other ports now, where containers do not reach each other otherwise. */
  async refreshLinks(): Promise<void> {
    const { bridge, link } = this.default;
    if (bridge?.icc || link.index === 0 || !this.#parts.settings.firewall) return;
    const links = JSON.stringify(this.linkedPorts());
    if (links === this.#links) return;
    this.#links = links;
    await this.#filter();
  }

  /** Tells the packet filter which networks there are. */
  #filter(): Promise<void> {
    if (!this.#parts.settings.firewall) return Promise.resolve();
    const { bridge: own, link: ownLink } = this.default;
    const links = own?.icc ? [] : this.linkedPorts();
    if (!own?.icc && ownLink.index > 0) answerForPorts(ownLink.name, links.length > 0);
    const filtered = (family: 4 | 6): FilteredBridge[] =>
      this.all().flatMap((network) => {
        const { bridge, link, record } = network;
        const subnets = network.subnets.filter((subnet) => subnet.family === family).map(String);
        return bridge && link.index > 0 && subnets.length > 0
          ? [
              {
                ...bridge,
                gatewayMode: bridge.gatewayMode[family],
                hostAddress: bridge.hostAddress[family],
                links: family === 4 && network === this.default ? links : [],
                bridge: link.name,
                subnets,
                internal: record.internal,
              },
            ]
          : [];
      });
    return this.#parts.firewall.apply(filtered(4), filtered(6));
  }

  async remove(network: Network): Promise<void> {
    const { name, id } = network;
    if (network.predefined)
      throw new EngineError("forbidden", `${name} is a pre-defined network and cannot be removed`);
    if (network.endpoints.size > 0)
      throw new EngineError(
        "forbidden",
        `error while removing network: network ${name} id ${id} has active endpoints`,
      );
    this.#networks.delete(id);
    this.#pending.add(name);
    try {
      await this.#filter();
      await this.#removeLink(network);
      this.#parts.store.delete(id);
    } catch (error) {
      this.#networks.set(id, network);
      throw error;
    } finally {
      this.#pending.delete(name);
    }
    this.removed(network);
    this.announce(network, "destroy");
  }
}

/** Throws for links of the host's that only those may use who may be in its network. */
function checkLimits({ Options }: NetworkCreate, driver: string, caller: Caller): void {
  const limits = caller.role?.limits;
  if (!limits || limits.hostNamespaces.includes("network")) return;
  if (driver !== "bridge") throw denied(caller, `Driver: ${driver}, which uses an interface of the host's`);
  if (Options["com.docker.network.bridge.name"])
    throw denied(caller, "Options.com.docker.network.bridge.name: an interface of the host's");
}

/** A locally administered MAC address of a network's own. */
const macOfId = (id: string): string => `02:42:${[0, 2, 4, 6].map((at) => id.slice(at, at + 2)).join(":")}`;

/** What the kernel has not, in words. */
function networkError(error: unknown, driver: string): unknown {
  if (!(error instanceof KernelError)) return error;
  if (error.errno === EOPNOTSUPP)
    return new EngineError("system", `operation not supported: this kernel lacks ${driver} links`, {
      cause: error,
    });
  if (error.errno === ENODEV && !findLink(error.path))
    return invalid(`invalid parent: interface ${error.path} not found on this host`);
  return new EngineError("system", `failed to create the ${driver} network: ${error.message}`, {
    cause: error,
  });
}
