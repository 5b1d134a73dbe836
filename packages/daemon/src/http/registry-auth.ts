// Credentials for registries in requests: the X-Registry-Auth header, and the body of POST /auth.
import type { KeyObject } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { invalid } from "../engine/errors.ts";
import { parseKey } from "../engine/images/decryption.ts";
import type { RegistryCredentials } from "../engine/images/registry-queries.ts";

const text = z.string().nullish();

export const credentialsSchema = z.object({
  username: text,
  password: text,
  auth: text,
  email: text,
  serveraddress: text,
  identitytoken: text,
  registrytoken: text,
});

/** What the header says; nothing where there is none, or where it is no JSON in base64url, as for dockerd. */
export function registryAuth(request: FastifyRequest): RegistryCredentials {
  const header = request.headers["x-registry-auth"];
  if (typeof header !== "string" || header === "") return {};
  let raw: unknown;
  try {
    raw = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
  const parsed = credentialsSchema.safeParse(raw ?? {});
  if (parsed.success) return withAuth(parsed.data);
  throw invalid(
    `invalid X-Registry-Auth header: ${parsed.error.issues[0]?.path.join(".")}: ${parsed.error.issues[0]?.message}`,
  );
}

/** As registryAuth, where dockerd insists on the header. */
export function requiredRegistryAuth(request: FastifyRequest): RegistryCredentials {
  if (!request.headers["x-registry-auth"])
    throw invalid("bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth header: EOF");
  return registryAuth(request);
}

/** `auth` is username:password in base64, for those who keep them so. */
export function withAuth(credentials: z.output<typeof credentialsSchema>): RegistryCredentials {
  const { auth, email: _email, serveraddress: _address, ...rest } = credentials;
  if (!auth || rest.username) return rest;
  const [username, password] = Buffer.from(auth, "base64").toString("utf8").split(/:(.*)/s);
  return { ...rest, username, password };
}

/** Private keys for encrypted layers, as a JSON list of PEM texts in base64url: an addition of ours. */
export function decryptionKeys(request: FastifyRequest): KeyObject[] {
  const header = request.headers["x-tsd-decryption-keys"];
  if (typeof header !== "string" || header === "") return [];
  let raw: unknown;
  try {
    raw = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const parsed = z.array(z.string()).max(16).safeParse(raw);
  if (!parsed.success)
    throw invalid("invalid X-Tsd-Decryption-Keys header: not a list of keys in JSON, in base64url");
  return parsed.data.map((text, index) => parseKey(text, `X-Tsd-Decryption-Keys: key ${index + 1}`));
}
