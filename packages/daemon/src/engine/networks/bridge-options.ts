// The driver options of bridge networks: Docker's names, and ours.

import { isIP } from "node:net";
import { parseBoolean } from "../../api/booleans.ts";
import type { GatewayMode } from "../../runtime/network/rules.ts";
import { EngineError, invalid } from "../errors.ts";

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
  gatewayMode: Readonly<Record<4 | 6, GatewayMode>>;
  /** The host's address that containers go out under; "" for that of the way out. */
  hostAddress: Readonly<Record<4 | 6, string>>;
  /** The bridge has no IPv4 address: the gateway is somebody else on it. */
  inhibitIpv4: boolean;
  /** Frames whose source is not the container's own are dropped. */
  guard: boolean;
}

/** What Docker knows, and we do not: it would be taken without any effect. */
const withoutEffect = [`${DOCKER}bridge.trusted_host_interfaces`];

function flag(name: string, value: string): boolean {
  const flag = parseBoolean(value);
  if (flag !== undefined) return flag;
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
  const mode = (family: 4 | 6): GatewayMode => {
    const text = options[`${DOCKER}bridge.gateway_mode_ipv${family}`] || "nat";
    if (text === "nat-unprotected") return "nat";
    if (text !== "nat" && text !== "routed" && text !== "isolated")
      throw invalid(`unknown gateway mode ${text}`);
    return text;
  };
  const hostAddress = (family: 4 | 6): string => {
    const text = options[`${DOCKER}host_ipv${family}`] ?? "";
    if (text && isIP(text) !== family)
      throw invalid(`invalid ${DOCKER}host_ipv${family}: ${text}: not an IPv${family} address`);
    return text;
  };
  for (const name of withoutEffect)
    if (options[name]) throw new EngineError("not-implemented", `not implemented: network option ${name}`);
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
    gatewayMode: { 4: mode(4), 6: mode(6) },
    hostAddress: { 4: hostAddress(4), 6: hostAddress(6) },
    inhibitIpv4: on(`${DOCKER}bridge.inhibit_ipv4`, false),
    guard: on("tsd.network.guard", true),
  };
}
