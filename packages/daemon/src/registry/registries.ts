// All registries: finds the addresses of one, and opens its repositories.
import { Authorizer, basic, type Credentials } from "./credentials.ts";
import { RegistryError, refusal } from "./errors.ts";
import { RegistryHttp } from "./http.ts";
import { Repository } from "./repository.ts";
import { isInsecure, type RegistrySettings } from "./settings.ts";

/** The default registry's name in images' names, and its address. */
const DEFAULT_REGISTRY = "docker.io";
const DEFAULT_ADDRESS = "registry-1.docker.io";

/** The code of an error that is the caller's: what was given is no address. */
export const BAD_ADDRESS = "BAD_ADDRESS";

export interface RepositoryName {
  /** As in image names. */
  registry: string;
  path: string;
}

export class Registries {
  #settings: RegistrySettings;
  #http: RegistryHttp;

  constructor(settings: RegistrySettings) {
    this.#settings = settings;
    this.#http = new RegistryHttp(settings);
  }

  get settings(): RegistrySettings {
    return this.#settings;
  }

  /** Takes up other settings, and certificates that have changed; what is under way ends as it began. */
  configure(settings: RegistrySettings): void {
    this.#settings = settings;
    this.#http = new RegistryHttp(settings);
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  /** Where to pull from, in the order in which to ask: mirrors that answer, then the registry itself. Throws what kept
   * the registry itself from answering where no mirror does. */
  async sources(name: RepositoryName, credentials: Credentials, signal?: AbortSignal): Promise<Repository[]> {
    const sources: Repository[] = [];
    for (const mirror of this.#settings.mirrors.get(name.registry) ?? []) {
      const http = this.#http;
      const authorizer = new Authorizer(http, {});
      const origin = mirror.replace(/\/+$/, "");
      const problem = await this.#ping(origin, signal).then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof RegistryError) return error;
          throw error;
        },
      );
      if (!problem)
        sources.push(new Repository({ http, authorizer, origin, path: name.path, actions: "pull" }));
    }
    try {
      sources.push(await this.#open(name, credentials, "pull", signal));
    } catch (error) {
      if (sources.length === 0 || !(error instanceof RegistryError)) throw error;
    }
    return sources;
  }

  /** Where to push to. */
  target(name: RepositoryName, credentials: Credentials, signal?: AbortSignal): Promise<Repository> {
    return this.#open(name, credentials, "pull,push", signal);
  }

  async #open(
    name: RepositoryName,
    credentials: Credentials,
    actions: "pull" | "pull,push",
    signal?: AbortSignal,
  ): Promise<Repository> {
    const http = this.#http;
    const authorizer = new Authorizer(http, credentials);
    const origin = await this.#origin(name.registry, signal);
    return new Repository({ http, authorizer, origin, path: name.path, actions });
  }

  /** HTTPS; where a registry need not show who it is, HTTP when nothing speaks HTTPS there. */
  async #origin(registry: string, signal?: AbortSignal): Promise<string> {
    const authority = registry === DEFAULT_REGISTRY ? DEFAULT_ADDRESS : registry;
    const secure = `https://${authority}`;
    if (!URL.canParse(secure) || !/^[\w.:[\]-]+$/.test(authority))
      throw new RegistryError(`"${registry}" is no address of a registry`, 400, BAD_ADDRESS);
    if (!isInsecure(authority, this.#settings)) {
      await this.#ping(secure, signal);
      return secure;
    }
    try {
      await this.#ping(secure, signal);
      return secure;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      const plain = `http://${authority}`;
      await this.#ping(plain, signal);
      return plain;
    }
  }

  /** Asks whether a registry is there; 401 says so, too. */
  async #ping(origin: string, signal?: AbortSignal): Promise<string | undefined> {
    const answer = await this.#http.ask(new URL(`${origin}/v2/`), { signal });
    answer.body.resume();
    if (answer.status === 200 || answer.status === 401) return answer.headers["www-authenticate"];
    throw new RegistryError(`Get "${origin}/v2/": unexpected status ${answer.status}`, answer.status);
  }

  /** Checks credentials. Returns when the registry takes them; throws a RegistryError with status 401 when not. */
  async login(registry: string, credentials: Credentials, signal?: AbortSignal): Promise<void> {
    const authorizer = new Authorizer(this.#http, credentials);
    const origin = await this.#origin(registry, signal);
    const challenge = await this.#ping(origin, signal);
    if (!challenge) return;
    const authorization = await authorizer.answer(challenge, "", signal);
    const answer = await this.#http.ask(new URL(`${origin}/v2/`), { headers: { authorization }, signal });
    const text = await answer.body.text();
    if (answer.status !== 200)
      throw refusal(
        answer.status,
        text.includes('"errors"') && answer.status !== 401 ? text : "",
        `login attempt to ${origin}/v2/ failed with status: ${answer.status}${answer.status === 401 ? " Unauthorized" : ""}`,
      );
  }

  /** The old search of registries (version 1 of their API); the answer as it is. */
  async search(
    registry: string,
    term: string,
    limit: number,
    credentials: Credentials,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const origin =
      registry === DEFAULT_REGISTRY ? "https://index.docker.io" : await this.#origin(registry, signal);
    const url = new URL(`${origin}/v1/search`);
    url.searchParams.set("q", term);
    url.searchParams.set("n", String(limit));
    const answer = await this.#http.ask(url, {
      headers: credentials.username ? { authorization: basic(credentials) } : {},
      signal,
    });
    const text = await answer.body.text();
    if (answer.status !== 200)
      throw new RegistryError(`Unexpected status code ${answer.status}`, answer.status);
    return JSON.parse(text) as unknown;
  }
}
