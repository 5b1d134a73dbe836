// The servers that questions are passed on to, from the host's resolv.conf(5) and what a container asked for.
import { isIP, isIPv4 } from "node:net";
import type { Resolver } from "./directory.ts";

/** As the C library, which takes no more; Docker takes all. */
const MAXIMUM_SERVERS = 8;

const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1";

/** Addresses of a resolv.conf's name servers, in their order. Those with a zone (fe80::1%eth0) lead nowhere from elsewhere. */
export function nameServersIn(resolvConf: string): string[] {
  return resolvConf.split("\n").flatMap((line) => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return address && isIP(address) && !address.includes("%") ? [address] : [];
  });
}

/** Whom to ask for a container: the servers it was given, from its own network, or else the host's. Of those, the host's own
 * loopback resolvers are asked from the host's network, as Docker does, and so are IPv6 ones for a container without IPv6:
 * it could not reach them. */
export function resolversFor(
  asked: readonly string[],
  hostFile: string,
  containerHasIpv6: boolean,
): Resolver[] {
  const servers: Resolver[] = asked.length
    ? asked.filter((address) => isIP(address)).map((address) => ({ address, fromHost: false }))
    : nameServersIn(hostFile).map((address) => ({
        address,
        fromHost: isLoopback(address) || (!isIPv4(address) && !containerHasIpv6),
      }));
  return servers.slice(0, MAXIMUM_SERVERS);
}
