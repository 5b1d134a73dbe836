// The files of /etc that the engine writes for a container: hostname, hosts, resolv.conf.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NAME_SERVER_ADDRESS } from "@tsd/kernel-bindings";
import type { ContainerConfig, HostConfig } from "../../api/schemas/container-create.ts";
import { invalid } from "../errors.ts";
import type { EndpointState } from "../networks/record.ts";

const loopbackHosts = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/** Lines for --add-host; "host-gateway" is the bridge's address. */
function extraHosts(entries: readonly string[], gateway: string): string[] {
  return entries.map((entry) => {
    const at = entry.indexOf(":");
    if (at <= 0) throw invalid(`bad format for add-host: "${entry}"`);
    const address = entry.slice(at + 1);
    return `${address === "host-gateway" ? gateway : address}\t${entry.slice(0, at)}`;
  });
}

/** Whose resolvers a container has: the host's own network's, those of its own network, or our name server. */
export type NameService = "host" | "own" | "served";

/** The host's resolvers, without those that a container's own loopback would swallow, and what was asked for instead; or our
 * name server, which asks them itself. */
export function resolvConf(hostFile: string, host: HostConfig, service: NameService): string {
  const lines = hostFile.split("\n");
  const nameservers = lines
    .filter((line) => /^\s*nameserver\s/.test(line))
    .map((line) => line.trim().split(/\s+/)[1] ?? "");
  const own = (word: string): string[] => {
    const line = lines.findLast((candidate) => new RegExp(`^\\s*${word}\\s`).test(candidate));
    return line ? line.trim().split(/\s+/).slice(1) : [];
  };
  const asked = host.DnsSearch?.length ? host.DnsSearch : own("search");
  const search = asked.filter((domain) => domain !== ".");
  const given = host.DnsOptions?.length ? host.DnsOptions : own("options");
  // Names without dots are for the name server: it knows which are its own.
  const options =
    service === "served" && !given.some((option) => option.startsWith("ndots:"))
      ? [...given, "ndots:0"]
      : given;
  return [
    ...servers(nameservers, host, service).map((server) => `nameserver ${server}`),
    ...(search.length ? [`search ${search.join(" ")}`] : []),
    ...(options.length ? [`options ${options.join(" ")}`] : []),
    "",
  ].join("\n");
}

function servers(hosts: readonly string[], host: HostConfig, service: NameService): readonly string[] {
  if (service === "served") return [NAME_SERVER_ADDRESS];
  if (host.Dns?.length) return host.Dns;
  if (service === "host") return hosts;
  const usable = hosts.filter((address) => !/^(127\.|::1$)/.test(address));
  return usable.length > 0 ? usable : ["8.8.8.8", "8.8.4.4"];
}

/** The addresses of a container, in the order of its interfaces. */
export const endpointAddresses = (endpoints: Readonly<Record<string, EndpointState>>): string[] =>
  Object.values(endpoints).flatMap(({ address, address6 }) =>
    [address, address6].filter((text) => text !== ""),
  );

export interface EtcFacts {
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** Its own addresses, in all networks. */
  addresses: readonly string[];
  /** Other containers that it has names for. */
  linked: readonly { address: string; names: readonly string[] }[];
  gateway: string;
  names: NameService;
}

function readHost(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** A file of the engine's: where it is kept, where it appears, and what is in it. */
export interface EtcFile {
  source: string;
  target: string;
  text: string;
}

/** The files of a container whose directory this is. */
export function etcFiles(directory: string, facts: EtcFacts): EtcFile[] {
  const { config, hostConfig } = facts;
  const fullName = config.Domainname
    ? `${config.Hostname}.${config.Domainname} ${config.Hostname}`
    : config.Hostname;
  const hosts = facts.names === "host" ? [readHost("/etc/hosts").trimEnd()] : [...loopbackHosts];
  for (const { address, names } of facts.linked) hosts.push(`${address}\t${names.join(" ")}`);
  if (config.Hostname) for (const address of facts.addresses) hosts.push(`${address}\t${fullName}`);
  hosts.push(...extraHosts(hostConfig.ExtraHosts ?? [], facts.gateway));
  const files = {
    hostname: `${config.Hostname}\n`,
    hosts: `${hosts.join("\n")}\n`,
    "resolv.conf": resolvConf(readHost("/etc/resolv.conf"), hostConfig, facts.names),
  };
  return Object.entries(files).map(([name, text]) => ({
    source: join(directory, name),
    target: `/etc/${name}`,
    text,
  }));
}

/** Writes the files. Three small files take less time than the way to the thread pool and back. */
export function writeEtcFiles(files: readonly EtcFile[]): void {
  for (const { source, text } of files) writeFileSync(source, text, { mode: 0o644 });
}
