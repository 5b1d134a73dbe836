// How registries are reached: mirrors, which ones need no TLS, certificates, proxies.
import { BlockList, isIP } from "node:net";

export interface RegistrySettings {
  /** Registry (as in image names, "docker.io" too) → URLs of mirrors, tried in their order before itself. */
  mirrors: ReadonlyMap<string, readonly string[]>;
  /** HOST, HOST:PORT or CIDR: certificates are not checked there, and HTTP will do. */
  insecure: readonly string[];
  /** Each has a directory HOST:PORT with authorities' *.crt, and clients' *.cert and *.key. */
  certificateDirectories: readonly string[];
  proxy: { http: string; https: string; exceptions: string };
  maximumDownloads: number;
  maximumUploads: number;
  /** Of one blob, without a byte in between. */
  downloadAttempts: number;
}

const hostOf = (authority: string): string => authority.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

function within(host: string, cidr: string): boolean {
  const [network = "", prefix = ""] = cidr.split("/");
  const family = isIP(network);
  if (!family || isIP(host) !== family || !/^\d+$/.test(prefix)) return false;
  const list = new BlockList();
  const kind = family === 4 ? "ipv4" : "ipv6";
  list.addSubnet(network, Number(prefix), kind);
  return list.check(host, kind);
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || (isIP(host) !== 0 && loopback.check(host, isIP(host) === 4 ? "ipv4" : "ipv6"));

/** Whether a registry may be reached without checking who it is; this machine's own always may. */
export function isInsecure(authority: string, settings: RegistrySettings): boolean {
  const host = hostOf(authority);
  return (
    isLoopback(host) ||
    settings.insecure.some((entry) => entry === authority || entry === host || within(host, entry))
  );
}

/** The proxy for a URL, or undefined: as programs everywhere read HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
export function proxyFor(url: URL, { proxy }: RegistrySettings): string | undefined {
  const address = url.protocol === "https:" ? proxy.https : proxy.http;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (!address || isLoopback(host)) return undefined;
  const excepted = proxy.exceptions
    .split(",")
    .map((entry) => entry.trim())
    .filter(Boolean)
    .some((entry) => {
      if (entry === "*" || entry === url.host || within(host, entry)) return true;
      const suffix = entry.replace(/^\*?\.?/, "");
      return host === suffix || host.endsWith(`.${suffix}`);
    });
  if (excepted) return undefined;
  return address.includes("://") ? address : `http://${address}`;
}
