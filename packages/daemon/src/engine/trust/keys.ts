// Signatures by whatever kind of key: as cosign makes them.
import { type KeyObject, verify } from "node:crypto";

/** Whether a signature (base64) is of these bytes by this key: ECDSA and RSA over SHA-256, or Ed25519. */
export function verifyBytes(bytes: Buffer, signature: string, key: KeyObject): boolean {
  const algorithm = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  return verify(algorithm, bytes, key, Buffer.from(signature, "base64"));
}
