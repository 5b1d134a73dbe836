// What a create request says of networks: which ones, checked as far as it can be before the start.
import type { ContainerCreate, EndpointRequest } from "../../api/schemas/container-create.ts";
import type { Caller } from "../access/caller.ts";
import { EngineError, invalid } from "../errors.ts";
import type { Network } from "../networks/network.ts";
import { deviceOf, emptyEndpoint } from "../networks/places.ts";
import { requestedPorts } from "../networks/ports.ts";
import type { NetworkService } from "../networks/service.ts";
import { readShape } from "../networks/shape-options.ts";
import { checkEndpoint, isMac } from "../networks/validate.ts";

/** What comes of it: the networks by name, and what the client is told. */
export interface RequestedNetworks {
  networks: Record<string, EndpointRequest>;
  /** The ids of those that may be no others later. */
  networkIds: Record<string, string>;
  warnings: string[];
}

const some = (value: readonly unknown[] | object | null): boolean =>
  value !== null && Object.keys(value).length > 0;

export const LINK_TO_HOST =
  "conflicting options: host type networking can't be used with links. This would result in undefined behavior";

/** Throws for options that mean nothing in a network that is somebody else's. */
function checkConflicts(request: ContainerCreate): void {
  const { HostConfig: host } = request;
  const { NetworkMode: mode } = host;
  const shared = mode.startsWith("container:");
  if (host.Links?.length && (mode === "host" || shared))
    throw invalid(
      mode === "host"
        ? LINK_TO_HOST
        : "conflicting options: container type network can't be used with links. This would result in undefined behavior",
    );
  if (!shared) return;
  const conflicts: [boolean, string][] = [
    [request.Hostname !== "", "hostname"],
    [some(host.Dns), "dns"],
    [some(host.ExtraHosts), "custom host-to-IP mapping"],
    [request.MacAddress !== "", "mac-address"],
    [some(host.PortBindings) || host.PublishAllPorts, "port publishing"],
    [some(request.ExposedPorts), "port exposing"],
  ];
  const [, what] = conflicts.find(([holds]) => holds) ?? [];
  if (!what) return;
  const kind = what.startsWith("port") ? "container type " : "";
  throw invalid(`conflicting options: ${what} and the ${kind}network mode`);
}

function checkOne(name: string, network: Network | undefined, endpoint: EndpointRequest): void {
  try {
    checkEndpoint(endpoint, network?.context);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw invalid(`invalid config for network ${name}: ${error.message}`);
  }
}

/** Reads and checks it. Networks that are not there yet are found out at the start, as in Docker. */
export function requestedNetworks(
  request: ContainerCreate,
  service: NetworkService,
  caller: Caller,
): RequestedNetworks {
  checkConflicts(request);
  const { HostConfig: host } = request;
  const mode = ["", "default"].includes(host.NetworkMode) ? "bridge" : host.NetworkMode;
  requestedPorts(host, request.ExposedPorts);
  readShape({}, {}, host.NetworkShape);
  if (host.NetworkShape && (/^(host|none)$/.test(mode) || mode.includes(":")))
    throw invalid(
      `conflicting options: NetworkShape and the network mode ${mode}, which has no link on a bridge`,
    );
  if (request.MacAddress && !isMac(request.MacAddress))
    throw invalid(`invalid MAC address: ${request.MacAddress}`);
  if (mode.startsWith("container:")) return { networks: {}, networkIds: {}, warnings: [] };
  const networks: Record<string, EndpointRequest> = {};
  const limited = caller.role?.scope !== "all";
  // For those who see only their own, a name must stand for something now, and for that alone.
  const look = (reference: string): Network | undefined =>
    limited ? service.find(reference, caller) : service.look(reference, caller);
  for (const [reference, given] of Object.entries(request.NetworkingConfig.EndpointsConfig)) {
    const key = reference === "default" ? "bridge" : reference;
    const network = look(key);
    const endpoint = given ?? emptyEndpoint();
    checkOne(network?.name ?? key, network, endpoint);
    networks[network?.name ?? key] = endpoint;
  }
  for (const [name, endpoint] of Object.entries(networks))
    readShape(look(name)?.record.options ?? {}, endpoint.DriverOpts ?? {}, host.NetworkShape);
  const first = (deviceOf(mode) ? undefined : look(mode))?.name ?? mode;
  if (Object.keys(networks).length === 0 && !deviceOf(mode)) networks[first] = emptyEndpoint();
  const own = networks[first];
  if (own && request.MacAddress && !own.MacAddress) own.MacAddress = request.MacAddress;
  // In networks of users' a link is one more name.
  if (own && host.Links?.length && !own.Links && first !== "bridge") own.Links = host.Links;
  const discarded = mode === "host" && (some(host.PortBindings) || host.PublishAllPorts);
  const names = limited ? Object.keys(networks) : [];
  return {
    networks,
    networkIds: Object.fromEntries(names.map((name) => [name, service.find(name, caller).id])),
    warnings: discarded ? ["Published ports are discarded when using host network mode"] : [],
  };
}
