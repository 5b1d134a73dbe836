// Ports of the host's that lead to containers': what requests say of them, and who holds which.
import { readFileSync } from "node:fs";
import { isIPv4, isIPv6 } from "node:net";
import { bindPort, closeDescriptor, KernelError } from "@tsd/kernel-bindings";
import type { ContainerConfig, HostConfig } from "../../api/schemas/container-create.ts";
import { EngineError, invalid } from "../errors.ts";
import type { PublishedPort, TransportProtocol } from "./record.ts";

const EADDRINUSE = 98;
const EADDRNOTAVAIL = 99;
const protocols: ReadonlySet<string> = new Set(["tcp", "udp", "sctp"]);

/** A container's port, as "80/tcp" says it. Throws for what is none. */
export function parsePort(text: string): { port: number; protocol: TransportProtocol } {
  const [number = "", protocol = "tcp"] = text.split("/");
  if (!/^\d{1,5}$/.test(number) || Number(number) > 65535 || Number(number) === 0)
    throw invalid(`invalid port specification: "${number}"`);
  if (!protocols.has(protocol.toLowerCase())) throw invalid(`invalid proto: ${protocol}`);
  return { port: Number(number), protocol: protocol.toLowerCase() as TransportProtocol };
}

/** Host ports that will do: none given is any, a range is the first that is free. */
function parseHostPorts(text: string): { first: number; last: number } | undefined {
  if (!text || text === "0") return undefined;
  const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(range?.[1]);
  const last = Number(range?.[2] ?? range?.[1]);
  if (!range || first === 0 || last > 65535 || last < first)
    throw invalid(`invalid port specification: "${text}"`);
  return { first, last };
}

/** A port to be published, read from a request. */
export interface PortRequest {
  containerPort: number;
  protocol: TransportProtocol;
  /** "" for the network's default. */
  hostAddress: string;
  hostPorts: { first: number; last: number } | undefined;
}

/** Reads and checks every binding of a request, and, with PublishAllPorts, what is exposed besides. */
export function requestedPorts(
  host: Pick<HostConfig, "PortBindings" | "PublishAllPorts">,
  exposed: ContainerConfig["ExposedPorts"],
): PortRequest[] {
  const requests: PortRequest[] = [];
  for (const [text, bindings] of Object.entries(host.PortBindings ?? {})) {
    const { port, protocol } = parsePort(text);
    for (const { HostIp, HostPort } of bindings ?? [{ HostIp: "", HostPort: "" }]) {
      if (HostIp && !isIPv4(HostIp) && !isIPv6(HostIp)) throw invalid(`invalid IP address: ${HostIp}`);
      requests.push({
        containerPort: port,
        protocol,
        hostAddress: HostIp,
        hostPorts: parseHostPorts(HostPort),
      });
    }
  }
  if (!host.PublishAllPorts) return requests;
  for (const text of Object.keys(exposed ?? {})) {
    const { port, protocol } = parsePort(text);
    if (!requests.some((request) => request.containerPort === port && request.protocol === protocol))
      requests.push({ containerPort: port, protocol, hostAddress: "", hostPorts: undefined });
  }
  return requests;
}

/** An address of the host's, and the container's that a port there leads to. */
type Binding = Pick<PublishedPort, "hostAddress" | "address">;

/** The range that the kernel takes ports from for programs that ask for none (ip(7), ip_local_port_range). */
export function ephemeralPorts(): { first: number; last: number } {
  const [first = 32768, last = 60999] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
    .trim()
    .split(/\s+/)
    .map(Number);
  return { first, last };
}

const keyOf = (protocol: string, address: string, port: number): string => `${protocol} ${address} ${port}`;
const ANY: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/** The host's ports that containers hold. Each is held by a bound socket, so that no other program gets it. */
export class HostPorts {
  readonly #held = new Map<string, { holder: string; socket: number | undefined }>();
  readonly #range: { first: number; last: number };
  #next: number;

  /** `range` is where ports are taken from that nobody asked for by number. */
  constructor(range: { first: number; last: number }) {
    this.#range = range;
    this.#next = range.first;
  }

  /** Takes one port for a container, at each of these addresses. Throws with Docker's words when there is none. */
  take(holder: string, request: PortRequest, bindings: readonly Binding[]): PublishedPort[] {
    const candidates = request.hostPorts ?? this.#range;
    const random = request.hostPorts === undefined;
    const count = candidates.last - candidates.first + 1;
    let problem: Error | undefined;
    for (let tried = 0; tried < count; tried++) {
      const port = random
        ? candidates.first + ((this.#next - candidates.first + tried) % count)
        : candidates.first + tried;
      try {
        const taken = this.#takeAll(holder, request, bindings, port);
        if (random) this.#next = port + 1 > candidates.last ? candidates.first : port + 1;
        return taken;
      } catch (error) {
        problem ??= error as Error;
        if (!(error instanceof EngineError) || error.kind === "invalid") throw error;
      }
    }
    throw problem ?? new EngineError("system", "no port is free");
  }

  #takeAll(
    holder: string,
    request: PortRequest,
    bindings: readonly Binding[],
    port: number,
  ): PublishedPort[] {
    const taken: PublishedPort[] = [];
    try {
      for (const { hostAddress, address } of bindings) {
        const { protocol, containerPort } = request;
        this.#takeOne(holder, protocol, hostAddress, port);
        taken.push({ containerPort, protocol, hostAddress, hostPort: port, address });
      }
      return taken;
    } catch (error) {
      this.release(taken);
      throw error;
    }
  }

  #takeOne(holder: string, protocol: TransportProtocol, address: string, port: number): void {
    const shown = address.includes(":") ? `[${address}]` : address;
    if (this.#conflicts(protocol, address, port))
      throw new EngineError("system", `Bind for ${shown}:${port} failed: port is already allocated`);
    let socket: number | undefined;
    try {
      socket = bindPort(protocol, address, port);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.errno === EADDRINUSE)
        throw new EngineError(
          "system",
          `failed to bind host port for ${shown}:${port}/${protocol}: address already in use`,
        );
      if (error.errno === EADDRNOTAVAIL)
        throw new EngineError(
          "invalid",
          `failed to bind host port for ${shown}:${port}/${protocol}: cannot assign requested address`,
        );
      // A host without SCTP has nobody to take its ports either.
      if (protocol !== "sctp") throw error;
    }
    this.#held.set(keyOf(protocol, address, port), { holder, socket });
  }

  /** Whether a container holds this port, at this address or at all of its family. */
  #conflicts(protocol: string, address: string, port: number): boolean {
    const any = address.includes(":") ? "::" : "0.0.0.0";
    if (this.#held.has(keyOf(protocol, address, port)) || this.#held.has(keyOf(protocol, any, port)))
      return true;
    if (!ANY.has(address)) return false;
    for (const key of this.#held.keys()) {
      const [heldProtocol, heldAddress = "", heldPort] = key.split(" ");
      if (
        heldProtocol === protocol &&
        heldPort === String(port) &&
        heldAddress.includes(":") === address.includes(":")
      )
        return true;
    }
    return false;
  }

  /** Takes up what an earlier daemon's container holds. Throws when another program has got it meanwhile; the container's
   * traffic goes on all the same. */
  takeUp(holder: string, { protocol, hostAddress, hostPort }: PublishedPort): void {
    const key = keyOf(protocol, hostAddress, hostPort);
    this.#held.set(key, { holder, socket: undefined });
    this.#held.set(key, { holder, socket: bindPort(protocol, hostAddress, hostPort) });
  }

  release(ports: readonly PublishedPort[]): void {
    for (const { protocol, hostAddress, hostPort } of ports) {
      const key = keyOf(protocol, hostAddress, hostPort);
      const socket = this.#held.get(key)?.socket;
      if (socket !== undefined) closeDescriptor(socket);
      this.#held.delete(key);
    }
  }
}
