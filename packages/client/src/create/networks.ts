// --network and what goes with it: which networks, and how the container stands in each.
import { isIP } from "node:net";
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { type ParsedFlags, UsageError } from "../flags.ts";
import { commaFields, splitPair } from "../values.ts";

type Endpoints = NonNullable<NonNullable<ContainerCreateRequest["NetworkingConfig"]>["EndpointsConfig"]>;

interface Endpoint {
  name: string;
  aliases: string[];
  links: string[];
  linkLocal: string[];
  options: Record<string, string>;
  ip?: string;
  ip6?: string;
  mac?: string;
  priority?: number;
}

export function checkAddress(text: string): void {
  if (isIP(text) === 0) throw new Error(`IP address is not correctly formatted: ${text}`);
}

/** name:address or name=address; the address may be host-gateway. */
export function parseExtraHost(text: string): string {
  const match = /^([^:=]+)[:=](.+)$/.exec(text);
  if (!match?.[1] || !match[2]) throw new Error(`bad format for add-host: ${JSON.stringify(text)}`);
  const address = match[2].replace(/^\[(.*)\]$/, "$1");
  if (address !== "host-gateway" && isIP(address) === 0)
    throw new Error(`invalid IP address in add-host: ${JSON.stringify(match[2])}`);
  return `${match[1]}:${address}`;
}

/** A name, or name=…,alias=…,ip=…. Throws Error with docker's words. */
export function parseNetwork(text: string): Endpoint {
  const endpoint: Endpoint = { name: text, aliases: [], links: [], linkLocal: [], options: {} };
  if (!text.includes("=")) return endpoint;
  endpoint.name = "";
  for (const field of commaFields(text)) {
    const [key, value] = splitPair(field);
    if (!field.includes("=")) throw new Error(`invalid key/value pair format in network options`);
    if (key === "name") endpoint.name = value;
    else if (key === "alias") endpoint.aliases.push(value);
    else if (key === "ip") endpoint.ip = value;
    else if (key === "ip6") endpoint.ip6 = value;
    else if (key === "mac-address") endpoint.mac = value;
    else if (key === "link-local-ip") endpoint.linkLocal.push(value);
    else if (key === "gw-priority") endpoint.priority = Number(value);
    else if (key === "driver-opt") {
      const [name, setting] = splitPair(value);
      endpoint.options[name] = setting;
    } else throw new Error(`invalid field key ${key}`);
  }
  if (!endpoint.name) throw new Error("network name/id is not specified");
  return endpoint;
}

function body(endpoint: Endpoint): Endpoints[string] {
  const { ip, ip6, linkLocal, links, aliases, mac, options, priority } = endpoint;
  const addresses = {
    ...(ip ? { IPv4Address: ip } : {}),
    ...(ip6 ? { IPv6Address: ip6 } : {}),
    ...(linkLocal.length > 0 ? { LinkLocalIPs: linkLocal } : {}),
  };
  return {
    ...(Object.keys(addresses).length > 0 ? { IPAMConfig: addresses } : {}),
    ...(links.length > 0 ? { Links: links } : {}),
    ...(aliases.length > 0 ? { Aliases: aliases } : {}),
    ...(mac ? { MacAddress: mac } : {}),
    ...(Object.keys(options).length > 0 ? { DriverOpts: options } : {}),
    ...(priority !== undefined ? { GwPriority: priority } : {}),
  };
}

const builtIn = (name: string): boolean =>
  ["default", "bridge", "host", "none"].includes(name) || name.startsWith("container:");

/** The network mode is the first network; the flags that name none of them belong to it. */
export function networks(flags: ParsedFlags): { mode: string; endpoints: Endpoints } {
  const asked = [...flags.list("network"), ...flags.list("net")].map(parseNetwork);
  const [first = parseNetwork("default"), ...others] = asked;
  const mac = flags.text("mac-address");
  if (mac && !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(mac))
    throw new UsageError(`${mac} is not a valid mac address`);
  for (const [flag, field] of [
    ["ip", "ip"],
    ["ip6", "ip6"],
    ["mac-address", "mac"],
  ] as const) {
    const value = flags.text(flag);
    if (value !== undefined) first[field] = value;
  }
  first.aliases.push(...flags.list("network-alias"));
  first.linkLocal.push(...flags.list("link-local-ip"));
  if (!builtIn(first.name)) first.links.push(...flags.list("link"));
  const endpoints = Object.fromEntries([first, ...others].map((endpoint) => [endpoint.name, body(endpoint)]));
  const said = others.length > 0 || Object.keys(endpoints[first.name] ?? {}).length > 0;
  return { mode: first.name, endpoints: said || !builtIn(first.name) ? endpoints : {} };
}
