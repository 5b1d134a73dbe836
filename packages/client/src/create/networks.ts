// --publish and --network.
import { type ParsedFlags, UsageError } from "../flags.ts";

/** --network, as a name or as name=…,alias=…,ip=…; with what --ip and its like add to the first. */
export function networks(flags: ParsedFlags): {
  mode: string;
  endpoints: Record<string, Record<string, unknown>>;
} {
  const given = [...flags.list("network"), ...flags.list("net")];
  const endpoints: Record<string, Record<string, unknown>> = {};
  for (const [position, text] of (given.length > 0 ? given : ["default"]).entries()) {
    const fields = text.includes("=")
      ? text.split(",").map((field) => field.split(/=(.*)/s))
      : [["name", text]];
    const value = (key: string): string[] =>
      fields.filter(([name]) => name === key).map(([, found = ""]) => found);
    const first = position === 0;
    const IPv4Address = value("ip")[0] ?? (first ? flags.text("ip") : undefined);
    const IPv6Address = value("ip6")[0] ?? (first ? flags.text("ip6") : undefined);
    const LinkLocalIPs = [...value("link-local-ip"), ...(first ? flags.list("link-local-ip") : [])];
    const Aliases = [...value("alias"), ...(first ? flags.list("network-alias") : [])];
    const [MacAddress] = value("mac-address");
    const DriverOpts = Object.fromEntries(value("driver-opt").map((option) => option.split(/=(.*)/s, 2)));
    const [GwPriority] = value("gw-priority");
    const addressed = IPv4Address || IPv6Address || LinkLocalIPs.length > 0;
    const endpoint = {
      ...(addressed ? { IPAMConfig: { IPv4Address, IPv6Address, LinkLocalIPs } } : {}),
      ...(Aliases.length > 0 ? { Aliases } : {}),
      ...(MacAddress ? { MacAddress } : {}),
      ...(Object.keys(DriverOpts).length > 0 ? { DriverOpts } : {}),
      ...(GwPriority ? { GwPriority: Number(GwPriority) } : {}),
    };
    const name = value("name")[0] ?? "default";
    if (given.length > 1 || Object.keys(endpoint).length > 0) endpoints[name] = endpoint;
  }
  const mode = given[0]?.includes("=")
    ? (/(?:^|,)name=([^,]+)/.exec(given[0])?.[1] ?? "default")
    : (given[0] ?? "default");
  return { mode, endpoints };
}

/** [address:][host port:]container port[/protocol], also for ranges. */
export function ports(specs: readonly string[]): {
  bindings: Record<string, { HostIp: string; HostPort: string }[]>;
  exposed: string[];
} {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const spec of specs) {
    const match = /^(?:(?:(\[[^\]]+\]|[^:]*):)?([\d-]*):)?(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(spec);
    if (!match?.[3])
      throw new UsageError(`invalid publish opts format (should be name=value but got '${spec}')`);
    const first = Number(match[3]);
    const last = Number(match[4] ?? match[3]);
    const [hostFirst, hostLast] = (match[2] ?? "").split("-").filter(Boolean).map(Number);
    if (
      hostFirst !== undefined &&
      hostLast !== undefined &&
      hostLast - hostFirst !== last - first &&
      last !== first
    )
      throw new UsageError(`invalid ranges specified for container and host Ports: ${spec}`);
    for (let port = first; port <= last; port++) {
      const name = `${port}/${match[5] ?? "tcp"}`;
      const hostPort =
        hostFirst === undefined
          ? ""
          : last === first && hostLast
            ? `${hostFirst}-${hostLast}`
            : String(hostFirst + port - first);
      bindings[name] = [
        ...(bindings[name] ?? []),
        { HostIp: (match[1] ?? "").replace(/^\[|\]$/g, ""), HostPort: hostPort },
      ];
    }
  }
  return { bindings, exposed: Object.keys(bindings) };
}
