// Makes a certificate authority: its key, its own certificate, an empty revocation list and index.
import { X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import forge from "node-forge";
import { authorityPaths, makeIssuer, makeRevocationList, stageIndex } from "./authority.ts";
import type { CertificateIndex, IssuedCertificate } from "./certificate-index.ts";
import { CertificatesError } from "./errors.ts";
import {
  CERTIFICATE_MODE,
  commit,
  DIRECTORY_MODE,
  discard,
  KEY_MODE,
  type Staged,
  stageFile,
  sweep,
} from "./files.ts";
import { type KeyPair, makeKeyPair, privateKeyPem, signingKey } from "./keys.ts";
import { withLock } from "./lock.ts";
import { checkDays, checkText } from "./names.ts";
import { makeSubject, newSerial, signAuthority, validityFrom } from "./x509.ts";

export const DEFAULT_AUTHORITY_DAYS = 3650;
export const DEFAULT_AUTHORITY_BITS = 4096;

export interface InitOptions {
  directory: string;
  name: string;
  days?: number | undefined;
  bits?: number | undefined;
  /** Encrypts the key. */
  passphrase?: string | undefined;
  /** Moves an authority that is there, and all it issued, into a directory beside the new one's files. */
  force?: boolean | undefined;
  now?: Date | undefined;
}

export interface InitResult {
  entry: IssuedCertificate;
  crlEnd: Date;
  /** Where a former authority's files went. */
  movedTo: string | undefined;
}

/** An entry of the index for a certificate, its dates and fingerprint as the certificate has them. */
export function makeEntry(
  pem: string,
  rest: Pick<IssuedCertificate, "serial" | "kind" | "name" | "directory" | "units" | "names"> & {
    role?: string | undefined;
  },
): IssuedCertificate {
  const certificate = new X509Certificate(pem);
  const { role, ...others } = rest;
  return {
    ...others,
    ...(role === undefined ? {} : { role }),
    notBefore: new Date(certificate.validFrom).toISOString(),
    notAfter: new Date(certificate.validTo).toISOString(),
    fingerprint: certificate.fingerprint256,
  };
}

/** What in a directory is an authority's; other files are left alone. */
const isAuthorityFile = (name: string): boolean =>
  ["ca.pem", "ca-key.pem", "crl.pem", "index.json", "clients", "server"].includes(name) ||
  name.startsWith("server-");

function moveAside(directory: string, now: Date): { path: string; undo: () => void } | undefined {
  const names = readdirSync(directory).filter(isAuthorityFile);
  if (names.length === 0) return undefined;
  const path = join(directory, `old-${now.toISOString().replace(/[-:]|\.\d+/g, "")}`);
  mkdirSync(path, { mode: DIRECTORY_MODE });
  const moved: string[] = [];
  const undo = (): void => {
    for (const name of moved) renameSync(join(path, name), join(directory, name));
    rmdirSync(path);
  };
  try {
    for (const name of names) {
      renameSync(join(directory, name), join(path, name));
      moved.push(name);
    }
  } catch (error) {
    undo();
    throw error;
  }
  return { path, undo };
}

function stageAuthority(options: InitOptions, pair: KeyPair, now: Date) {
  const paths = authorityPaths(options.directory);
  const serial = newSerial();
  const validity = validityFrom(now, checkDays(options.days ?? DEFAULT_AUTHORITY_DAYS));
  const subject = makeSubject(options.name);
  const pem = signAuthority(subject, pair.publicKey, validity, signingKey(pair.privateKey), serial);
  const entry = makeEntry(pem, {
    serial,
    kind: "ca",
    name: options.name,
    directory: "",
    units: [],
    names: [],
  });
  const index: CertificateIndex = { version: 1, crlNumber: 1, certificates: [entry] };
  const issuer = makeIssuer(forge.pki.certificateFromPem(pem), pair.privateKey);
  const list = makeRevocationList(index, issuer, validity.notAfter, now);
  const staged: Staged[] = [];
  try {
    staged.push(stageFile(paths.key, privateKeyPem(pair.privateKey, options.passphrase), KEY_MODE));
    staged.push(stageIndex(paths.index, index));
    staged.push(stageFile(paths.crl, list.pem, CERTIFICATE_MODE));
    staged.push(stageFile(paths.certificate, pem, CERTIFICATE_MODE));
  } catch (error) {
    discard(staged);
    throw error;
  }
  return { staged, entry, crlEnd: list.nextUpdate };
}

function refuseExisting(directory: string): void {
  const paths = authorityPaths(directory);
  const found = [paths.certificate, paths.key, paths.index].find((path) => existsSync(path));
  if (found)
    throw new CertificatesError(
      `${found} exists already: --force makes a new authority, whose certificates the old one's peers do not trust`,
    );
}

/** Makes the directory if need be; its result undoes that. */
function prepareDirectory(directory: string): () => void {
  const first = mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
  if (first !== undefined) {
    chmodSync(directory, DIRECTORY_MODE);
    return () => {
      for (let path = directory; path.startsWith(first); path = dirname(path)) rmdirSync(path);
    };
  }
  if (statSync(directory).mode & 0o022)
    throw new CertificatesError(
      `${directory}: others may write to it (mode ${(statSync(directory).mode & 0o777).toString(8)}), so they could replace the authority`,
    );
  return () => undefined;
}

/** Throws, and leaves nothing, when there is an authority already or the directory cannot hold one. */
export async function initAuthority(options: InitOptions): Promise<InitResult> {
  checkText("name", options.name);
  checkDays(options.days ?? DEFAULT_AUTHORITY_DAYS);
  if (!options.force) refuseExisting(options.directory);
  const pair = await makeKeyPair(options.bits ?? DEFAULT_AUTHORITY_BITS);
  const removeDirectory = prepareDirectory(options.directory);
  const now = options.now ?? new Date();
  try {
    return await withLock(options.directory, () => {
      sweep(options.directory);
      if (!options.force) refuseExisting(options.directory);
      const { staged, entry, crlEnd } = stageAuthority(options, pair, now);
      let aside: ReturnType<typeof moveAside>;
      try {
        aside = moveAside(options.directory, now);
      } catch (error) {
        discard(staged);
        throw error;
      }
      try {
        commit(staged);
      } catch (error) {
        aside?.undo();
        throw error;
      }
      return { entry, crlEnd, movedTo: aside?.path };
    });
  } catch (error) {
    removeDirectory();
    throw error;
  }
}
