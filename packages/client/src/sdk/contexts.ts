// Named engines on disk, in docker's own layout: contexts/meta/<sha256 of the name>/meta.json, and the certificates in
// contexts/tls/<the same>/docker.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseHost } from "./hosts.ts";
import type { ClientOptions } from "./options.ts";

/** meta.json, as docker writes it; keys of others' are kept. */
export interface ContextMeta {
  Name: string;
  Metadata: { Description?: string; [key: string]: unknown };
  Endpoints: Record<string, { Host?: string; SkipTLSVerify?: boolean; [key: string]: unknown }>;
}

/** A context as it is on disk. */
export interface StoredContext {
  /** The configuration directory that it is in. */
  directory: string;
  meta: ContextMeta;
  metaPath: string;
  tlsPath: string;
  /** Names of its files by endpoint. */
  material: Record<string, string[]>;
}

export const ENDPOINT = "docker";

export const contextId = (name: string): string => createHash("sha256").update(name).digest("hex");

/** Where a context of this name is or would be. */
export const contextPaths = (directory: string, name: string): { metaPath: string; tlsPath: string } => ({
  metaPath: join(directory, "contexts/meta", contextId(name)),
  tlsPath: join(directory, "contexts/tls", contextId(name)),
});

const isMissing = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");

function names(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function readMeta(path: string): ContextMeta | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const meta = JSON.parse(text) as Partial<ContextMeta>;
    if (typeof meta.Name !== "string") throw new Error("it has no name");
    return { ...meta, Name: meta.Name, Metadata: meta.Metadata ?? {}, Endpoints: meta.Endpoints ?? {} };
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
}

function complete(directory: string, meta: ContextMeta): StoredContext {
  const paths = contextPaths(directory, meta.Name);
  const material: Record<string, string[]> = {};
  for (const endpoint of names(paths.tlsPath)) {
    const found = names(join(paths.tlsPath, endpoint)).filter((name) => !name.endsWith(".new"));
    if (found.length > 0) material[endpoint] = found;
  }
  return { directory, meta, ...paths, material };
}

/** The context of a name in one directory; undefined where there is none. */
export function readContext(directory: string, name: string): StoredContext | undefined {
  const meta = readMeta(join(contextPaths(directory, name).metaPath, "meta.json"));
  return meta && complete(directory, meta);
}

/** The context of a name in the first directory that has it. Throws, with docker's words, where none has. */
export function findContext(directories: readonly string[], name: string): StoredContext {
  for (const directory of directories) {
    const found = readContext(directory, name);
    if (found) return found;
  }
  const path = join(contextPaths(directories[0] ?? "", name).metaPath, "meta.json");
  throw new Error(`context "${name}": context not found: open ${path}: no such file or directory`);
}

/** All contexts, by name; of two of the same name the first directory's. */
export function listContexts(directories: readonly string[]): StoredContext[] {
  const found = new Map<string, StoredContext>();
  for (const directory of directories)
    for (const id of names(join(directory, "contexts/meta"))) {
      const meta = readMeta(join(directory, "contexts/meta", id, "meta.json"));
      if (meta && !found.has(meta.Name)) found.set(meta.Name, complete(directory, meta));
    }
  const order = new Intl.Collator("en", { numeric: true });
  return [...found.values()].sort((a, b) => order.compare(a.meta.Name, b.meta.Name));
}

/** How a context's engine is reached: with TLS where it has certificates, or says that none are verified. */
export function connectionOf(context: StoredContext): ClientOptions {
  const endpoint = context.meta.Endpoints[ENDPOINT];
  if (!endpoint) throw new Error(`context "${context.meta.Name}" has no docker endpoint`);
  const host = endpoint.Host ?? "";
  const held = context.material[ENDPOINT] ?? [];
  const file = (name: string): string | undefined =>
    held.includes(name) ? join(context.tlsPath, ENDPOINT, name) : undefined;
  const skips = endpoint.SkipTLSVerify === true;
  if ((held.length === 0 && !skips) || parseHost(host, true).kind !== "tcp") return { host };
  return {
    host,
    tls: { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem"), verify: !skips },
  };
}
