// Where an engine is: -H's forms, as docker's client reads them.

/** An address that was read. */
export type Target =
  | { kind: "unix"; path: string }
  /** `prefix` is put before every request's path. */
  | { kind: "tcp"; host: string; port: number; encrypted: boolean; prefix: string }
  /** `socket` is the engine's path on that machine, where it is not the usual one. */
  | {
      kind: "ssh";
      user: string | undefined;
      host: string;
      port: string | undefined;
      socket: string | undefined;
    };

export const DEFAULT_HOST = "unix:///run/tsd.sock";
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

const knownForms = "unix://PATH, tcp://HOST:PORT, http(s)://HOST:PORT and ssh://USER@HOST are known";

function parseTcp(text: string, scheme: string, rest: string, encrypted: boolean): Target {
  const wrong = (reason: string): Error => new Error(`unable to parse docker host \`${text}\`: ${reason}`);
  const match = /^(?:\[([0-9a-f:.]+(?:%[\w.-]+)?)\]|([^:/?#@[\]\s]*))(?::(\d+))?(\/[^?#\s]*)?$/i.exec(rest);
  if (!match) throw wrong("not HOST:PORT");
  if (scheme === "http" && encrypted) throw wrong("http:// is without TLS; tcp:// and https:// are with it");
  const tls = encrypted || scheme === "https";
  const port = match[3] === undefined ? (tls ? TLS_PORT : PLAIN_PORT) : Number(match[3]);
  if (port < 1 || port > 65535) throw wrong(`${match[3]} is no port from 1 to 65535`);
  return {
    kind: "tcp",
    host: match[1] ?? (match[2] || "localhost"),
    port,
    encrypted: tls,
    prefix: (match[4] ?? "").replace(/\/+$/, ""),
  };
}

function parseSsh(rest: string): Target {
  const wrong = (reason: string): Error =>
    new Error(`ssh host connection is not valid: invalid SSH URL: ${reason}`);
  if (rest.includes("?")) throw wrong("query parameters are not allowed");
  if (rest.includes("#")) throw wrong("fragments are not allowed");
  const match = /^(?:([^@/]*)@)?(?:\[([^\]]+)\]|([^:/@[\]\s]*))(?::(\d+))?(\/\S*)?$/.exec(rest);
  if (!match) throw wrong("not [USER@]HOST[:PORT][/PATH]");
  const user = match[1] === undefined ? undefined : decodeURIComponent(match[1]);
  const host = match[2] ?? match[3] ?? "";
  if (user?.includes(":")) throw wrong("plain-text password is not supported");
  if (host === "") throw wrong("hostname is empty");
  // ssh would take them for flags.
  if (host.startsWith("-") || user?.startsWith("-")) throw wrong("names cannot begin with a dash");
  const path = match[5];
  return {
    kind: "ssh",
    user: user || undefined,
    host,
    port: match[4],
    socket: path && path !== "/" ? path : undefined,
  };
}

/** Reads a host; `encrypted` says that TLS was asked for. Throws for what is none, naming it. */
export function parseHost(given: string, encrypted = false): Target {
  const text = given.trim();
  if (text === "") return parseHost(encrypted ? "tcp://" : DEFAULT_HOST, encrypted);
  if (text.startsWith("/")) return { kind: "unix", path: text };
  const match = /^([a-z]+):\/\/(.*)$/i.exec(text);
  const scheme = match?.[1]?.toLowerCase() ?? "tcp";
  const rest = match?.[2] ?? text;
  if (scheme === "unix") {
    if (rest === "") return parseHost(DEFAULT_HOST);
    if (rest.startsWith("/")) return { kind: "unix", path: rest };
    throw new Error(`unable to parse docker host \`${text}\`: the socket's path must be absolute`);
  }
  if (scheme === "tcp" || scheme === "http" || scheme === "https")
    return parseTcp(text, scheme, rest, encrypted);
  if (scheme === "ssh") return parseSsh(rest);
  throw new Error(`unable to parse docker host \`${text}\`: ${knownForms}`);
}

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);

/** A target as messages name it. */
export function describeTarget(target: Target): string {
  if (target.kind === "unix") return `unix://${target.path}`;
  if (target.kind === "tcp") return `tcp://${bracketed(target.host)}:${target.port}${target.prefix}`;
  const user = target.user ? `${target.user}@` : "";
  const port = target.port ? `:${target.port}` : "";
  return `ssh://${user}${bracketed(target.host)}${port}${target.socket ?? ""}`;
}

/** What the Host header says. */
export const hostHeader = (target: Target): string =>
  target.kind === "tcp" ? `${bracketed(target.host.replace(/%.*$/, ""))}:${target.port}` : "localhost";
