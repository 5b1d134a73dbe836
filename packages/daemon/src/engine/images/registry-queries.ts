// What clients ask of registries without pulling or pushing: whether credentials hold, what an image is there, a search.
import type { Credentials } from "../../registry/credentials.ts";
import { RegistryError } from "../../registry/errors.ts";
import { readDocument } from "../../registry/manifest.ts";
import { BAD_ADDRESS, type Registries } from "../../registry/registries.ts";
import { EngineError, invalid, notFound } from "../errors.ts";
import { parseReference, repositoryName } from "./reference.ts";

export type RegistryCredentials = Credentials;

const MAXIMUM_CONFIG = 8 << 20;
const LEGACY_ADDRESSES = ["", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"];

export interface SearchResult {
  name: string;
  description: string;
  is_official: boolean;
  is_automated: boolean;
  star_count: number;
}

/** A registry's host out of what clients call it. */
function registryOf(address: string): string {
  if (LEGACY_ADDRESSES.includes(address)) return "docker.io";
  return address.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

export class RegistryQueries {
  readonly #registries: Registries;
  constructor(registries: Registries) {
    this.#registries = registries;
  }

  /** POST /auth. */
  async login(address: string, credentials: RegistryCredentials, signal: AbortSignal): Promise<void> {
    try {
      await this.#registries.login(registryOf(address), credentials, signal);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (error.code === BAD_ADDRESS) throw invalid(`serveraddress: ${error.message}`);
      throw new EngineError(error.status === 401 ? "unauthorized" : "system", error.message, {
        cause: error,
      });
    }
  }

  /** GET /distribution/{name}/json: what a reference means in its registry. */
  async distribution(text: string, credentials: RegistryCredentials, signal: AbortSignal): Promise<object> {
    const { name, tag, digest } = parseReference(text);
    try {
      const repository = await this.#registries.target(repositoryName(name), credentials, signal);
      const document = await repository.manifest(digest ?? tag ?? "latest", signal);
      const read = readDocument(document);
      const platforms =
        "index" in read
          ? read.index.manifests.flatMap(({ platform }) => (platform ? [platform] : []))
          : [
              JSON.parse(
                (await repository.smallBlob(read.manifest.config.digest, MAXIMUM_CONFIG, signal)).toString(),
              ),
            ];
      return {
        Descriptor: { mediaType: document.mediaType, digest: document.digest, size: document.bytes.length },
        Platforms: platforms.map((platform) => ({
          architecture: platform.architecture ?? "",
          os: platform.os ?? "",
          ...(platform.variant ? { variant: platform.variant } : {}),
          ...(platform["os.version"] ? { "os.version": platform["os.version"] } : {}),
        })),
      };
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (error.status === 404) throw notFound(error.message);
      if (error.code === BAD_ADDRESS) throw invalid(error.message);
      throw new EngineError("system", error.message, { cause: error });
    }
  }

  /** GET /images/search: by the old interface, which few registries have. */
  async search(
    term: string,
    limit: number,
    filters: ReadonlyMap<string, readonly string[]>,
    credentials: RegistryCredentials,
    signal: AbortSignal,
  ): Promise<SearchResult[]> {
    const [first = "", ...rest] = term.split("/");
    const elsewhere = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
    const [registry, wanted] = elsewhere
      ? [first, rest.join("/")]
      : ["docker.io", term.replace(/^library\//, "")];
    let answer: unknown;
    try {
      answer = await this.#registries.search(registry, wanted, limit, credentials, signal);
    } catch (error) {
      if (!(error instanceof RegistryError || error instanceof SyntaxError)) throw error;
      if (error instanceof RegistryError && error.code === BAD_ADDRESS)
        throw invalid(`term: ${error.message}`);
      throw new EngineError("system", error.message, { cause: error });
    }
    const { results } = (answer ?? {}) as { results?: unknown };
    const found = (Array.isArray(results) ? results : []).map((raw: Partial<SearchResult>) => ({
      star_count: Number(raw.star_count ?? 0),
      is_official: raw.is_official === true,
      name: String(raw.name ?? ""),
      is_automated: false,
      description: String(raw.description ?? ""),
    }));
    const official = flag(filters, "is-official");
    const automated = flag(filters, "is-automated");
    const stars = Math.max(0, ...(filters.get("stars") ?? []).map(starCount));
    return found.filter(
      (item) =>
        item.star_count >= stars &&
        (official === undefined || item.is_official === official) &&
        automated !== true,
    );
  }
}

function flag(filters: ReadonlyMap<string, readonly string[]>, name: string): boolean | undefined {
  const value = filters.get(name)?.[0];
  if (value === undefined) return undefined;
  if (["true", "1"].includes(value)) return true;
  if (["false", "0"].includes(value)) return false;
  throw invalid(`invalid filter '${name}=[${value}]'`);
}

function starCount(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw invalid(`invalid filter 'stars=[${text}]'`);
}
