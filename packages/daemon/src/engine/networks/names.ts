// Who has which name: what the name server of users' networks answers from, and its life with containers.
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  giveNameSockets,
  type NameSockets,
  nameServerPort,
  openNameSockets,
  takeNameSockets,
} from "@tsd/kernel-bindings";
import {
  type NameAddresses,
  type NameDirectory,
  NameServer,
  type Resolvers,
  resolversFor,
} from "../../names/index.ts";
import { everything } from "../access/caller.ts";
import { resolvConf } from "../containers/etc-files.ts";
import type { LifecycleObserver } from "../containers/lifecycle.ts";
import type { Container, ContainerRegistry } from "../containers/registry.ts";
import type { MembershipWatcher } from "./memberships.ts";
import type { Network } from "./network.ts";
import { emptyEndpoint } from "./places.ts";
import type { NetworkService } from "./service.ts";
import { dnsNames } from "./view.ts";

type Report = (problem: unknown, what: string) => void;

const HOST_FILE = "/etc/resolv.conf";
/** Milliseconds between two looks at whether the host has other resolvers. */
const LOOK_AGAIN = 5000;

interface Index {
  names: Map<string, { ipv4: string[]; ipv6: string[] }>;
  addresses: Map<string, string[]>;
}

export class Names implements NameDirectory, MembershipWatcher, LifecycleObserver {
  readonly #networks: NetworkService;
  readonly #report: Report;
  readonly #server: NameServer;
  /** Names and addresses of one network; made when they are asked for, and forgotten when anybody comes or goes. */
  readonly #indexes = new Map<string, Index>();
  readonly #resolvers = new Map<string, Resolvers>();
  #hostFile = { text: "", modified: 0, looked: 0 };
  /** Set when there are containers. */
  registry: ContainerRegistry | undefined;
  /** Where a container's files of /etc are. */
  directoryOf: (id: string) => string = () => "";
  /** The socket of a container's monitor. */
  monitorOf: (id: string) => string = () => "";

  constructor(networks: NetworkService, report: Report) {
    this.#networks = networks;
    this.#report = report;
    this.#server = new NameServer(this, {
      report: (error, id, times) => report(error, `name server of container ${id} (${times} times)`),
    });
  }

  /** Lets go of every container's sockets; their monitors keep them. */
  close(): void {
    this.#server.closeAll();
  }

  /** Whether a container has a name server: it is in a network of users', in a namespace of its own. */
  serves(container: Container): boolean {
    const { hostConfig, networks } = container.record.definition;
    if (hostConfig.NetworkMode.startsWith("container:")) return false;
    return Object.keys(networks).some((name) => {
      const network = this.#networks.look(name, everything);
      return network !== undefined && !network.predefined;
    });
  }

  /** What a start that is served needs. */
  settings(container: Container): { port: number } | undefined {
    return this.serves(container) ? { port: nameServerPort() } : undefined;
  }

  started(container: Container): void {
    if (!this.serves(container)) return;
    container.monitor?.started
      .then(({ monitorPid }) => {
        if (container.alive) this.#open(container, monitorPid ? takeNameSockets(monitorPid) : undefined);
      })
      .catch((error) => {
        // One that has ended by now needs none.
        if (!container.hasEnded) this.#report(error, `name server of container ${container.id}`);
      });
  }

  /** Serves a container by its monitor's sockets, or by new ones, which the monitor keeps from now on. */
  #open(container: Container, kept: NameSockets | undefined): void {
    const sockets = kept ?? openNameSockets(`/proc/${container.state.pid}/ns/net`, nameServerPort());
    if (!kept) this.#give(container.id, [sockets.datagram, sockets.stream]);
    this.#server.open(container.id, sockets);
  }

  /** A monitor that can't take them is no reason not to serve: then the next daemon opens new ones. */
  #give(id: string, sockets: readonly number[]): void {
    try {
      giveNameSockets(this.monitorOf(id), sockets);
    } catch (error) {
      this.#report(error, `monitor of container ${id}`);
    }
  }

  ended({ id }: Container): void {
    this.#server.close(id);
    this.#resolvers.delete(id);
  }

  /** A running container has come into its first network of users', or left its last one. */
  changed(container: Container, hostConfig = container.record.definition.hostConfig): void {
    const { id } = container;
    this.#resolvers.delete(id);
    const served = this.serves(container);
    if (served === this.#server.isOpen(id)) return;
    try {
      if (served) this.#open(container, undefined);
      else {
        this.#server.close(id);
        this.#give(id, []);
      }
      const path = join(this.directoryOf(id), "resolv.conf");
      const host = readFileSync(HOST_FILE, "utf8");
      // What somebody wrote into it stays.
      if (readFileSync(path, "utf8") === resolvConf(host, hostConfig, served ? "own" : "served"))
        writeFileSync(path, resolvConf(host, hostConfig, served ? "served" : "own"));
    } catch (error) {
      this.#report(error, `name server of container ${id}`);
    }
  }

  joined(networkId: string, id: string): void {
    this.#indexes.delete(networkId);
    this.#resolvers.delete(id);
  }

  left(networkId: string, id: string): void {
    this.joined(networkId, id);
  }

  /** The networks of users' that a container is in, with what it asked of each. */
  #places(container: Container): { network: Network; links: readonly string[] }[] {
    const { networks } = container.record.definition;
    return Object.entries(container.state.endpoints).flatMap(([name, { networkId }]) => {
      const network = this.#networks.look(networkId, everything);
      return network && !network.predefined ? [{ network, links: networks[name]?.Links ?? [] }] : [];
    });
  }

  #container(id: string): Container | undefined {
    return this.registry?.look(id, everything);
  }

  #index(network: Network): Index {
    const known = this.#indexes.get(network.id);
    if (known) return known;
    const index: Index = { names: new Map(), addresses: new Map() };
    for (const [id, { address, address6 }] of network.endpoints) {
      const member = this.#container(id);
      if (!member) continue;
      const request = member.record.definition.networks[network.name] ?? emptyEndpoint();
      const names = dnsNames(member, request);
      for (const name of names) {
        const entry = index.names.get(name.toLowerCase()) ?? { ipv4: [], ipv6: [] };
        index.names.set(name.toLowerCase(), entry);
        if (address) entry.ipv4.push(address);
        if (address6) entry.ipv6.push(address6);
      }
      for (const one of [address, address6].filter((text) => text !== ""))
        index.addresses.set(one, [`${names[0]}.${network.name}`]);
    }
    this.#indexes.set(network.id, index);
    return index;
  }

  lookup(containerId: string, name: string): NameAddresses | undefined {
    const container = this.#container(containerId);
    if (!container) return undefined;
    for (const { network, links } of this.#places(container)) {
      const link = links.find((text) => text.split(":").at(-1)?.toLowerCase() === name);
      // NAME, or NAME.NETWORK.
      const suffix = `.${network.name.toLowerCase()}`;
      const bare =
        link?.split(":")[0]?.toLowerCase() ?? (name.endsWith(suffix) ? name.slice(0, -suffix.length) : name);
      const found = this.#index(network).names.get(bare);
      if (found) return found;
    }
    return undefined;
  }

  reverse(containerId: string, address: string): readonly string[] | undefined {
    const container = this.#container(containerId);
    if (!container) return undefined;
    for (const { network } of this.#places(container)) {
      const found = this.#index(network).addresses.get(address);
      if (found) return found;
    }
    return undefined;
  }

  resolvers(containerId: string): Resolvers {
    const host = this.#hostResolvers();
    const known = this.#resolvers.get(containerId);
    if (known) return known;
    const container = this.#container(containerId);
    if (!container) return { servers: [], forward: false };
    const { hostConfig } = container.record.definition;
    const endpoints = Object.values(container.state.endpoints);
    const made: Resolvers = {
      servers: resolversFor(
        hostConfig.Dns ?? [],
        host,
        endpoints.some(({ address6 }) => address6 !== ""),
      ),
      forward: endpoints.some(({ networkId }) => this.#networks.look(networkId, everything)?.leadsOut),
      forwardSingleLabels: !(hostConfig.DnsOptions ?? []).some((option) => /^ndots:[1-9]/.test(option)),
    };
    this.#resolvers.set(containerId, made);
    return made;
  }

  /** The host's resolv.conf, looked at again now and then: a laptop changes its network. */
  #hostResolvers(): string {
    const now = Date.now();
    if (now - this.#hostFile.looked < LOOK_AGAIN) return this.#hostFile.text;
    const modified = statSync(HOST_FILE, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (modified !== this.#hostFile.modified) this.#resolvers.clear();
    const text = modified === 0 ? "" : readFileSync(HOST_FILE, "utf8");
    this.#hostFile = { text, modified, looked: now };
    return text;
  }
}
