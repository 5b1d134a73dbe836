// The key that signs the audit record: the installation's own, or one that is kept elsewhere.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";

/** Reads the private key at `path`; makes one where `make` allows it and none is there. Throws for a key that is none, or
 * of another kind. */
export function auditKey(path: string, make: boolean): KeyObject {
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    if (!make || (error as NodeJS.ErrnoException).code !== "ENOENT")
      throw new Error(`--audit-key: ${(error as Error).message}`);
    return makeKey(path);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw new Error(`the audit record's key ${path}: ${(error as Error).message}`);
  }
  if (key.asymmetricKeyType !== "ed25519")
    throw new Error(`the audit record's key ${path}: not an Ed25519 key`);
  return key;
}

function makeKey(path: string): KeyObject {
  const { privateKey } = generateKeyPairSync("ed25519");
  const file = openSync(`${path}.new`, "w", 0o400);
  try {
    writeSync(file, String(privateKey.export({ type: "pkcs8", format: "pem" })));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.new`, path);
  return privateKey;
}
