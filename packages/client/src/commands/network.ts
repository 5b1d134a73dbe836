// tsctl network create, ls, inspect, rm, prune, connect, disconnect.
import type { EndpointSettings, NetworkInspect } from "@tsd/daemon/api";
import { type Command, forEachArgument, print } from "../context.ts";
import { keyValues } from "../create/environment.ts";
import { expectArguments, filtersJson, type ParsedFlags, parseFlags, UsageError } from "../flags.ts";
import { type Columns, printRows, type Row } from "../output/format.ts";
import { compileTemplate } from "../output/template.ts";
import { shortId } from "../output/units.ts";
import { confirmed } from "./operations.ts";

/** Pairs each --ip-range, --gateway and --aux-address with the --subnet that it lies in; docker's rule. */
function subnets(flags: ParsedFlags): Record<string, unknown>[] {
  const given = flags.list("subnet");
  const family = (text: string): boolean => text.includes(":");
  const config = given.map((Subnet): Record<string, unknown> => ({ Subnet }));
  const put = (field: string, value: string): void => {
    const place = config.find(
      (one) => family(String(one.Subnet)) === family(value) && one[field] === undefined,
    );
    if (!place) throw new UsageError(`no matching subnet for ${field} ${value}`, 1);
    place[field] = value;
  };
  for (const range of flags.list("ip-range")) put("IPRange", range);
  for (const gateway of flags.list("gateway")) put("Gateway", gateway);
  const auxiliary = Object.entries(keyValues(flags.list("aux-address")));
  for (const [name, address] of auxiliary) {
    const place = config.find((one) => family(String(one.Subnet)) === family(address));
    if (!place) throw new UsageError(`no matching subnet for aux-address ${address}`, 1);
    place.AuxiliaryAddresses = { ...(place.AuxiliaryAddresses as object | undefined), [name]: address };
  }
  return config;
}

export const create: Command = async (words, context) => {
  const flags = parseFlags(words, {
    attachable: ["bool"],
    "aux-address": ["list"],
    "config-from": ["text"],
    "config-only": ["bool"],
    driver: ["text", "d"],
    gateway: ["list"],
    ingress: ["bool"],
    internal: ["bool"],
    "ip-range": ["list"],
    "ipam-driver": ["text"],
    "ipam-opt": ["list"],
    ipv4: ["bool"],
    ipv6: ["bool"],
    label: ["list"],
    opt: ["list", "o"],
    scope: ["text"],
    subnet: ["list"],
  });
  expectArguments(flags, "network create", 1, 1);
  const from = flags.text("config-from");
  const { Id } = await context.client.networks.create({
    Name: flags.args[0] ?? "",
    Driver: flags.text("driver") ?? "bridge",
    Scope: flags.text("scope") ?? "",
    Internal: flags.bool("internal"),
    Attachable: flags.bool("attachable"),
    Ingress: flags.bool("ingress"),
    ConfigOnly: flags.bool("config-only"),
    ...(from ? { ConfigFrom: { Network: from } } : {}),
    ...(flags.has("ipv4") ? { EnableIPv4: flags.bool("ipv4") } : {}),
    EnableIPv6: flags.bool("ipv6"),
    IPAM: {
      Driver: flags.text("ipam-driver") ?? "default",
      Options: keyValues(flags.list("ipam-opt")),
      Config: subnets(flags),
    },
    Options: keyValues(flags.list("opt")),
    Labels: keyValues(flags.list("label")),
  });
  await print(Id);
  return 0;
};

const columns: Columns = [
  ["ID", "NETWORK ID"],
  ["Name", "NAME"],
  ["Driver", "DRIVER"],
  ["Scope", "SCOPE"],
];

const row = (network: NetworkInspect, whole: boolean): Row => ({
  ID: whole ? network.Id : shortId(network.Id),
  Name: network.Name,
  Driver: network.Driver,
  Scope: network.Scope,
  IPv6: String(network.EnableIPv6),
  Internal: String(network.Internal),
  CreatedAt: network.Created,
  Labels: Object.entries(network.Labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(","),
});

export const ls: Command = async (words, context) => {
  const flags = parseFlags(words, {
    filter: ["list", "f"],
    format: ["text"],
    "no-trunc": ["bool"],
    quiet: ["bool", "q"],
  });
  expectArguments(flags, "network ls", 0, 0);
  const filters = filtersJson(flags.list("filter"));
  const networks = await context.client.networks.list(filters ? { filters } : {});
  networks.sort((a, b) => (a.Name < b.Name ? -1 : 1));
  const rows = networks.map((network) => row(network, flags.bool("no-trunc")));
  if (flags.bool("quiet") && !flags.has("format")) for (const { ID } of rows) await print(String(ID));
  else await printRows(rows, columns, flags.text("format"));
  return 0;
};

export const inspect: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"], type: ["text"], verbose: ["bool", "v"] });
  expectArguments(flags, "network inspect", 1);
  const found: NetworkInspect[] = [];
  const status = await forEachArgument(flags.args, context, async (name) => {
    found.push(await context.client.networks.inspect(name));
    return undefined;
  });
  const format = flags.text("format");
  if (format === undefined || format === "json")
    await print(JSON.stringify(found, null, format === "json" ? undefined : 4));
  else for (const item of found) await print(`${compileTemplate(format)(item)}\n`);
  return status;
};

export const rm: Command = (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"] });
  expectArguments(flags, "network rm", 1);
  return forEachArgument(flags.args, context, async (name) => {
    await context.client.networks.remove(name);
    return name;
  });
};

export const prune: Command = async (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"], filter: ["list"] });
  expectArguments(flags, "network prune", 0, 0);
  const question = "WARNING! This will remove all custom networks not used by at least one container.";
  if (!flags.bool("force") && !(await confirmed(question))) return 1;
  const { NetworksDeleted } = await context.client.networks.prune(filtersJson(flags.list("filter")));
  if (NetworksDeleted?.length) await print(`Deleted Networks:\n${NetworksDeleted.join("\n")}\n`);
  return 0;
};

export const connect: Command = async (words, context) => {
  const flags = parseFlags(words, {
    alias: ["list"],
    "driver-opt": ["list"],
    "gw-priority": ["text"],
    ip: ["text"],
    ip6: ["text"],
    link: ["list"],
    "link-local-ip": ["list"],
  });
  expectArguments(flags, "network connect", 2, 2);
  const [network = "", container = ""] = flags.args;
  const endpoint: EndpointSettings = {
    IPAMConfig: {
      IPv4Address: flags.text("ip") ?? "",
      IPv6Address: flags.text("ip6") ?? "",
      LinkLocalIPs: flags.list("link-local-ip"),
    },
    Links: flags.list("link"),
    Aliases: flags.list("alias"),
    DriverOpts: keyValues(flags.list("driver-opt")),
    GwPriority: Number(flags.text("gw-priority") ?? 0),
  };
  await context.client.networks.connect(network, container, endpoint);
  return 0;
};

export const disconnect: Command = async (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"] });
  expectArguments(flags, "network disconnect", 2, 2);
  const [network = "", container = ""] = flags.args;
  await context.client.networks.disconnect(network, container, flags.bool("force"));
  return 0;
};
