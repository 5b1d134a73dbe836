// Encrypted layers (OCI image encryption, as ocicrypt makes it): opened with a private key, and checked.
import { createDecipheriv, createHmac, createPrivateKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type FlattenedJWE, flattenedDecrypt, type GeneralJWE, generalDecrypt } from "jose";
import { z } from "zod";
import type { Descriptor } from "../../registry/manifest.ts";
import { EngineError, invalid } from "../errors.ts";

const KEYS = "org.opencontainers.image.enc.keys.jwe";
const PUBLIC_OPTIONS = "org.opencontainers.image.enc.pubopts";
const CIPHER = "AES_256_CTR_HMAC_SHA256";

const publicSchema = z.looseObject({ cipher: z.string(), hmac: z.base64() });
const privateSchema = z.looseObject({
  symkey: z.base64(),
  cipheroptions: z.looseObject({ nonce: z.base64() }),
});

/** The private keys (PEM, with or without RSA's own header) of a folder; none where there is no folder. */
export function readKeys(directory: string): KeyObject[] {
  let names: string[];
  try {
    names = readdirSync(directory).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names
    .filter((name) => /\.(?:pem|key)$/.test(name))
    .map((name) => parseKey(readFileSync(join(directory, name), "utf8"), join(directory, name)));
}

/** Throws where a text is no private key, saying which it was; never with the text itself. */
export function parseKey(text: string, what: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw invalid(
      `${what}: not a private key in PEM: ${(error as NodeJS.ErrnoException).code ?? "unreadable"}`,
    );
  }
}

const decode = (text: string): unknown => JSON.parse(Buffer.from(text, "base64").toString("utf8"));

/** How to open a layer's bytes with one of the keys. Throws where none fits. */
export async function openLayer(
  descriptor: Descriptor,
  keys: readonly KeyObject[],
): Promise<(bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>> {
  const { digest, annotations } = descriptor;
  const wrapped = annotations?.[KEYS];
  const options = publicSchema.safeParse(decode(annotations?.[PUBLIC_OPTIONS] ?? "bnVsbA=="));
  if (!wrapped || !options.success)
    throw new EngineError(
      "system",
      `layer ${digest} is encrypted for no kind of key that is known here (JWE)`,
    );
  if (options.data.cipher !== CIPHER)
    throw new EngineError("system", `layer ${digest}: unknown cipher ${options.data.cipher}`);
  for (const one of wrapped.split(",")) {
    for (const key of keys) {
      const opened = await unwrap(one, key);
      if (!opened) continue;
      const symmetric = Buffer.from(opened.symkey, "base64");
      const nonce = Buffer.from(opened.cipheroptions.nonce, "base64");
      const expected = Buffer.from(options.data.hmac, "base64");
      return (bytes) => decrypted(bytes, symmetric, nonce, expected, digest);
    }
  }
  throw new EngineError(
    "forbidden",
    keys.length === 0
      ? `layer ${digest} is encrypted, and there is no key for it: give one (tsctl pull --decryption-key), or put it into the daemon's key folder`
      : `layer ${digest} is encrypted for another key than the ${keys.length} that are known`,
  );
}

async function unwrap(wrapped: string, key: KeyObject): Promise<z.output<typeof privateSchema> | undefined> {
  try {
    // With one recipient its fields are not in a list (RFC 7516, section 7.2.2).
    const jwe = decode(wrapped) as GeneralJWE | FlattenedJWE;
    const { plaintext } = await ("recipients" in jwe ? generalDecrypt(jwe, key) : flattenedDecrypt(jwe, key));
    const parsed = privateSchema.safeParse(JSON.parse(Buffer.from(plaintext).toString("utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined; // it is for another key, and whether one fits is what is asked
  }
}

/** What was encrypted; throws at the end where it was falsified. */
async function* decrypted(
  bytes: AsyncIterable<Buffer>,
  key: Buffer,
  nonce: Buffer,
  expected: Buffer,
  digest: string,
): AsyncGenerator<Buffer> {
  const decipher = createDecipheriv("aes-256-ctr", key, nonce);
  const hmac = createHmac("sha256", key);
  for await (const chunk of bytes) {
    hmac.update(chunk);
    yield decipher.update(chunk);
  }
  const actual = hmac.digest();
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected))
    throw new EngineError("system", `layer ${digest}: its authentication code is wrong: it was falsified`);
}
