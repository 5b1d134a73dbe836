// What is wrong with a request about networks, in Docker's words.
import { isIPv4, isIPv6 } from "node:net";
import type { EndpointRequest } from "../../api/schemas/container-create.ts";
import type { NetworkCreate } from "../../api/schemas/network.ts";
import { EngineError, invalid, notFound } from "../errors.ts";
import type { NetworkDriver } from "./record.ts";
import { isAddress, Subnet } from "./subnet.ts";

const MAC = /^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i;

export const isMac = (text: string): boolean => MAC.test(text);

/** Everything that is wrong with the subnets, one line for each. */
function ipamProblems(request: NetworkCreate): string[] {
  return request.IPAM.Config.flatMap(({ Subnet: text, IPRange, Gateway, AuxiliaryAddresses }) => {
    const subnet = Subnet.parse(text);
    if (!subnet) return [`invalid subnet ${text}: invalid CIDR block notation`];
    if (`${text.split("/")[0]}` !== subnet.at(0n) && canonical(text) !== subnet.at(0n))
      return [`invalid subnet ${text}: it should be ${subnet}`];
    const problems: string[] = [];
    if (subnet.family === 6 && !request.EnableIPv6)
      problems.push(`invalid subnet ${text}: IPv6 is not enabled for this network`);
    if (IPRange) {
      const range = Subnet.parse(IPRange);
      if (!range) problems.push(`invalid ip-range ${IPRange}: invalid CIDR block notation`);
      else if (!range.within(subnet))
        problems.push(`invalid ip-range ${IPRange}: parent subnet ${text} doesn't contain ip-range`);
    }
    const inside = (what: string, address: string): void => {
      if (!isAddress(address)) problems.push(`invalid ${what} ${address}: invalid address`);
      else if (!subnet.contains(address))
        problems.push(`invalid ${what} ${address}: parent subnet ${text} doesn't contain this address`);
    };
    if (Gateway) inside("gateway", Gateway);
    for (const [name, address] of Object.entries(AuxiliaryAddresses))
      inside(`auxiliary address ${name}`, address);
    return problems;
  });
}

const canonical = (text: string): string => new Subnet(6, Subnet.parse(text)?.base ?? 0n, 128).at(0n);

const drivers: ReadonlySet<string> = new Set(["bridge", "host", "null", "macvlan", "ipvlan"]);

/** Checks a request to create a network; returns its driver. */
export function checkNetworkCreate(request: NetworkCreate): NetworkDriver {
  const { Name, Driver, Scope, ConfigOnly, ConfigFrom, Ingress } = request;
  if (!Name.trim()) throw invalid(`invalid name: ${Name}`);
  if (Name.includes("\0") || Name.includes("/"))
    throw invalid(`invalid name: ${Name}: no slashes may be in it`);
  if (["bridge", "host", "none", "default"].includes(Name))
    throw new EngineError("forbidden", `operation is not permitted on predefined ${Name} network `);
  if (Scope === "swarm" || Ingress)
    throw new EngineError("forbidden", "cannot create a swarm scoped network when swarm is not active");
  if (Driver === "overlay")
    throw new EngineError("forbidden", "This node is not a swarm manager: overlay networks need one");
  if (ConfigOnly || ConfigFrom?.Network)
    throw new EngineError(
      "not-implemented",
      "not implemented: configuration-only networks (ConfigOnly, ConfigFrom)",
    );
  const driver = Driver || "bridge";
  if (driver === "host" || driver === "null")
    throw new EngineError("forbidden", `only one instance of "${driver}" network is allowed`);
  if (!drivers.has(driver)) throw notFound(`plugin "${driver}" not found`);
  if (request.IPAM.Driver && !["default", "null"].includes(request.IPAM.Driver))
    throw notFound(`plugin "${request.IPAM.Driver}" not found`);
  const problems = ipamProblems(request);
  if (problems.length > 0) throw invalid(`invalid network config:\n${problems.join("\n")}`);
  return driver as NetworkDriver;
}

const isLinkLocal = (address: string): boolean =>
  address.includes(":") ? /^fe[89ab]/i.test(address) : address.startsWith("169.254.");

/** What a network is to an endpoint's settings. */
export interface EndpointContext {
  /** One that a user made. */
  userDefined: boolean;
  /** Those of its subnets that somebody chose: only in these may addresses be chosen. */
  subnets: readonly Subnet[];
}

function placeProblems(address: string, family: 4 | 6, { subnets }: EndpointContext): string[] {
  const own = subnets.filter((subnet) => subnet.family === family);
  if (own.length === 0)
    return [
      "user specified IP address is supported only when connecting to networks with user configured subnets",
    ];
  return own.some((subnet) => subnet.contains(address))
    ? []
    : [`no configured subnet or ip-range contain the IP address ${address}`];
}

/** Checks what is asked of a network for a container; `context` is unknown for a network that is not there yet. */
export function checkEndpoint(endpoint: EndpointRequest, context: EndpointContext | undefined): void {
  const problems: string[] = [];
  const { IPAMConfig, Aliases, MacAddress } = endpoint;
  const asked: [address: string, family: 4 | 6, isRight: (text: string) => boolean][] = [
    [IPAMConfig?.IPv4Address ?? "", 4, isIPv4],
    [IPAMConfig?.IPv6Address ?? "", 6, isIPv6],
  ];
  if (asked.some(([address]) => address) && context && !context.userDefined)
    problems.push("user specified IP address is supported on user defined networks only");
  for (const [address, family, isRight] of asked) {
    if (!address) continue;
    if (!isRight(address)) problems.push(`invalid IPv${family} address: ${address}`);
    else if (context) problems.push(...placeProblems(address, family, context));
  }
  for (const address of IPAMConfig?.LinkLocalIPs ?? [])
    if (!isAddress(address) || !isLinkLocal(address))
      problems.push(`invalid link-local IP address: ${address}`);
  if (Aliases?.length && context && !context.userDefined)
    problems.push("network-scoped alias is supported only for containers in user defined networks");
  const text = problems.length > 1 ? problems.map((problem) => `* ${problem}`).join("\n") : problems.join("");
  if (text) throw invalid(`invalid endpoint settings:\n${text}`);
  if (MacAddress && !isMac(MacAddress)) throw invalid(`invalid MAC address ${MacAddress}`);
}
