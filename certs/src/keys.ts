// RSA keys: made and encrypted by node:crypto, which is fast, and handed to node-forge, which signs certificates.
import {
  createPrivateKey,
  generateKeyPair as generateKeyPairCallback,
  type KeyObject,
  X509Certificate,
} from "node:crypto";
import { promisify } from "node:util";
import forge from "node-forge";
import { CertificatesError, errorText } from "./errors.ts";
import { checkBits } from "./names.ts";

const generateKeyPair = promisify(generateKeyPairCallback);

/** OpenSSL's limit for a passphrase, in bytes. */
const PASSPHRASE_LIMIT = 1024;

export interface KeyPair {
  publicKey: forge.pki.PublicKey;
  privateKey: KeyObject;
}

export async function makeKeyPair(bits: number): Promise<KeyPair> {
  const pair = await generateKeyPair("rsa", { modulusLength: checkBits(bits), publicExponent: 0x10001 });
  const encoded = pair.publicKey.export({ type: "spki", format: "pem" }).toString();
  return { publicKey: forge.pki.publicKeyFromPem(encoded), privateKey: pair.privateKey };
}

/** As PKCS#8 in PEM; with a passphrase, encrypted with AES-256. */
export function privateKeyPem(key: KeyObject, passphrase?: string): string {
  if (passphrase === undefined) return key.export({ type: "pkcs8", format: "pem" }).toString();
  checkPassphrase(passphrase);
  return key.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase }).toString();
}

function checkPassphrase(passphrase: string): void {
  if (passphrase === "") throw new CertificatesError("the passphrase is empty");
  if (Buffer.byteLength(passphrase) > PASSPHRASE_LIMIT)
    throw new CertificatesError(`the passphrase is longer than ${PASSPHRASE_LIMIT} bytes`);
}

/** Whether a key's PEM asks for a passphrase, in PKCS#8's way or the older one. */
export const isEncrypted = (pem: string): boolean =>
  pem.includes("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.includes("Proc-Type: 4,ENCRYPTED");

/** Reads an authority's key and sees that it is the certificate's. Throws with the file's name. */
export function readPrivateKey(
  path: string,
  pem: string,
  passphrase: string | undefined,
  certificatePem: string,
): KeyObject {
  const encrypted = isEncrypted(pem);
  if (encrypted && passphrase === undefined)
    throw new CertificatesError(
      `${path} is encrypted: give its passphrase with --passphrase-file, TSD_CA_PASSPHRASE or on a terminal`,
    );
  let key: KeyObject;
  try {
    key = createPrivateKey(encrypted && passphrase !== undefined ? { key: pem, passphrase } : pem);
  } catch (error) {
    throw new CertificatesError(
      encrypted
        ? `${path}: cannot be decrypted: the passphrase is wrong, or the file is damaged`
        : `${path}: not a private key: ${errorText(error)}`,
      { cause: error },
    );
  }
  if (key.asymmetricKeyType !== "rsa")
    throw new CertificatesError(`${path}: is a key of type ${key.asymmetricKeyType}; only RSA is supported`);
  if (!new X509Certificate(certificatePem).checkPrivateKey(key))
    throw new CertificatesError(`${path}: is not the key of the authority's certificate`);
  return key;
}

export const signingKey = (key: KeyObject): forge.pki.rsa.PrivateKey =>
  forge.pki.privateKeyFromPem(key.export({ type: "pkcs1", format: "pem" }).toString());
