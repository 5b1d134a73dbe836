// Networks of containers that are there already: connected and disconnected, also while they run; ports published live.
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  inNetworkNamespace,
  KernelError,
  netlinkRequest,
  removeLink,
  replaceRoute,
} from "@tsd/kernel-bindings";
import type { EndpointRequest } from "../../api/schemas/container-create.ts";
import { hostMessages, insideMessages, insideSysctls } from "../../runtime/network/interfaces.ts";
import type { InterfaceSpec } from "../../runtime/spec.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import { conflict, EngineError, invalid } from "../errors.ts";
import type { Member, Memberships } from "./memberships.ts";
import type { Names } from "./names.ts";
import type { Network } from "./network.ts";
import { gatewayPlace } from "./places.ts";
import type { PortRequest } from "./ports.ts";
import type { EndpointState, PublishedPort } from "./record.ts";
import type { NetworkService } from "./service.ts";
import { readShape } from "./shape-options.ts";
import { checkEndpoint } from "./validate.ts";

export interface ConnectionParts {
  containers: ContainerService;
  networks: NetworkService;
  memberships: Memberships;
  names: Names;
  report: (problem: unknown, what: string) => void;
}

export class NetworkConnections {
  readonly #parts: ConnectionParts;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  /** Puts a container into one more network; now, if it runs. Nothing has changed if it fails. */
  connect(container: Container, network: Network, request: EndpointRequest): Promise<void> {
    const { name } = network;
    checkEndpoint(request, network.context);
    readShape(network.record.options, request.DriverOpts ?? {}, null);
    return container.exclusively(async () => {
      const { definition } = container.record;
      this.#checkMode(container, network);
      if (container.removing)
        throw conflict(
          `container ${container.id} is marked for removal and cannot be connected or disconnected to the network`,
        );
      if (container.alive && container.state.endpoints[name])
        throw new EngineError(
          "forbidden",
          `endpoint with name ${container.name} already exists in network ${name}`,
        );
      const networks = { ...definition.networks, [name]: request };
      const attached = container.alive && (await this.#attach(container, name, networks));
      this.#parts.containers.registry.redefine(container, { networks });
      if (!attached) return;
      this.#parts.names.changed(container);
      this.#parts.networks.announce(network, "connect", { container: container.id });
    });
  }

  /** Takes a container out of a network. With `force` also one whose network is in no order. */
  disconnect(container: Container, network: Network, force: boolean): Promise<void> {
    const { name } = network;
    return container.exclusively(async () => {
      const { definition } = container.record;
      if (name === "host")
        throw invalid("container cannot be disconnected from host network or connected to host network");
      if (!(name in definition.networks))
        throw new EngineError(
          "system",
          `container ${container.id} is not connected to ${container.alive ? "" : "the "}network ${name}`,
        );
      if (container.alive) await this.#detach(container, name, force);
      const { [name]: _gone, ...networks } = definition.networks;
      this.#parts.containers.registry.redefine(container, { networks });
      if (container.alive) this.#parts.names.changed(container);
      if (container.alive) this.#parts.networks.announce(network, "disconnect", { container: container.id });
    });
  }

  /** Who shares a network namespace, or has none, can't be in a network of its own besides. */
  #checkMode({ record }: Container, network: Network): void {
    const { NetworkMode } = record.definition.hostConfig;
    if (NetworkMode.startsWith("container:"))
      throw invalid(
        "container sharing network namespace with another container or host cannot be connected to any other network",
      );
    if (NetworkMode === "host" || network.name === "host")
      throw invalid("container cannot be disconnected from host network or connected to host network");
    const others = Object.keys(record.definition.networks).filter((name) => name !== network.name);
    if (others.includes("none") || (network.name === "none" && others.length > 0))
      throw invalid(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
      );
  }

  /** False of a container whose process has ended in this moment: it is as one that does not run. */
  async #attach(container: Container, name: string, networks: Member["networks"]): Promise<boolean> {
    const { memberships, containers } = this.#parts;
    const member = { ...containers.starter.member(container), networks };
    const { endpoint, link } = memberships.add(member, container.state, name);
    const before = container.state.endpoints;
    try {
      container.change({ endpoints: { ...before, [name]: endpoint } });
      if (link) makeInterface(link, container.state.pid);
      // Those who watch its link find it now.
      memberships.relabel(member, container.state);
      this.#route(container, networks);
    } catch (error) {
      memberships.drop(container.id, container.state, name);
      container.note({ endpoints: before });
      if (endpoint.hostName) await removeLink(endpoint.hostName);
      if (endpoint.shaper) await removeLink(endpoint.shaper.name);
      if (container.hasEnded) return false;
      throw error instanceof KernelError
        ? new EngineError(
            "system",
            `failed to connect container ${container.id} to network ${name}: ${error.message}`,
            { cause: error },
          )
        : error;
    }
    this.#tellHosts(container, [], endpoint);
    return true;
  }

  async #detach(container: Container, name: string, force: boolean): Promise<void> {
    const { memberships } = this.#parts;
    const endpoint = container.state.endpoints[name];
    if (!endpoint) return;
    const { [name]: _gone, ...endpoints } = container.state.endpoints;
    const lost = container.state.ports.filter(
      ({ address }) => address === endpoint.address || address === endpoint.address6,
    );
    if (lost.length > 0)
      this.#setPorts(
        container,
        container.state.ports.filter((port) => !lost.includes(port)),
        [],
      );
    try {
      if (endpoint.shaper) await removeLink(endpoint.shaper.name);
      if (endpoint.hostName) await removeLink(endpoint.hostName);
      else if (endpoint.interface) await removeLink(endpoint.interface, namespaceOf(container.state.pid));
    } catch (error) {
      if (!force && !container.hasEnded) throw error;
      this.#parts.report(error, `interface of ${container.id} in ${name}`);
    }
    memberships.drop(container.id, container.state, name);
    container.note({ endpoints });
    try {
      this.#route(container, container.record.definition.networks);
    } catch (error) {
      if (!container.hasEnded) throw error;
    }
    this.#tellHosts(container, [endpoint.address, endpoint.address6], undefined);
  }

  /** Lets the default routes go through the network that they belong to now. */
  #route(container: Container, networks: Member["networks"]): void {
    const { memberships, containers } = this.#parts;
    const places = memberships.places({ ...containers.starter.member(container), networks }, container.state);
    for (const family of [4, 6] as const) {
      const endpoint = gatewayPlace(places, family)?.endpoint;
      if (!endpoint) continue;
      const gateway = family === 4 ? endpoint.gateway : endpoint.gateway6;
      const namespace = namespaceOf(container.state.pid);
      netlinkRequest(replaceRoute({ gateway, family }), `default route by ${gateway}`, namespace);
    }
  }

  /** Adds and takes lines of the container's /etc/hosts about itself, and leaves what else was written there. */
  #tellHosts(container: Container, gone: readonly string[], come: EndpointState | undefined): void {
    const { config } = container.record.definition;
    const path = join(this.#parts.containers.starter.directory(container.id), "hosts");
    const kept = readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .filter((line) => !gone.includes(line.split(/\s/, 1)[0] ?? "") || line === "");
    const name = config.Domainname
      ? `${config.Hostname}.${config.Domainname} ${config.Hostname}`
      : config.Hostname;
    const added =
      come && config.Hostname ? [come.address, come.address6].filter((address) => address !== "") : [];
    // The same file, since the container has it mounted.
    writeFileSync(path, `${[...kept, ...added.map((address) => `${address}\t${name}`)].join("\n")}\n`);
  }

  /** Publishes more ports of a running container, and takes others back: all of it, or nothing. */
  publish(
    container: Container,
    add: readonly PortRequest[],
    remove: readonly PortRequest[],
  ): Promise<readonly PublishedPort[]> {
    return container.exclusively(async () => {
      if (!container.alive) throw conflict(`container ${container.id} is not running`);
      const { ports } = container.state;
      for (const request of remove)
        if (!ports.some((port) => fits(port, request)))
          throw invalid(
            `port ${request.containerPort}/${request.protocol} is not published${request.hostPorts ? ` at ${request.hostPorts.first}` : ""}`,
          );
      const kept = ports.filter((port) => !remove.some((request) => fits(port, request)));
      this.#setPorts(container, kept, add);
      const { hostConfig } = container.record.definition;
      this.#parts.containers.registry.redefine(container, {
        hostConfig: { ...hostConfig, PortBindings: bindingsOf(container.state.ports) },
      });
      this.#parts.containers.announce(container, "update");
      return container.state.ports;
    });
  }

  #setPorts(container: Container, kept: readonly PublishedPort[], more: readonly PortRequest[]): void {
    const { memberships, containers } = this.#parts;
    const ports = memberships.republish(containers.starter.member(container), container.state, kept, more);
    container.note({ ports });
  }
}

const fits = (
  port: PublishedPort,
  { containerPort, protocol, hostAddress, hostPorts }: PortRequest,
): boolean =>
  port.containerPort === containerPort &&
  port.protocol === protocol &&
  (hostAddress === "" || hostAddress === port.hostAddress) &&
  (hostPorts === undefined || (port.hostPort >= hostPorts.first && port.hostPort <= hostPorts.last));

/** Published ports as the next start should ask for them; both families of one port are one binding. */
function bindingsOf(ports: readonly PublishedPort[]): Record<string, { HostIp: string; HostPort: string }[]> {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { containerPort, protocol, hostAddress, hostPort } of ports) {
    const key = `${containerPort}/${protocol}`;
    const HostPort = String(hostPort);
    const everywhere = hostAddress === "0.0.0.0" || hostAddress === "::";
    const list = bindings[key] ?? [];
    bindings[key] = list;
    const HostIp = everywhere ? "" : hostAddress;
    if (!list.some((one) => one.HostIp === HostIp && one.HostPort === HostPort))
      list.push({ HostIp, HostPort });
  }
  return bindings;
}

const namespaceOf = (pid: number): string => `/proc/${pid}/ns/net`;

/** Makes one more interface of a running container. Throws KernelError; the caller removes the host's end then. */
function makeInterface(link: InterfaceSpec, pid: number): void {
  const namespace = namespaceOf(pid);
  const descriptor = openSync(namespace, "r");
  try {
    for (const bytes of hostMessages(link, descriptor)) netlinkRequest(bytes, link.name);
  } finally {
    closeSync(descriptor);
  }
  // /proc/sys/net shows the network namespace of whoever opens it.
  inNetworkNamespace(namespace, () => {
    for (const { path, value } of insideSysctls(link)) writeFileSync(path, value);
  });
  for (const bytes of insideMessages(link)) netlinkRequest(bytes, link.name, namespace);
}
