// An authority's directory: reading it with the lock held, and changing it, with its revocation list kept fresh.
import type { KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import forge from "node-forge";
import { type CertificateIndex, indexText, parseIndex } from "./certificate-index.ts";
import { signRevocationList } from "./crl.ts";
import { CertificatesError, errorCode, errorText } from "./errors.ts";
import { CERTIFICATE_MODE, commit, discard, type Staged, stageFile, sweep } from "./files.ts";
import { isEncrypted, readPrivateKey, signingKey } from "./keys.ts";
import { withLock } from "./lock.ts";
import { type RevocationList, readRevocationList } from "./revocation.ts";
import { CLOCK_SLACK_MS, DAY_MS, type Issuer, subjectOf, wholeSeconds } from "./x509.ts";

/** A list that ends within this is made anew by whatever command comes along. */
const CRL_REFRESH_MS = 30 * DAY_MS;
const CRL_LIFETIME_MS = 365 * DAY_MS;
const INDEX_MODE = 0o600;

/** Where an authority is, and how its key is opened. */
export interface Access {
  directory: string;
  /** Asked only when the key is encrypted; undefined means that nobody knows it. */
  passphrase?: (() => Promise<string | undefined>) | undefined;
  /** The time to go by, for tests. */
  now?: Date | undefined;
}

export interface AuthorityPaths {
  certificate: string;
  key: string;
  crl: string;
  index: string;
  clients: string;
}

export interface Authority {
  readonly directory: string;
  readonly paths: AuthorityPaths;
  readonly certificatePem: string;
  readonly certificate: forge.pki.Certificate;
  readonly key: KeyObject;
  readonly issuer: Issuer;
  readonly index: CertificateIndex;
  readonly now: Date;
}

/** /etc/tsd/certs for root, else ~/.tsd/certs. */
export const defaultDirectory = (home = homedir(), uid = process.getuid?.()): string =>
  uid === 0 ? "/etc/tsd/certs" : join(home, ".tsd/certs");

export const authorityPaths = (directory: string): AuthorityPaths => ({
  certificate: join(directory, "ca.pem"),
  key: join(directory, "ca-key.pem"),
  crl: join(directory, "crl.pem"),
  index: join(directory, "index.json"),
  clients: join(directory, "clients"),
});

/** Reads a file of an authority. Throws with its name, and the way out when there is no authority. */
export function readAuthorityFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CertificatesError(
      errorCode(error) === "ENOENT"
        ? `${path}: does not exist; an authority is made by "certs init"`
        : `cannot read ${path}: ${errorText(error)}`,
      { cause: error },
    );
  }
}

function parseCertificate(path: string, pem: string): forge.pki.Certificate {
  try {
    return forge.pki.certificateFromPem(pem);
  } catch (error) {
    throw new CertificatesError(`${path}: not a certificate with an RSA key: ${errorText(error)}`, {
      cause: error,
    });
  }
}

export const makeIssuer = (certificate: forge.pki.Certificate, key: KeyObject): Issuer => ({
  subject: subjectOf(certificate),
  keyIdentifier: certificate.generateSubjectKeyIdentifier().getBytes(),
  key: signingKey(key),
});

function readAuthority(directory: string, passphrase: string | undefined, now: Date): Authority {
  const paths = authorityPaths(directory);
  const certificatePem = readAuthorityFile(paths.certificate);
  const certificate = parseCertificate(paths.certificate, certificatePem);
  const key = readPrivateKey(paths.key, readAuthorityFile(paths.key), passphrase, certificatePem);
  const index = parseIndex(paths.index, readAuthorityFile(paths.index));
  return {
    directory,
    paths,
    certificatePem,
    certificate,
    key,
    issuer: makeIssuer(certificate, key),
    index,
    now,
  };
}

/** Opens an authority and works on it with its lock held. The passphrase is asked for before, since people take long. */
export async function withAuthority<T>(access: Access, work: (authority: Authority) => T): Promise<T> {
  const { key } = authorityPaths(access.directory);
  const passphrase = isEncrypted(readAuthorityFile(key)) ? await access.passphrase?.() : undefined;
  return withLock(access.directory, () => {
    sweep(access.directory);
    sweep(authorityPaths(access.directory).clients);
    return work(readAuthority(access.directory, passphrase, access.now ?? new Date()));
  });
}

/** Why a revocation list has to be made anew, if it has to: it is missing, ends soon, or does not say what the index does. */
export function crlProblem(path: string, index: CertificateIndex, now: Date): string | undefined {
  if (!existsSync(path)) return "is missing";
  let list: RevocationList | undefined;
  try {
    [list] = readRevocationList(readFileSync(path, "utf8"));
  } catch (error) {
    return `cannot be read: ${errorText(error)}`;
  }
  const next = list?.nextUpdate;
  if (!list || !next) return "has no end";
  const { serials } = list;
  const revoked = index.certificates.filter((entry) => entry.revoked);
  if (revoked.length !== serials.size || revoked.some((entry) => !serials.has(entry.serial)))
    return "does not hold what index.json says is revoked";
  if (next <= now) return `ended ${next.toISOString()}`;
  return next.getTime() < now.getTime() + CRL_REFRESH_MS ? `ends ${next.toISOString()}` : undefined;
}

export interface CrlResult {
  path: string;
  number: number;
  nextUpdate: Date;
  revoked: number;
}

/** A list of what the index says is revoked. It ends with the authority: a later end would promise lists nobody can sign. */
export function makeRevocationList(
  index: CertificateIndex,
  issuer: Issuer,
  authorityEnd: Date,
  now: Date,
): { pem: string; nextUpdate: Date } {
  const nextUpdate = wholeSeconds(
    new Date(Math.min(authorityEnd.getTime(), now.getTime() + CRL_LIFETIME_MS)),
  );
  const pem = signRevocationList(
    {
      number: index.crlNumber,
      thisUpdate: wholeSeconds(new Date(now.getTime() - CLOCK_SLACK_MS)),
      nextUpdate,
      revoked: index.certificates.flatMap(({ serial, revoked }) =>
        revoked ? [{ serial, at: new Date(revoked.at), reason: revoked.reason }] : [],
      ),
    },
    issuer,
  );
  return { pem, nextUpdate };
}

export const stageIndex = (path: string, index: CertificateIndex): Staged =>
  stageFile(path, indexText(index), INDEX_MODE);

export interface Change {
  certificates?: CertificateIndex["certificates"];
  /** Makes a new revocation list though the old one would do. */
  newCrl?: boolean;
  /** Each stages something else that is to be replaced. */
  stage?: readonly (() => Staged)[];
}

/**
 * Carries a change out as a whole: the index first, so that no certificate exists that cannot be revoked, and the
 * revocation list, where it has to change.
 */
export function applyChange(authority: Authority, change: Change): CrlResult | undefined {
  const { paths, now, issuer, certificate } = authority;
  const certificates = change.certificates ?? authority.index.certificates;
  const index: CertificateIndex = { ...authority.index, certificates };
  const crlIsDue = change.newCrl || crlProblem(paths.crl, index, now) !== undefined;
  if (crlIsDue) index.crlNumber++;
  const list = crlIsDue ? makeRevocationList(index, issuer, certificate.validity.notAfter, now) : undefined;
  const staged: Staged[] = [];
  try {
    staged.push(stageIndex(paths.index, index));
    for (const stage of change.stage ?? []) staged.push(stage());
    if (list) staged.push(stageFile(paths.crl, list.pem, CERTIFICATE_MODE));
  } catch (error) {
    discard(staged);
    throw error;
  }
  commit(staged);
  return (
    list && {
      path: paths.crl,
      number: index.crlNumber,
      nextUpdate: list.nextUpdate,
      revoked: index.certificates.filter((entry) => entry.revoked).length,
    }
  );
}
