// Requests to registries: their certificates, proxies and redirects; tried again when that may help.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { rootCertificates } from "node:tls";
import { Agent, type Dispatcher, ProxyAgent, request } from "undici";
import { RegistryError, unreachable } from "./errors.ts";
import { isInsecure, proxyFor, type RegistrySettings } from "./settings.ts";

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: Readable & { text(): Promise<string> };
  /** Where it came from in the end. */
  url: URL;
}

export interface Question {
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  headers?: Readonly<Record<string, string>>;
  body?: Buffer | string | Readable;
  signal?: AbortSignal | undefined;
}

const MAXIMUM_REDIRECTS = 5;
const ATTEMPTS = 5;
/** Milliseconds. */
const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 60_000;
const SILENCE = 60_000;
const SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";

function readCertificates(directories: readonly string[], authority: string) {
  const authorities: string[] = [];
  let cert: string | undefined;
  let key: string | undefined;
  for (const directory of directories.map((parent) => join(parent, authority))) {
    for (const name of namesIn(directory)) {
      const read = (): string => readFileSync(join(directory, name), "utf8");
      if (name.endsWith(".crt")) authorities.push(read());
      else if (name.endsWith(".cert")) cert = read();
      else if (name.endsWith(".key")) key = read();
    }
  }
  if ((cert === undefined) !== (key === undefined))
    throw new RegistryError(`${authority}: a client's certificate needs a .cert and a .key of the same name`);
  return { authorities, cert, key };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

let systemAuthorities: string[] | undefined;

/** Whom this machine trusts; Node's own list where it has none. */
function trusted(): string[] {
  if (!systemAuthorities) {
    try {
      systemAuthorities = [readFileSync(SYSTEM_AUTHORITIES, "utf8")];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      systemAuthorities = [...rootCertificates];
    }
  }
  return systemAuthorities;
}

/** Connections to registries. `close` ends those that are idle. */
export class RegistryHttp {
  readonly #settings: RegistrySettings;
  readonly #dispatchers = new Map<string, Dispatcher>();

  constructor(settings: RegistrySettings) {
    this.#settings = settings;
  }

  #dispatcher(url: URL): Dispatcher {
    const known = this.#dispatchers.get(url.origin);
    if (known) return known;
    const { authorities, cert, key } = readCertificates(this.#settings.certificateDirectories, url.host);
    const tls = {
      ca: [...trusted(), ...authorities],
      rejectUnauthorized: !isInsecure(url.host, this.#settings),
      ...(cert && key ? { cert, key } : {}),
    };
    const common = { headersTimeout: SILENCE, bodyTimeout: SILENCE, allowH2: false };
    const proxy = proxyFor(url, this.#settings);
    const dispatcher = proxy
      ? new ProxyAgent({ uri: proxy, requestTls: tls, ...common })
      : new Agent({ connect: tls, connections: 16, ...common });
    this.#dispatchers.set(url.origin, dispatcher);
    return dispatcher;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
    this.#dispatchers.clear();
  }

  /** One request, and where it is sent on to. What only the first address is to know stays with it. */
  async send(target: URL, question: Question): Promise<Answer> {
    const { method = "GET", signal } = question;
    let url = target;
    let headers = question.headers ?? {};
    for (let redirects = 0; ; redirects++) {
      const response = await request(url, {
        method,
        headers,
        body: question.body ?? null,
        dispatcher: this.#dispatcher(url),
        signal: signal ?? null,
      }).catch((error: unknown) => {
        signal?.throwIfAborted();
        throw unreachable(method, url.href, error);
      });
      const plain: Record<string, string> = {};
      for (const [name, value] of Object.entries(response.headers))
        if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(", ") : value;
      const { location } = plain;
      const moved = [301, 302, 303, 307, 308].includes(response.statusCode);
      if (!moved || !location || (method !== "GET" && method !== "HEAD"))
        return { status: response.statusCode, headers: plain, body: response.body, url };
      await response.body.dump();
      if (redirects === MAXIMUM_REDIRECTS)
        throw new RegistryError(`${method} "${target.href}": too many redirects`);
      const next = new URL(location, url);
      if (next.origin !== url.origin) {
        const { authorization: _secret, ...open } = headers as Record<string, string>;
        headers = open;
      }
      url = next;
    }
  }

  /** As `send`, again after a pause where the answer is none, 429 or a failure of the server's; not for bodies that are
   * streams. The last answer counts as it is. */
  async ask(target: URL, question: Question): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.send(target, question);
        const { transient } = new RegistryError("", answer.status);
        if (!transient || attempt === ATTEMPTS) return answer;
        await answer.body.resume();
        await wait(pause(attempt, answer.headers["retry-after"]), undefined, { signal: question.signal });
      } catch (error) {
        if (!(error instanceof RegistryError) || attempt === ATTEMPTS || !worthAnother(error)) throw error;
        await wait(pause(attempt), undefined, { signal: question.signal });
      }
    }
  }
}

/** A connection that breaks may stand the next time; nobody there, or somebody else, is a fact. */
function worthAnother({ code }: RegistryError): boolean {
  return ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET", "UND_ERR_HEADERS_TIMEOUT", "ETIMEDOUT"].includes(code);
}

/** Milliseconds before another attempt: what the server asks for (RFC 9110, Retry-After), else twice the last. */
export function pause(attempt: number, retryAfter?: string): number {
  const asked = retryAfter === undefined ? Number.NaN : Number(retryAfter) * 1000;
  const until = Number.isNaN(asked) && retryAfter ? Date.parse(retryAfter) - Date.now() : asked;
  const own = FIRST_PAUSE * 2 ** (attempt - 1);
  return Math.min(LONGEST_PAUSE, Math.max(own, Number.isNaN(until) ? 0 : until));
}
