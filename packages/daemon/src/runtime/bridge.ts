// The host's side of the default network: the bridge, its address, forwarding, and the rules for NAT.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import {
  addAddress,
  createBridge,
  findLink,
  KernelError,
  type Link,
  linkUp,
  netlinkRequest,
} from "@tsd/kernel-bindings";

const run = promisify(execFile);
const EEXIST = 17;

export interface BridgeSettings {
  name: string;
  /** The bridge's own address and its network, such as 172.17.0.1/16. */
  address: string;
  prefixLength: number;
  mtu: number;
  /** Whether to write firewall rules and turn forwarding on. */
  firewall: boolean;
}

/** A locally administered MAC address for an IPv4 address, as Docker's 02:42 ones. */
export const macOfAddress = (address: string): string =>
  `02:42:${address
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join(":")}`;

/** Makes the bridge, or takes the one that is there, brings it up, and sees to its address. */
export function ensureBridge(settings: BridgeSettings): Link {
  if (!findLink(settings.name))
    netlinkRequest(
      createBridge({ name: settings.name, mtu: settings.mtu, mac: macOfAddress(settings.address) }),
      settings.name,
    );
  const link = findLink(settings.name);
  if (!link) throw new Error(`bridge ${settings.name} vanished while it was made`);
  try {
    netlinkRequest(addAddress(link.index, settings.address, settings.prefixLength), settings.address);
  } catch (error) {
    if (!(error instanceof KernelError && error.errno === EEXIST)) throw error;
  }
  netlinkRequest(linkUp(settings.name), settings.name);
  return link;
}

/** Our chains and what is in them. Declaring a chain empties it, so that applying them twice changes nothing. */
export function firewallRules(settings: BridgeSettings, network: string): string {
  const bridge = settings.name;
  return [
    "*nat",
    `:TSD-POSTROUTING - [0:0]`,
    `-A TSD-POSTROUTING -s ${network} ! -o ${bridge} -m comment --comment tsd:${bridge} -j MASQUERADE`,
    "COMMIT",
    "*filter",
    ":TSD-FORWARD - [0:0]",
    `-A TSD-FORWARD -o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment tsd:${bridge} -j ACCEPT`,
    `-A TSD-FORWARD -i ${bridge} -m comment --comment tsd:${bridge} -j ACCEPT`,
    "COMMIT",
    "",
  ].join("\n");
}

const jumps: readonly [table: string, chain: string, target: string][] = [
  ["nat", "POSTROUTING", "TSD-POSTROUTING"],
  ["filter", "FORWARD", "TSD-FORWARD"],
];

async function restore(rules: string): Promise<void> {
  const restoring = run("iptables-restore", ["--noflush", "--wait"]);
  restoring.child.stdin?.end(rules);
  await restoring;
}

/** Turns forwarding on and writes the rules in one batch; the jumps to our chains are added where they are missing. */
export async function ensureFirewall(settings: BridgeSettings, network: string): Promise<void> {
  if (!settings.firewall) return;
  if ((await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim() !== "1")
    await writeFile("/proc/sys/net/ipv4/ip_forward", "1");
  await restore(firewallRules(settings, network));
  for (const [table, chain, target] of jumps) {
    const jump = [chain, "-j", target];
    const present = await run("iptables", ["--wait", "-t", table, "-C", ...jump]).then(
      () => true,
      () => false,
    );
    if (!present) await run("iptables", ["--wait", "-t", table, "-A", ...jump]);
  }
}
