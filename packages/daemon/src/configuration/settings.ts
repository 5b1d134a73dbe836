// Flags and configuration file become the daemon's settings: merged, checked, with their defaults.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { noRealtime } from "@tsd/kernel-bindings";
import type { RegistrySettings } from "../registry/settings.ts";
import { type Endpoint, parseEndpoint } from "./endpoints.ts";
import { type IsolationSettings, parseIsolation } from "./isolation.ts";
import { type Given, keyOf, type OptionName, options } from "./options.ts";
import { registrySettings } from "./registries.ts";
import {
  type CollectionSettings,
  parseCollection,
  parseStorageOptions,
  type StorageSettings,
} from "./storage.ts";
import { checkTrust, type TlsMode } from "./trust.ts";

export interface TlsSettings {
  mode: TlsMode;
  authorities: string;
  certificate: string;
  key: string;
  /** "" for none. */
  revocationList: string;
}

export interface ContainerDefaults {
  /** undefined: no limit. */
  pids: number | undefined;
  ulimits: { Name: string; Soft: number; Hard: number }[];
  /** Bytes. */
  shmSize: number;
}

export interface ConnectionLimits {
  connectionsPerCaller: number;
  /** 0: no limit. */
  requestsPerSecond: number;
}

export interface Settings {
  hosts: Endpoint[];
  dataRoot: string;
  execRoot: string;
  pidFile: string;
  socket: { group: string; mode: number };
  logLevel: string;
  labels: string[];
  bridge: { name: string; address: string; prefixLength: number };
  cgroupParent: string;
  /** Microseconds of real-time scheduling in each period that all containers may have together; undefined: none is given. */
  realtime: { runtime: number; period: number } | undefined;
  storage: StorageSettings;
  userNamespaces: { remap: string; pool: string };
  mtu: number;
  iptables: boolean;
  /** Whether containers of one network reach each other, where the network does not say. */
  icc: boolean;
  /** Where networks get their subnets from; none for the usual ones. */
  addressPools: { base: string; size: number }[];
  /** For containers that ask for nothing else. */
  defaults: ContainerDefaults;
  isolation: IsolationSettings;
  /** OCI runtimes beside our own. */
  runtimes: { name: string; path: string; arguments: string[] }[];
  cdiDirectories: string[];
  initPath: string | undefined;
  /** Whether containers get SELinux labels. */
  selinux: boolean;
  /** auto, off, or where lxcfs is mounted. */
  lxcfs: string;
  registries: RegistrySettings;
  collection: CollectionSettings;
  /** Files of the image policy and of the key that signed it. */
  imagePolicy: { file: string; key: string } | undefined;
  imageKeyDirectory: string;
  /** Bytes that a layer may unpack to. */
  maximumLayerSize: number;
  tls: TlsSettings;
  rolesFile: string | undefined;
  auditKey: string | undefined;
  anonymousPing: boolean;
  allowUnauthenticatedTcp: boolean;
  maximumConnections: number;
  limits: ConnectionLimits;
  /** What is allowed but should be known: told in the log at every start. */
  warnings: string[];
}

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];
const CERTIFICATES = "/etc/tsd/certs";
/** Files that are no connections: libraries, database, logs, monitors. */
const OPEN_FILES_FOR_CONNECTIONS = 0.9;

/** What was given on the command line and in the file, together. One option in both is an error, as it is for dockerd. */
export function mergeGiven(flags: Given, file: Given, path: string): Given {
  const both = (Object.keys(file) as OptionName[]).filter((name) => flags[name] !== undefined);
  if (both.length === 0) return { ...file, ...flags };
  const told = both.map(
    (name) =>
      `${keyOf(name)}: (from flag: ${JSON.stringify(flags[name])}, from file: ${JSON.stringify(file[name])})`,
  );
  throw new Error(
    `configuration file ${path}: the following directives are specified both as a flag and in the configuration file: ${told.join(", ")}`,
  );
}

/** Enough for every program there is, and too few to take a machine down. */
const DEFAULT_PIDS = 4096;

function realtimeShare(runtime: number, period: number): Settings["realtime"] {
  if (runtime < 0) throw new Error(`--cpu-rt-runtime ${runtime}: less than 0`);
  if (period < 0) throw new Error(`--cpu-rt-period ${period}: less than 0`);
  if (runtime > period)
    throw new Error(`--cpu-rt-runtime ${runtime}: more than the period, which has ${period} microseconds`);
  return runtime === 0 ? undefined : { runtime, period };
}

/** name=soft[:hard]. Throws for what is none. */
function parseUlimit(text: string): { Name: string; Soft: number; Hard: number } {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match?.[1]) throw new Error(`--default-ulimit ${text}: not name=soft[:hard]`);
  const Soft = Number(match[2]);
  return { Name: match[1], Soft, Hard: match[3] === undefined ? Soft : Number(match[3]) };
}

/** NAME=PATH[ ARGUMENT…]. */
function parseRuntime(text: string): Settings["runtimes"][number] {
  const [, name = "", path = "", words = ""] = /^([a-z0-9][\w.-]*)=(\/\S+)((?: \S+)*)$/i.exec(text) ?? [];
  if (!name) throw new Error(`--add-runtime ${text}: not NAME=PATH`);
  if (name === "tsd") throw new Error("--add-runtime tsd: that is the daemon's own");
  return { name, path, arguments: words.split(" ").filter(Boolean) };
}

/** Bytes of "64m". Throws for what is no size. */
function parseSize(option: string, text: string): number {
  const match = /^(\d+)([bkmg]?)b?$/i.exec(text);
  if (!match?.[1] || Number(match[1]) === 0) throw new Error(`--${option} ${text}: not a size such as 64m`);
  return Number(match[1]) * 1024 ** Math.max(0, "bkmg".indexOf((match[2] ?? "").toLowerCase() || "b"));
}

/** base=10.10.0.0/16,size=24. Throws for what is none. */
function parseAddressPool(text: string): { base: string; size: number } {
  const fields = Object.fromEntries(text.split(",").map((part) => part.split("=", 2) as [string, string]));
  const { base = "", size = "" } = fields;
  const prefix = Number(base.split("/")[1]);
  if (!/^[0-9a-f.:]+\/\d{1,3}$/i.test(base) || !/^\d{1,3}$/.test(size) || Number(size) < prefix)
    throw new Error(`--default-address-pool ${text}: not base=CIDR,size=PREFIX-LENGTH`);
  return { base, size: Number(size) };
}

/** An address with its prefix length. Throws for what is none. */
export function parseCidr(text: string): { address: string; prefixLength: number } {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(text);
  const prefixLength = Number(match?.[2]);
  if (
    !match?.[1] ||
    prefixLength < 8 ||
    prefixLength > 30 ||
    match[1].split(".").some((part) => Number(part) > 255)
  )
    throw new Error(`--bip ${text}: not an IPv4 address with a prefix length from 8 to 30`);
  return { address: match[1], prefixLength };
}

/** Whole settings of what was given; `openFiles` is how many files this process may open. Throws for what is wrong,
 * naming the option. */
export function makeSettings(given: Given, openFiles: number): Settings {
  const logLevel = given.debug ? "debug" : (given["log-level"] ?? "info");
  if (!LEVELS.includes(logLevel)) throw new Error(`--log-level ${logLevel}: not one of ${LEVELS.join(", ")}`);
  const mtu = given.mtu ?? 1500;
  if (mtu < 576 || mtu > 65535) throw new Error(`--mtu ${mtu}: not a number from 576 to 65535`);
  const bridge = given.bridge ?? "tsd0";
  if (!/^[^/\s]{1,15}$/.test(bridge)) throw new Error(`--bridge ${bridge}: not an interface name`);
  const mode = given["socket-mode"] ?? "660";
  if (!/^0?[0-7]{3}$/.test(mode)) throw new Error(`--socket-mode ${mode}: not three octal digits`);
  for (const label of given.label ?? [])
    if (!/^[^=\s]+=/.test(label)) throw new Error(`--label ${label}: not key=value`);
  const tls = tlsSettings(given);
  const encrypted = tls.mode !== "none";
  const hosts = (given.host?.length ? given.host : ["unix:///run/tsd.sock"]).map((host) =>
    parseEndpoint(host, encrypted),
  );
  const allowUnauthenticatedTcp = given["allow-unauthenticated-tcp"] ?? false;
  const execRoot = given["exec-root"] ?? "/run/tsd";
  const most = Math.floor(openFiles * OPEN_FILES_FOR_CONNECTIONS);
  const maximumConnections = given["max-connections"] || most;
  if (maximumConnections > most)
    throw new Error(`--max-connections ${maximumConnections}: this process may open ${openFiles} files only`);
  return {
    hosts,
    dataRoot: given["data-root"] ?? "/var/lib/tsd",
    execRoot,
    pidFile: given.pidfile || join(execRoot, "tsd.pid"),
    socket: { group: given.group ?? "tsd", mode: Number.parseInt(mode, 8) },
    logLevel,
    labels: given.label ?? [],
    bridge: { name: bridge, ...parseCidr(given.bip ?? "172.30.0.1/16") },
    cgroupParent: given["cgroup-parent"] ?? "/tsd",
    realtime: realtimeShare(given["cpu-rt-runtime"] ?? 0, given["cpu-rt-period"] || noRealtime.period),
    storage: parseStorageOptions(given["storage-opt"] ?? []),
    userNamespaces: { remap: given["userns-remap"] ?? "auto", pool: given["userns-pool"] ?? "" },
    mtu,
    iptables: given.iptables ?? true,
    icc: given.icc ?? true,
    addressPools: (given["default-address-pool"] ?? []).map(parseAddressPool),
    defaults: {
      pids: given["default-pids-limit"] === 0 ? undefined : (given["default-pids-limit"] ?? DEFAULT_PIDS),
      ulimits: (given["default-ulimit"] ?? []).map(parseUlimit),
      shmSize: parseSize("default-shm-size", given["default-shm-size"] ?? "64m"),
    },
    isolation: parseIsolation(given["verify-interval"], given.defence),
    cdiDirectories: given["cdi-spec-dir"] ?? ["/etc/cdi", "/var/run/cdi"],
    runtimes: (given["add-runtime"] ?? []).map(parseRuntime),
    initPath: given["init-path"] || undefined,
    selinux: given["selinux-enabled"] ?? false,
    lxcfs: given.lxcfs || "auto",
    imagePolicy: imagePolicyFiles(given),
    imageKeyDirectory: given["image-key-dir"] ?? "/etc/tsd/image-keys",
    maximumLayerSize: parseSize("max-layer-size", given["max-layer-size"] ?? "64g"),
    collection: parseCollection(given["image-gc"] ?? []),
    registries: registrySettings(given, process.env),
    tls,
    rolesFile: given["roles-file"] || undefined,
    auditKey: given["audit-key"] || undefined,
    anonymousPing: given["anonymous-ping"] ?? false,
    maximumConnections,
    limits: {
      connectionsPerCaller: given["max-connections-per-caller"] || Math.floor((maximumConnections * 3) / 4),
      requestsPerSecond: given["max-requests-per-second"] ?? 0,
    },
    allowUnauthenticatedTcp,
    warnings: hosts.flatMap((endpoint) =>
      endpoint.kind === "tcp" ? checkTrust(endpoint, tls.mode, allowUnauthenticatedTcp) : [],
    ),
  };
}

/** A policy that anybody could have written is none. */
function imagePolicyFiles(given: Given): { file: string; key: string } | undefined {
  const { "image-policy": file, "image-policy-key": key } = given;
  if (!file && !key) return undefined;
  if (!file || !key)
    throw new Error(`--image-policy${file ? "" : "-key"}: needs --image-policy${file ? "-key" : ""}, too`);
  return { file, key };
}

function tlsSettings(given: Given): TlsSettings {
  if (given.tlsverify && given.tls === false)
    throw new Error("--tlsverify and --tls=false contradict each other");
  const authorities = given.tlscacert ?? `${CERTIFICATES}/ca.pem`;
  const beside = join(dirname(authorities), "crl.pem");
  return {
    mode: given.tlsverify ? "mutual" : given.tls ? "server" : "none",
    authorities,
    certificate: given.tlscert ?? `${CERTIFICATES}/server/cert.pem`,
    key: given.tlskey ?? `${CERTIFICATES}/server/key.pem`,
    revocationList: given.tlscrl ?? (given.tlsverify && existsSync(beside) ? beside : ""),
  };
}

/** Names of options that differ and can't be taken up without a restart, and whether any other differs. */
export function compareGiven(before: Given, after: Given): { restart: OptionName[]; changed: OptionName[] } {
  const changed = (Object.keys(options) as OptionName[]).filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  );
  return { restart: changed.filter((name) => !options[name].reloadable), changed };
}
