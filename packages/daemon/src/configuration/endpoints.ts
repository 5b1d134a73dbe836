// Where the daemon listens: -H's forms, as dockerd reads them.
import { isIP } from "node:net";

export type Endpoint =
  | { kind: "unix"; path: string }
  | { kind: "tcp"; host: string; port: number }
  /** Sockets that systemd opened: all of them, or the one of a number. */
  | { kind: "fd"; descriptor: number | undefined };

const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

/** Reads one -H. Throws for what is none, naming it. */
export function parseEndpoint(text: string, encrypted: boolean): Endpoint {
  const wrong = (reason: string): Error => new Error(`-H ${text}: ${reason}`);
  if (text.startsWith("/")) return { kind: "unix", path: text };
  const match = /^([a-z]+):\/\/(.*)$/.exec(text);
  const [, scheme = "tcp", rest = ""] = match ?? [undefined, "tcp", text];
  if (scheme === "unix") {
    if (!rest.startsWith("/")) throw wrong("the socket's path must be absolute");
    return { kind: "unix", path: rest };
  }
  if (scheme === "fd") {
    if (rest === "" || rest === "*") return { kind: "fd", descriptor: undefined };
    if (/^\d+$/.test(rest) && Number(rest) >= 3) return { kind: "fd", descriptor: Number(rest) };
    throw wrong("fd:// takes nothing, or a descriptor's number from 3 on");
  }
  if (scheme !== "tcp") throw wrong(`can't listen at ${scheme}://: only unix://, tcp:// and fd://`);
  const address = /^(\[[0-9a-f:.%\w]+\]|[^:/[\]]*)(?::(\d*))?\/?$/i.exec(rest);
  if (!address) throw wrong("not HOST:PORT");
  const host = (address[1] ?? "").replace(/^\[|\]$/g, "");
  if (address[1]?.startsWith("[") && isIP(host.replace(/%.*$/, "")) !== 6) throw wrong("not an IPv6 address");
  const port = address[2] ? Number(address[2]) : encrypted ? TLS_PORT : PLAIN_PORT;
  if (port > 65535) throw wrong("not a port from 0 to 65535");
  // As dockerd: no host with a port means every address, neither of them this machine alone.
  return { kind: "tcp", host: host || (address[2] ? "0.0.0.0" : "127.0.0.1"), port };
}

/** Whether only this machine reaches an address. A name other than localhost may mean anything. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

export const describeEndpoint = (endpoint: Endpoint): string =>
  endpoint.kind === "unix"
    ? `unix://${endpoint.path}`
    : endpoint.kind === "tcp"
      ? `tcp://${endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`
      : `fd://${endpoint.descriptor ?? ""}`;
