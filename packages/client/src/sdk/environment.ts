// Which engine, and with which certificates: flags, environment and contexts, with docker's precedence.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseHost } from "./hosts.ts";
import type { ClientOptions, TlsOptions } from "./options.ts";

/** What the command line says; what is undefined was not given. */
export interface ConnectionSettings {
  host?: string | undefined;
  context?: string | undefined;
  /** The directory of config.json and contexts. */
  config?: string | undefined;
  tls?: boolean | undefined;
  tlsVerify?: boolean | undefined;
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The context that is none: host and TLS by flags and environment. */
export const DEFAULT_CONTEXT = "default";

/** TSD_x, then DOCKER_x; empty counts as not set. */
const variable = (environment: Environment, name: string): string | undefined =>
  environment[`TSD_${name}`] || environment[`DOCKER_${name}`] || undefined;

const home = (environment: Environment): string => environment.HOME || "/root";

/** The directory of config.json, and those that contexts are looked for in. */
export interface ConfigDirectories {
  own: string;
  all: readonly string[];
}

/** --config, TSD_CONFIG, DOCKER_CONFIG, else ~/.tsd, behind which docker's own is read too. */
export function configDirectories(
  settings: ConnectionSettings,
  environment: Environment = process.env,
): ConfigDirectories {
  const given = settings.config || variable(environment, "CONFIG");
  if (given) return { own: given, all: [given] };
  const own = join(home(environment), ".tsd");
  return { own, all: [own, join(home(environment), ".docker")] };
}

/** config.json's content; {} where there is none. Throws for what is no JSON object. */
export function readConfig(directory: string): Record<string, unknown> {
  const path = join(directory, "config.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return {};
    throw new Error(`cannot read ${path}: ${message}`);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
  throw new Error(`${path}: not a JSON object`);
}

/** Throws, with docker's words, for flags that exclude each other. */
export function checkConflicts(settings: ConnectionSettings): void {
  if (settings.host !== undefined && settings.context)
    throw new Error("conflicting options: cannot specify both --host and --context");
}

/** The context that counts: --context, none with a host by flag or environment, TSD_CONTEXT or DOCKER_CONTEXT, the
 * current one. */
export function contextName(settings: ConnectionSettings, environment: Environment = process.env): string {
  checkConflicts(settings);
  if (settings.context) return settings.context;
  if (settings.host !== undefined || variable(environment, "HOST")) return DEFAULT_CONTEXT;
  const named = variable(environment, "CONTEXT");
  if (named) return named;
  const current = readConfig(configDirectories(settings, environment).own).currentContext;
  return typeof current === "string" && current !== "" ? current : DEFAULT_CONTEXT;
}

const files = ["ca.pem", "cert.pem", "key.pem"] as const;

/** Where the default certificates are: TSD_CERT_PATH, DOCKER_CERT_PATH, a given configuration directory, ~/.tsd if any
 * are there, ~/.docker. */
function certificateDirectory(settings: ConnectionSettings, environment: Environment): string {
  const given = variable(environment, "CERT_PATH");
  if (given) return given;
  const { all } = configDirectories(settings, environment);
  const found = all.find((directory) => files.some((file) => existsSync(join(directory, file))));
  return found ?? all.at(-1) ?? "";
}

/** TLS by flags and environment; undefined for none. Giving --tlsverify with any value turns TLS on, as docker has it,
 * and so does any value of TLS_VERIFY. */
export function tlsSettings(
  settings: ConnectionSettings,
  environment: Environment = process.env,
): TlsOptions | undefined {
  const verify = settings.tlsVerify ?? variable(environment, "TLS_VERIFY") !== undefined;
  const wanted =
    settings.tlsVerify !== undefined ||
    verify ||
    (settings.tls ?? variable(environment, "TLS") !== undefined);
  if (!wanted) return undefined;
  const directory = certificateDirectory(settings, environment);
  const present = (name: string): string | undefined => {
    const path = join(directory, name);
    return existsSync(path) ? path : undefined;
  };
  // Missing defaults are left out; without authorities nothing can be verified, so that one is named when it is read.
  return {
    ca: settings.ca ?? (verify ? join(directory, "ca.pem") : undefined),
    cert: settings.cert ?? present("cert.pem"),
    key: settings.key ?? present("key.pem"),
    verify,
  };
}

/** The default context's host and TLS. */
export function defaultConnection(
  settings: ConnectionSettings,
  environment: Environment = process.env,
): ClientOptions {
  const host = settings.host ?? variable(environment, "HOST") ?? "";
  const tls = tlsSettings(settings, environment);
  const target = parseHost(host, tls !== undefined);
  // A socket of this machine and ssh need no TLS inside.
  if (target.kind !== "tcp") return { host };
  return { host, tls };
}

/** The engine that flags, environment and contexts say. */
export async function resolveConnection(
  settings: ConnectionSettings,
  environment: Environment = process.env,
): Promise<ClientOptions> {
  const name = contextName(settings, environment);
  if (name === DEFAULT_CONTEXT) return defaultConnection(settings, environment);
  const { connectionOf, findContext } = await import("./contexts.ts");
  return connectionOf(findContext(configDirectories(settings, environment).all, name));
}
