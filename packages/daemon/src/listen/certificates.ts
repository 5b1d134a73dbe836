// The server's certificate, the authorities of the clients', and the list of those that were revoked: read, and read again.
import { createHash, X509Certificate } from "node:crypto";
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { createSecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";
import { normalSerial, readRevocationList } from "@tsd/certs/revocation";
import type { TlsSettings } from "../configuration/settings.ts";
import type { Peer } from "../engine/access/caller.ts";

export type CertificatePeer = Extract<Peer, { kind: "certificate" }>;

export interface Material {
  context: SecureContextOptions;
  /** Names of the authorities that clients' certificates may be of. */
  authorities: string[];
  /** Serial numbers of revoked certificates. */
  revoked: ReadonlySet<string>;
  /** What expires: the server's certificate, the authorities', the revocation list. */
  expiries: { what: string; when: Date }[];
}

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

function read(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`--${option}: ${(error as Error).message}`);
  }
}

function certificates(option: string, path: string, pem: string): X509Certificate[] {
  const found = pem.match(PEM);
  if (!found) throw new Error(`--${option} ${path}: no certificate in it`);
  return found.map((one) => {
    try {
      return new X509Certificate(one);
    } catch (error) {
      throw new Error(`--${option} ${path}: ${(error as Error).message}`);
    }
  });
}

/** Reads and checks everything. Throws naming the option and the file for what can't be served with. */
export function readMaterial(settings: TlsSettings): Material {
  const cert = read("tlscert", settings.certificate);
  const key = read("tlskey", settings.key);
  const expiries = certificates("tlscert", settings.certificate, cert).map((one) => ({
    what: `the server's certificate ${settings.certificate} (${one.subject.replaceAll("\n", ", ")})`,
    when: new Date(one.validTo),
  }));
  const context: SecureContextOptions = { cert, key, minVersion: "TLSv1.2" };
  const authorities: string[] = [];
  let revoked: ReadonlySet<string> = new Set();
  if (settings.mode === "mutual") {
    context.ca = read("tlscacert", settings.authorities);
    for (const one of certificates("tlscacert", settings.authorities, context.ca)) {
      const name = one.subject.replaceAll("\n", ", ");
      authorities.push(name);
      expiries.push({ what: `the authority ${settings.authorities} (${name})`, when: new Date(one.validTo) });
    }
    if (settings.revocationList) {
      context.crl = read("tlscrl", settings.revocationList);
      const lists = readRevocationList(context.crl);
      revoked = new Set(lists.flatMap(({ serials }) => [...serials]));
      for (const { issuer, nextUpdate } of lists)
        if (nextUpdate) expiries.push({ what: `the revocation list of ${issuer}`, when: nextUpdate });
    }
  }
  try {
    createSecureContext(context);
  } catch (error) {
    throw new Error(`TLS with ${settings.certificate} and ${settings.key}: ${(error as Error).message}`);
  }
  return { context, authorities, revoked, expiries };
}

const DAY = 24 * 3600_000;
const WARNING_DAYS = 30;

/** What has expired or soon will, in words. */
export const expiryWarnings = (material: Material, now = Date.now()): string[] =>
  material.expiries.flatMap(({ what, when }) => {
    const days = Math.floor((when.getTime() - now) / DAY);
    if (days >= WARNING_DAYS) return [];
    const date = when.toISOString();
    return [days < 0 ? `${what} expired at ${date}` : `${what} expires in ${days} days, at ${date}`];
  });

const words: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "it has expired",
  CERT_NOT_YET_VALID: "it is not valid yet",
  CERT_REVOKED: "it was revoked",
  CRL_HAS_EXPIRED: "the server's revocation list is out of date, so that nobody can be let in",
  UNABLE_TO_GET_CRL: "the server has no revocation list of its authority",
  INVALID_PURPOSE: "it is not for clients (its extended key usage)",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "it is of an authority that this server does not know",
  UNABLE_TO_GET_ISSUER_CERT: "it is of an authority that this server does not know",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "it is of an authority that this server does not know",
  DEPTH_ZERO_SELF_SIGNED_CERT: "it is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "it is of an authority that this server does not know",
  CERT_SIGNATURE_FAILURE: "its signature is not its authority's",
};

const all = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value]).filter((item): item is string => typeof item === "string");

/** The client's certificate as a peer, or why it is not accepted; undefined where there is none. */
export function clientCertificate(
  socket: TLSSocket,
  revoked: ReadonlySet<string>,
): { peer: CertificatePeer } | { refusal: string; subject: string } | undefined {
  const certificate = socket.getPeerCertificate();
  if (!certificate?.raw) return undefined;
  const { subject, serialNumber, subjectaltname, valid_to, raw } = certificate;
  const names = all(subject.CN);
  const serial = normalSerial(serialNumber);
  const peer: CertificatePeer = {
    kind: "certificate",
    commonName: names[0] ?? "",
    organizationalUnits: all(subject.OU),
    alternativeNames: subjectaltname?.split(", ") ?? [],
    serial,
    fingerprint: createHash("sha256").update(raw).digest("hex"),
    expires: Date.parse(valid_to),
  };
  const refuse = (refusal: string): { refusal: string; subject: string } => ({
    refusal: `${refusal} (CN=${names.join(",")}, serial ${serial})`,
    subject: names.join(","),
  });
  const code = socket.authorizationError as unknown as string | undefined;
  if (!socket.authorized) return refuse(words[code ?? ""] ?? `it can't be verified: ${code}`);
  // A session that is taken up again was verified when it began.
  if (revoked.has(serial)) return refuse(words.CERT_REVOKED ?? "");
  if (peer.expires <= Date.now()) return refuse(words.CERT_HAS_EXPIRED ?? "");
  if (names.length !== 1 || !peer.commonName) return refuse("it has no common name, or more than one");
  return { peer };
}

/** Calls back when a file has been changed or replaced; a directory is watched, since files are replaced whole. */
export function watchFile(path: string, changed: () => void): FSWatcher {
  let timer: NodeJS.Timeout | undefined;
  const name = basename(path);
  return watch(dirname(path), { persistent: false }, (_event, file) => {
    if (file !== name) return;
    clearTimeout(timer);
    timer = setTimeout(changed, 20);
  });
}
