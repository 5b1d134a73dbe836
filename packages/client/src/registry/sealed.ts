// Credentials on disk, encrypted: by a passphrase where there is one, else by a key in a file of its own, so that a copy
// of the configuration alone gives nothing away.
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Credentials } from "./credentials.ts";

const FILE = "credentials.sealed.json";
const KEY_FILE = "credentials.key";
const KEY_SIZE = 32;
const CIPHER = "aes-256-gcm";

interface Sealed {
  version: 1;
  /** What the key is made of. */
  key: "file" | "passphrase";
  salt: string;
  nonce: string;
  tag: string;
  data: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** Written whole or not at all, and readable by its owner only. */
function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

export class SealedCredentials {
  readonly #directory: string;
  readonly #passphrase: string | undefined;

  constructor(directory: string, environment: Environment) {
    this.#directory = directory;
    this.#passphrase = environment.TSD_CREDENTIALS_PASSPHRASE || undefined;
  }

  #key(kind: Sealed["key"], salt: Buffer): Buffer {
    if (kind === "passphrase") {
      if (!this.#passphrase)
        throw new Error(`${join(this.#directory, FILE)}: needs its passphrase in TSD_CREDENTIALS_PASSPHRASE`);
      return scryptSync(this.#passphrase, salt, KEY_SIZE);
    }
    const path = join(this.#directory, KEY_FILE);
    const text = readText(path);
    if (text) return scryptSync(Buffer.from(text, "base64"), salt, KEY_SIZE, { N: 2 });
    const secret = randomBytes(KEY_SIZE).toString("base64");
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeFileSync(path, secret, { mode: 0o600, flag: "wx" });
    return scryptSync(Buffer.from(secret, "base64"), salt, KEY_SIZE, { N: 2 });
  }

  read(): Record<string, Credentials> {
    const path = join(this.#directory, FILE);
    const text = readText(path);
    if (!text) return {};
    const sealed = JSON.parse(text) as Sealed;
    const part = (value: string): Buffer => Buffer.from(value, "base64");
    const key = this.#key(sealed.key, part(sealed.salt));
    const decipher = createDecipheriv(CIPHER, key, part(sealed.nonce));
    decipher.setAuthTag(part(sealed.tag));
    try {
      const plain = Buffer.concat([decipher.update(part(sealed.data)), decipher.final()]);
      return JSON.parse(plain.toString("utf8")) as Record<string, Credentials>;
    } catch (error) {
      throw new Error(
        `${path}: can't be opened: the key or the passphrase is another one, or it was changed`,
        {
          cause: error,
        },
      );
    }
  }

  write(all: Readonly<Record<string, Credentials>>): void {
    const kind = this.#passphrase ? "passphrase" : "file";
    const salt = randomBytes(16);
    const nonce = randomBytes(12);
    const cipher = createCipheriv(CIPHER, this.#key(kind, salt), nonce);
    const data = Buffer.concat([cipher.update(JSON.stringify(all)), cipher.final()]);
    const text = (bytes: Buffer): string => bytes.toString("base64");
    const sealed: Sealed = {
      version: 1,
      key: kind,
      salt: text(salt),
      nonce: text(nonce),
      tag: text(cipher.getAuthTag()),
      data: text(data),
    };
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeWhole(join(this.#directory, FILE), `${JSON.stringify(sealed)}\n`);
  }
}
