// The daemon's command line: dockerd's names where dockerd has the flag.
import { parseArgs } from "node:util";

export interface Flags {
  hosts: string[];
  dataRoot: string;
  execRoot: string;
  pidFile: string;
  group: string;
  logLevel: string;
  bridge: string;
  bridgeAddress: string;
  cgroupParent: string;
  mtu: number;
  iptables: boolean;
  initPath: string | undefined;
}

const options = {
  host: { type: "string", short: "H", multiple: true, text: "listen at unix://PATH (repeatable)" },
  "data-root": {
    type: "string",
    default: "/var/lib/tsd",
    text: "where images, containers and state are kept",
  },
  "exec-root": { type: "string", default: "/run/tsd", text: "where sockets of running containers are kept" },
  pidfile: {
    type: "string",
    short: "p",
    default: "",
    text: "file for the daemon's pid (default EXEC-ROOT/tsd.pid)",
  },
  group: { type: "string", short: "G", default: "tsd", text: "group of the unix socket" },
  "log-level": {
    type: "string",
    short: "l",
    default: "info",
    text: "trace, debug, info, warn, error or fatal",
  },
  debug: { type: "boolean", short: "D", default: false, text: "the same as --log-level=debug" },
  bridge: { type: "string", short: "b", default: "tsd0", text: "bridge of the default network" },
  bip: { type: "string", default: "172.30.0.1/16", text: "the bridge's address, in CIDR notation" },
  "cgroup-parent": { type: "string", default: "/tsd", text: "control group that containers are put below" },
  mtu: { type: "string", default: "1500", text: "MTU of the default network" },
  iptables: { type: "string", default: "true", text: "whether to write firewall rules (true, false)" },
  "init-path": { type: "string", default: "", text: "init program for --init" },
  version: { type: "boolean", short: "v", default: false, text: "print the version and quit" },
  help: { type: "boolean", short: "h", default: false, text: "print this and quit" },
} as const;

const usage = (): string =>
  [
    "Usage: tsd [OPTIONS]",
    "",
    "A container engine: owns containers and serves the Docker Engine API.",
    "",
    ...Object.entries(options).map(([name, option]) => {
      const short = "short" in option ? `-${option.short}, ` : "    ";
      const preset = "default" in option && option.default ? ` (default ${option.default})` : "";
      return `  ${short}--${name.padEnd(16)} ${option.text}${preset}`;
    }),
    "",
  ].join("\n");

/** Reads the flags. Returns text to print instead where that was asked for; throws for what is wrong, naming it. */
export function readFlags(argv: readonly string[]): Flags | { print: "version" | string } {
  const { values } = parseArgs({ args: [...argv], options, allowPositionals: false, strict: true });
  if (values.help) return { print: usage() };
  if (values.version) return { print: "version" };
  const hosts = values.host ?? ["unix:///run/tsd.sock"];
  for (const host of hosts)
    if (!/^unix:\/\/\/./.test(host))
      throw new Error(`-H ${host}: only unix:///PATH is built yet (tcp://, fd:// and ssh:// are not)`);
  const levels = ["trace", "debug", "info", "warn", "error", "fatal"];
  const logLevel = values.debug ? "debug" : values["log-level"];
  if (!levels.includes(logLevel)) throw new Error(`--log-level ${logLevel}: not one of ${levels.join(", ")}`);
  const mtu = Number(values.mtu);
  if (!Number.isInteger(mtu) || mtu < 576 || mtu > 65535)
    throw new Error(`--mtu ${values.mtu}: not a number from 576 to 65535`);
  if (!["true", "false"].includes(values.iptables))
    throw new Error(`--iptables ${values.iptables}: neither true nor false`);
  if (!/^[^/\s]{1,15}$/.test(values.bridge))
    throw new Error(`--bridge ${values.bridge}: not an interface name`);
  return {
    hosts,
    dataRoot: values["data-root"],
    execRoot: values["exec-root"],
    pidFile: values.pidfile || `${values["exec-root"]}/tsd.pid`,
    group: values.group,
    logLevel,
    bridge: values.bridge,
    bridgeAddress: values.bip,
    cgroupParent: values["cgroup-parent"],
    mtu,
    iptables: values.iptables === "true",
    initPath: values["init-path"] || undefined,
  };
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
