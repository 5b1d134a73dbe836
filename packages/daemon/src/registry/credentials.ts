// Who a client is to a registry (X-Registry-Auth), and the tokens that registries hand out for it.

import { RegistryError, refusal } from "./errors.ts";
import type { RegistryHttp } from "./http.ts";

export interface Credentials {
  username?: string | null | undefined;
  password?: string | null | undefined;
  /** A refresh token, in place of a password. */
  identitytoken?: string | null | undefined;
  /** A bearer token, used as it is. */
  registrytoken?: string | null | undefined;
}

/** A WWW-Authenticate challenge (RFC 9110, section 11.6.1). */
export interface Challenge {
  scheme: string;
  parameters: Readonly<Record<string, string>>;
}

/** The challenges of a header, in their order. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const token =
    /\s*(?:([A-Za-z]+)\s+(?=[A-Za-z]+=)|([A-Za-z_]+)="((?:[^"\\]|\\.)*)",?|([A-Za-z_]+)=([^\s,"]+),?|([A-Za-z]+)\s*,?)/gy;
  for (let match = token.exec(header); match?.[0]; match = token.exec(header)) {
    const [, scheme, quotedName, quoted, name, value, bare] = match;
    const started = scheme ?? bare;
    if (started) challenges.push({ scheme: started.toLowerCase(), parameters: {} });
    const parameters = challenges.at(-1)?.parameters;
    if (parameters && quotedName)
      parameters[quotedName.toLowerCase()] = (quoted ?? "").replace(/\\(.)/g, "$1");
    if (parameters && name) parameters[name.toLowerCase()] = value ?? "";
  }
  return challenges;
}

export const basic = ({ username, password }: Credentials): string =>
  `Basic ${Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64")}`;

/** Seconds a token counts for, where the server does not say (Docker's token specification). */
const DEFAULT_LIFETIME = 60;
const SCOPE_CLIENT = "tsd";

/** Answers one registry's challenges for one client, and remembers the tokens. */
export class Authorizer {
  readonly #http: RegistryHttp;
  readonly #credentials: Credentials;
  readonly #tokens = new Map<string, { header: string; until: number }>();
  #basic = false;

  constructor(http: RegistryHttp, credentials: Credentials) {
    this.#http = http;
    this.#credentials = credentials;
  }

  /** The Authorization header to begin with, if one is known. */
  header(scope: string): string | undefined {
    if (this.#credentials.registrytoken) return `Bearer ${this.#credentials.registrytoken}`;
    if (this.#basic) return basic(this.#credentials);
    const token = this.#tokens.get(scope);
    return token && token.until > Date.now() ? token.header : undefined;
  }

  /** The header that a challenge asks for. Throws where there is nothing to answer with. */
  async answer(header: string, scope: string, signal?: AbortSignal): Promise<string> {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer) return this.#token(bearer, scope, signal);
    if (!challenges.some(({ scheme }) => scheme === "basic"))
      throw new RegistryError(`unauthorized: no known way to authenticate: ${header}`, 401, "UNAUTHORIZED");
    if (!this.#credentials.username)
      throw new RegistryError("no basic auth credentials", 401, "UNAUTHORIZED");
    this.#basic = true;
    return basic(this.#credentials);
  }

  async #token(challenge: Challenge, scope: string, signal: AbortSignal | undefined): Promise<string> {
    const { realm = "", service } = challenge.parameters;
    if (!URL.canParse(realm))
      throw new RegistryError(`unauthorized: bad realm "${realm}"`, 401, "UNAUTHORIZED");
    const url = new URL(realm);
    const scopes = (scope || (challenge.parameters.scope ?? "")).split(" ").filter(Boolean);
    const { identitytoken, username } = this.#credentials;
    const fields = new URLSearchParams();
    if (service) fields.set("service", service);
    let question: Parameters<RegistryHttp["ask"]>[1];
    if (identitytoken) {
      fields.set("grant_type", "refresh_token");
      fields.set("refresh_token", identitytoken);
      fields.set("client_id", SCOPE_CLIENT);
      if (scopes.length > 0) fields.set("scope", scopes.join(" "));
      question = {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: fields.toString(),
      };
    } else {
      for (const [name, value] of fields) url.searchParams.set(name, value);
      for (const one of scopes) url.searchParams.append("scope", one);
      if (username) url.searchParams.set("account", username);
      question = username ? { headers: { authorization: basic(this.#credentials) } } : {};
    }
    const answer = await this.#http.ask(url, { ...question, signal });
    const text = await answer.body.text();
    if (answer.status !== 200)
      throw refusal(
        answer.status,
        text,
        `unauthorized: the token server answered with status ${answer.status}`,
      );
    const { token, access_token, expires_in } = parseToken(text);
    const value = token || access_token;
    if (!value) throw new RegistryError("authorization server did not include a token in the response", 401);
    const known = `Bearer ${value}`;
    this.#tokens.set(scope, { header: known, until: Date.now() + (expires_in ?? DEFAULT_LIFETIME) * 900 });
    return known;
  }
}

function parseToken(text: string): { token?: string; access_token?: string; expires_in?: number } {
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed && typeof parsed === "object") return parsed;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new RegistryError("the token server's answer is no JSON object", 401);
}
