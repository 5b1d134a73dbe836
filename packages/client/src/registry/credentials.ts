// Credentials for registries: kept by docker's helper programs where one is set, encrypted otherwise; docker's own
// configuration is read, too.
import { spawn } from "node:child_process";
import {
  type ConfigDirectories,
  type ConnectionSettings,
  configDirectories,
  readConfig,
} from "../sdk/environment.ts";
import { credentialKey, registryName } from "./names.ts";
import { SealedCredentials } from "./sealed.ts";

export interface Credentials {
  username?: string;
  password?: string;
  identitytoken?: string;
}

/** What helper programs call a refresh token's user. */
const TOKEN_USER = "<token>";

interface DockerConfig {
  credsStore?: unknown;
  credHelpers?: unknown;
  auths?: unknown;
}

/** Asks docker-credential-NAME (docker's credential helper protocol). Undefined where it knows nothing. */
async function askHelper(
  name: string,
  action: "get" | "store" | "erase",
  input: string,
): Promise<string | undefined> {
  if (!/^[\w.-]+$/.test(name)) throw new Error(`credential helper "${name}": not a program's name`);
  const child = spawn(`docker-credential-${name}`, [action], { stdio: ["pipe", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stdin.on("error", () => undefined); // its status tells
  child.stdin.end(input);
  const status = await new Promise<number>((resolve, reject) => {
    child.on("error", (error) =>
      reject(new Error(`credential helper docker-credential-${name}: ${error.message}`)),
    );
    child.on("close", (code) => resolve(code ?? 1));
  });
  const text = Buffer.concat(chunks).toString("utf8");
  if (status === 0) return text;
  if (text.includes("credentials not found")) return undefined;
  throw new Error(
    `credential helper docker-credential-${name} ${action}: ${text.trim() || `status ${status}`}`,
  );
}

export class CredentialStore {
  readonly #directories: ConfigDirectories;
  readonly #sealed: SealedCredentials;

  constructor(settings: ConnectionSettings, environment: NodeJS.ProcessEnv = process.env) {
    this.#directories = configDirectories(settings, environment);
    this.#sealed = new SealedCredentials(this.#directories.own, environment);
  }

  #configs(): DockerConfig[] {
    return this.#directories.all.map((directory) => readConfig(directory));
  }

  /** The helper program for a registry, as docker chooses it. */
  #helper(registry: string): string | undefined {
    for (const { credHelpers, credsStore } of this.#configs()) {
      const own = (credHelpers as Record<string, unknown> | undefined)?.[credentialKey(registry)];
      const name = own ?? credsStore;
      if (typeof name === "string" && name) return name;
    }
    return undefined;
  }

  /** What is known for a registry; {} for nothing. */
  async get(registry: string): Promise<Credentials> {
    const key = credentialKey(registry);
    const helper = this.#helper(registry);
    if (helper) {
      const text = await askHelper(helper, "get", key);
      if (text) {
        const { Username, Secret } = JSON.parse(text) as { Username?: string; Secret?: string };
        return Username === TOKEN_USER
          ? { identitytoken: Secret ?? "" }
          : { username: Username ?? "", password: Secret ?? "" };
      }
    }
    return this.#sealed.read()[key] ?? this.#plain(key);
  }

  /** All that are known, by their keys. */
  async all(): Promise<Record<string, Credentials>> {
    const keys = new Set(Object.keys(this.#sealed.read()));
    for (const { auths, credHelpers } of this.#configs())
      for (const key of Object.keys({ ...(auths as object), ...(credHelpers as object) })) keys.add(key);
    const found: Record<string, Credentials> = {};
    for (const key of keys) found[key] = await this.get(registryName(key));
    return found;
  }

  /** What docker login put into config.json. */
  #plain(key: string): Credentials {
    for (const { auths } of this.#configs()) {
      const entry = (auths as Record<string, { auth?: string; identitytoken?: string }> | undefined)?.[key];
      if (entry?.identitytoken) return { identitytoken: entry.identitytoken };
      if (!entry?.auth) continue;
      const [username = "", password = ""] = Buffer.from(entry.auth, "base64")
        .toString("utf8")
        .split(/:(.*)/s);
      return { username, password };
    }
    return {};
  }

  async set(registry: string, credentials: Credentials): Promise<void> {
    const key = credentialKey(registry);
    const helper = this.#helper(registry);
    if (!helper) return this.#sealed.write({ ...this.#sealed.read(), [key]: credentials });
    const { username, password, identitytoken } = credentials;
    const entry = identitytoken
      ? { ServerURL: key, Username: TOKEN_USER, Secret: identitytoken }
      : { ServerURL: key, Username: username, Secret: password };
    await askHelper(helper, "store", JSON.stringify(entry));
  }

  /** Forgets what is known; returns whether there was anything. */
  async erase(registry: string): Promise<boolean> {
    const key = credentialKey(registry);
    const known = Object.keys(await this.get(registry)).length > 0;
    const helper = this.#helper(registry);
    if (helper) await askHelper(helper, "erase", key);
    const { [key]: gone, ...rest } = this.#sealed.read();
    if (gone) this.#sealed.write(rest);
    return known;
  }
}

/** The X-Registry-Auth header for credentials (RFC 4648, section 5). */
export const authHeader = (registry: string, credentials: Credentials): string =>
  Buffer.from(JSON.stringify({ ...credentials, serveraddress: credentialKey(registry) })).toString(
    "base64url",
  );
