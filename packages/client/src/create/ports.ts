// --publish and --expose.
import { isIP } from "node:net";
import { UsageError } from "../flags.ts";
import { commaFields, splitPair } from "../values.ts";

export type PortBindings = Record<string, { HostIp: string; HostPort: string }[]>;

const protocols = new Set(["tcp", "udp", "sctp"]);

/** "80" or "80-90": first and last. Undefined for what is no port or range. */
function range(text: string): [number, number] | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1] ?? Number.NaN);
  const last = Number(match?.[2] ?? first);
  return first <= last && last <= 65535 ? [first, last] : undefined;
}

/** Splits off the protocol. */
function protocolOf(spec: string): [string, string] {
  const [ports, protocol] = splitPair(spec, "/");
  const name = protocol.toLowerCase() || "tcp";
  if (!protocols.has(name)) throw new UsageError(`invalid proto: ${protocol}`);
  return [ports, name];
}

function add(bindings: PortBindings, address: string, host: string, container: string, protocol: string) {
  if (!container) throw new UsageError(`no port specified: ${host || container}<empty>`);
  if (address && isIP(address) === 0) throw new UsageError(`invalid IP address: ${address}`);
  const inside = range(container);
  if (!inside) throw new UsageError(`invalid containerPort: ${container}`);
  const outside = host ? range(host) : undefined;
  if (host && !outside) throw new UsageError(`invalid hostPort: ${host}`);
  const [first, last] = inside;
  const onePort = first === last;
  if (outside && !onePort && outside[1] - outside[0] !== last - first)
    throw new UsageError(`invalid ranges specified for container and host Ports: ${container} and ${host}`);
  for (let port = first; port <= last; port++) {
    const name = `${port}/${protocol}`;
    // One port may be published on any of a range.
    const HostPort = !outside ? "" : onePort ? host : String(outside[0] + port - first);
    bindings[name] = [...(bindings[name] ?? []), { HostIp: address, HostPort }];
  }
}

/** published=8080,target=80,protocol=udp,mode=host */
function addLong(bindings: PortBindings, spec: string): void {
  let published = "";
  let target = "";
  let protocol = "tcp";
  for (const field of commaFields(spec)) {
    const [key, value] = splitPair(field);
    if (key === "published") published = value;
    else if (key === "target") target = value;
    else if (key === "protocol") [, protocol] = protocolOf(`/${value}`);
    else if (key !== "mode") throw new UsageError(`invalid field key ${key}`);
  }
  add(bindings, "", published, target, protocol);
}

/** [address:][host port:]container port[/protocol], also for ranges, and the long form of --publish. */
export function publishedPorts(specs: readonly string[]): PortBindings {
  const bindings: PortBindings = {};
  for (const spec of specs) {
    if (spec.includes("=")) {
      addLong(bindings, spec);
      continue;
    }
    const [ports, protocol] = protocolOf(spec);
    const bracketed = /^\[([^\]]*)\]:(.*)$/.exec(ports);
    const parts = (bracketed?.[2] ?? ports).split(":");
    const container = parts.pop() ?? "";
    const host = parts.pop() ?? "";
    add(bindings, bracketed?.[1] ?? parts.join(":"), host, container, protocol);
  }
  return bindings;
}

/** Ports of --expose, ranges taken apart. */
export function exposedPorts(specs: readonly string[]): string[] {
  return specs.flatMap((spec) => {
    if (spec.includes(":")) throw new UsageError(`invalid port format for --expose: ${spec}`);
    const [ports, protocol] = protocolOf(spec);
    const found = range(ports);
    if (!found)
      throw new UsageError(
        `invalid range format for --expose: ${ports}, error: strconv.ParseUint: parsing ${JSON.stringify(ports)}: invalid syntax`,
      );
    return Array.from({ length: found[1] - found[0] + 1 }, (_, index) => `${found[0] + index}/${protocol}`);
  });
}
