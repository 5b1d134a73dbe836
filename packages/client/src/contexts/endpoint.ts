// What --docker and --from say, as a context's endpoint and certificates.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileError } from "../file-error.ts";
import { parseBool, UsageError } from "../flags.ts";
import { ENDPOINT, findContext, type StoredContext } from "../sdk/contexts.ts";
import {
  type ConnectionSettings,
  configDirectories,
  DEFAULT_CONTEXT,
  defaultConnection,
} from "../sdk/environment.ts";
import { describeTarget, parseHost } from "../sdk/hosts.ts";
import type { TlsOptions } from "../sdk/options.ts";
import type { Material } from "./write.ts";

/** An endpoint and what belongs to it. */
export interface EndpointParts {
  endpoint: { Host?: string; SkipTLSVerify: boolean; [key: string]: unknown };
  material: Material;
  description: string | undefined;
}

export const DEFAULT_DESCRIPTION = "Current TSD_HOST based configuration";

/** The default context's host, as lists show it. */
export function defaultHost(settings: ConnectionSettings): string {
  const { host, tls } = defaultConnection(settings);
  return host || describeTarget(parseHost("", tls !== undefined));
}

const keys = new Set(["from", "host", "ca", "cert", "key", "skip-tls-verify"]);

/** --docker's values: "host=tcp://x:2376,ca=ca.pem", one after another. */
export function parseEndpointFlag(values: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const pair of values.flatMap((value) => value.split(","))) {
    const at = pair.indexOf("=");
    if (at < 0)
      throw new UsageError(
        `invalid argument "${pair}" for "--docker" flag: ${pair} must be formatted as key=value`,
      );
    const key = pair.slice(0, at).trim();
    if (!keys.has(key))
      throw new Error(`unable to create docker endpoint config: unrecognized config key: ${key}`);
    found.set(key, pair.slice(at + 1));
  }
  return found;
}

const fileNames = { ca: "ca.pem", cert: "cert.pem", key: "key.pem" } as const;

function readMaterial(paths: Pick<TlsOptions, "ca" | "cert" | "key">): Material {
  const material: Record<string, Buffer> = {};
  for (const [key, name] of Object.entries(fileNames)) {
    const path = paths[key as keyof typeof fileNames];
    if (!path) continue;
    try {
      material[name] = readFileSync(path);
    } catch (error) {
      throw fileError(error, path);
    }
  }
  return material;
}

/** The endpoint that --docker's keys name. Throws for a host or certificates that could not be used. */
export async function endpointOf(
  flag: ReadonlyMap<string, string>,
  settings: ConnectionSettings,
): Promise<EndpointParts> {
  const from = flag.get("from");
  if (from) return copiedFrom(from, settings);
  try {
    const skips = parseBool("skip-tls-verify", flag.get("skip-tls-verify") ?? "false");
    const tls = { ca: flag.get("ca"), cert: flag.get("cert"), key: flag.get("key"), verify: !skips };
    const host = flag.get("host") ?? "";
    parseHost(host, tls.ca !== undefined || tls.cert !== undefined);
    const material = readMaterial(tls);
    if (Object.keys(material).length > 0) {
      const { loadCredentials } = await import("../sdk/credentials.ts");
      loadCredentials(tls);
    }
    return {
      endpoint: { ...(host ? { Host: host } : {}), SkipTLSVerify: skips },
      material,
      description: undefined,
    };
  } catch (error) {
    throw new Error(`unable to create docker endpoint config: ${(error as Error).message}`);
  }
}

/** All of a context's certificates. */
export function materialOf(context: StoredContext): Material {
  const held = context.material[ENDPOINT] ?? [];
  return Object.fromEntries(held.map((name) => [name, readFileSync(join(context.tlsPath, ENDPOINT, name))]));
}

/** Another context's endpoint and certificates. */
export function copiedFrom(name: string, settings: ConnectionSettings): EndpointParts {
  if (name === DEFAULT_CONTEXT) {
    const { tls } = defaultConnection(settings);
    return {
      endpoint: { Host: defaultHost(settings), SkipTLSVerify: tls?.verify === false },
      material: tls ? readMaterial(tls) : {},
      description: DEFAULT_DESCRIPTION,
    };
  }
  const context = findContext(configDirectories(settings).all, name);
  const endpoint = context.meta.Endpoints[ENDPOINT];
  return {
    endpoint: { ...endpoint, SkipTLSVerify: endpoint?.SkipTLSVerify === true },
    material: materialOf(context),
    description: context.meta.Metadata.Description,
  };
}
