// The driver options of bridge networks: Docker's names, and ours.
import { invalid } from "../errors.ts";

const DOCKER = "com.docker.network.";

export interface BridgeOptions {
  /** "" for one of the engine's. */
  name: string;
  /** Containers of the network reach each other. */
  icc: boolean;
  /** Containers reach services of the host's. */
  hostAccess: boolean;
  masquerade: boolean;
  /** Ports are published at this address where none is given. */
  hostBinding: string;
  /** 0 for the daemon's. */
  mtu: number;
  /** Interfaces in containers are called so, and numbered. */
  interfacePrefix: string;
  /** nat: by published ports only; routed: whoever has a route reaches published ports at the container's address;
   * isolated: no address on the host (internal networks only). */
  gatewayMode: "nat" | "routed" | "isolated";
  /** Frames whose source is not the container's own are dropped. */
  guard: boolean;
}

/** Go's strconv.ParseBool, which clients' values are made for. */
function flag(name: string, value: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw invalid(
    `failed to parse ${name} value: ${value} (strconv.ParseBool: parsing "${value}": invalid syntax)`,
  );
}

function number(name: string, value: string): number {
  if (!/^-?\d+$/.test(value))
    throw invalid(
      `failed to parse ${name} value: ${value} (strconv.Atoi: parsing "${value}": invalid syntax)`,
    );
  return Number(value);
}

/** Reads a bridge network's options. Throws for a value that can't be; options of others are left alone. */
export function parseBridgeOptions(
  options: Readonly<Record<string, string>>,
  defaultIcc: boolean,
): BridgeOptions {
  const on = (name: string, fallback: boolean): boolean => {
    const value = options[name];
    return value === undefined || value === "" ? fallback : flag(name, value);
  };
  const name = options[`${DOCKER}bridge.name`] ?? "";
  if (name && !/^[^/\s:]{1,15}$/.test(name))
    throw invalid(`invalid ${DOCKER}bridge.name: ${name}: not an interface name`);
  const mtu = number(`${DOCKER}driver.mtu`, options[`${DOCKER}driver.mtu`] || "0");
  if (mtu < 0 || mtu > 65535) throw invalid(`invalid ${DOCKER}driver.mtu: ${mtu}`);
  const gatewayMode = options[`${DOCKER}bridge.gateway_mode_ipv4`] || "nat";
  if (
    gatewayMode !== "nat" &&
    gatewayMode !== "routed" &&
    gatewayMode !== "isolated" &&
    gatewayMode !== "nat-unprotected"
  )
    throw invalid(`unknown gateway mode ${gatewayMode}`);
  const icc = on(`${DOCKER}bridge.enable_icc`, defaultIcc);
  const prefix = options[`${DOCKER}container_iface_prefix`] || "eth";
  if (!/^[^/\s:]{1,12}$/.test(prefix)) throw invalid(`invalid ${DOCKER}container_iface_prefix: ${prefix}`);
  return {
    name,
    icc,
    hostAccess: on("tsd.network.host_access", icc),
    masquerade: on(`${DOCKER}bridge.enable_ip_masquerade`, true),
    hostBinding: options[`${DOCKER}bridge.host_binding_ipv4`] || "0.0.0.0",
    mtu,
    interfacePrefix: prefix,
    gatewayMode: gatewayMode === "nat-unprotected" ? "nat" : gatewayMode,
    guard: on("tsd.network.guard", true),
  };
}
