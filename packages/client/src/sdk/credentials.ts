// The PEM texts of one TLS connection: read, and checked before anything is sent.
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";
import { type CertificateKind, ConnectionError } from "./errors.ts";
import type { TlsOptions } from "./options.ts";

export const isPem = (text: string): boolean => text.includes("-----BEGIN ");

/** How messages name a PEM option. */
export const nameOf = (value: string | undefined): string =>
  value === undefined || isPem(value) ? "(given as text)" : value;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "it is a directory",
  ENOTDIR: "no such file",
};

/** The text of a PEM option, from its file if it is a path. */
function readPem(value: string, what: string, certificate: CertificateKind): string {
  if (isPem(value)) return value;
  try {
    return readFileSync(value, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConnectionError(`cannot read ${what} ${value}: ${reasons[code ?? ""] ?? message}`, {
      code,
      certificate,
    });
  }
}

function readCertificates(value: string, what: string, certificate: CertificateKind): string {
  const text = readPem(value, what, certificate);
  if (text.includes("-----BEGIN CERTIFICATE-----") || text.includes("-----BEGIN TRUSTED CERTIFICATE-----"))
    return text;
  throw new ConnectionError(`${what} ${nameOf(value)} holds no certificate in PEM format`, { certificate });
}

function readKey(value: string): string {
  const text = readPem(value, "the client's key", "client");
  const wrong = (reason: string): ConnectionError =>
    new ConnectionError(`the client's key ${nameOf(value)} ${reason}`, { certificate: "client" });
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text))
    throw wrong("is encrypted; a passphrase cannot be given here: keep it decrypted, with mode 0600");
  if (!/-----BEGIN (?:\w+ )?PRIVATE KEY-----/.test(text)) throw wrong("holds no private key in PEM format");
  return text;
}

/** What TLS is made with. */
export interface Credentials {
  context: SecureContext;
  /** The text of the client's certificate, for messages. */
  certificate: string | undefined;
}

/** Reads and checks everything that `tls` names. Throws ConnectionError, naming the file that is wrong. */
export function loadCredentials(tls: TlsOptions): Credentials {
  const verify = tls.verify !== false;
  const ca =
    verify && tls.ca !== undefined
      ? readCertificates(tls.ca, "the file of authorities", "authority")
      : undefined;
  if (tls.cert === undefined && tls.key !== undefined)
    throw new ConnectionError(`there is no client certificate to the key ${nameOf(tls.key)}`, {
      certificate: "client",
    });
  if (tls.cert !== undefined && tls.key === undefined)
    throw new ConnectionError(`there is no key to the client certificate ${nameOf(tls.cert)}`, {
      certificate: "client",
    });
  const certificate =
    tls.cert === undefined ? undefined : readCertificates(tls.cert, "the client certificate", "client");
  const key = tls.key === undefined ? undefined : readKey(tls.key);
  const options = { minVersion: "TLSv1.2", ...(ca === undefined ? {} : { ca }) } as const;
  try {
    if (certificate === undefined || key === undefined)
      return { context: createSecureContext(options), certificate };
    return { context: createSecureContext({ ...options, cert: certificate, key }), certificate };
  } catch (error) {
    throw unusable(error as NodeJS.ErrnoException, tls);
  }
}

/** Why OpenSSL would not take the files. */
function unusable(error: NodeJS.ErrnoException, tls: TlsOptions): ConnectionError {
  const { code } = error;
  if (code === "ERR_OSSL_X509_KEY_VALUES_MISMATCH" || code === "ERR_OSSL_X509_KEY_TYPE_MISMATCH")
    return new ConnectionError(
      `the key ${nameOf(tls.key)} does not belong to the client certificate ${nameOf(tls.cert)}`,
      { code, certificate: "client" },
    );
  const files = [tls.ca, tls.cert, tls.key].filter((value) => value !== undefined).map(nameOf);
  return new ConnectionError(`OpenSSL does not take ${files.join(", ")}: ${error.message}`, {
    code,
    ...(tls.cert === undefined ? { certificate: "authority" } : { certificate: "client" }),
  });
}
