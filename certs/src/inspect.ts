// What an authority issued, and what certificates are worth to it; needs no key and no lock.
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { authorityPaths, crlProblem, readAuthorityFile } from "./authority.ts";
import { type CertificateIndex, type IssuedCertificate, isExpired, parseIndex } from "./certificate-index.ts";
import { CertificatesError, errorText } from "./errors.ts";
import { normalSerial, readRevocationList } from "./revocation.ts";
import { DAY_MS } from "./x509.ts";

/** From so few days on a certificate's end is its status. */
const EXPIRING_DAYS = 30;

export interface ListedCertificate extends IssuedCertificate {
  status: "valid" | "expiring" | "expired" | "revoked";
  /** Whole days until its end, negative after it. */
  daysLeft: number;
}

const daysLeft = (end: Date, now: Date): number => Math.floor((end.getTime() - now.getTime()) / DAY_MS);

function withStatus(entry: IssuedCertificate, now: Date, expiringDays: number): ListedCertificate {
  const left = daysLeft(new Date(entry.notAfter), now);
  const alive = left < expiringDays ? "expiring" : "valid";
  const status = entry.revoked ? "revoked" : isExpired(entry, now) ? "expired" : alive;
  return { ...entry, status, daysLeft: left };
}

const hasSuccessor = (entry: IssuedCertificate, index: CertificateIndex): boolean =>
  index.certificates.some(
    (other) =>
      other.kind === entry.kind &&
      other.directory === entry.directory &&
      !other.revoked &&
      Date.parse(other.notAfter) > Date.parse(entry.notAfter),
  );

export interface ListOptions {
  directory: string;
  /** Only those whose holder has nothing that lives longer than so many days. */
  expiring?: number | undefined;
  now?: Date | undefined;
}

export interface ListResult {
  certificates: ListedCertificate[];
  /** Why the revocation list should be made anew, if it should. */
  crlProblem: string | undefined;
}

export function listCertificates(options: ListOptions): ListResult {
  const now = options.now ?? new Date();
  const paths = authorityPaths(options.directory);
  const index = parseIndex(paths.index, readAuthorityFile(paths.index));
  const { expiring } = options;
  const all = index.certificates.map((entry) => withStatus(entry, now, expiring ?? EXPIRING_DAYS));
  return {
    certificates:
      expiring === undefined
        ? all
        : all.filter(
            (entry) => ["expiring", "expired"].includes(entry.status) && !hasSuccessor(entry, index),
          ),
    crlProblem: crlProblem(paths.crl, index, now),
  };
}

export interface VerifiedCertificate {
  file: string;
  /** In one line. */
  subject: string;
  serial: string;
  usage: ("authority" | "server" | "client")[];
  notAfter: Date;
  /** Empty when there is nothing against it. */
  problems: string[];
}

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

function usageOf(certificate: X509Certificate): VerifiedCertificate["usage"] {
  if (certificate.ca) return ["authority"];
  // Absent where the certificate does not say; then it is good for everything.
  const usages: readonly string[] | undefined = certificate.keyUsage;
  if (usages === undefined) return ["server", "client"];
  return [
    ...(usages.includes(SERVER_AUTH) ? (["server"] as const) : []),
    ...(usages.includes(CLIENT_AUTH) ? (["client"] as const) : []),
  ];
}

const day = (date: Date): string => date.toISOString().slice(0, 10);

interface Judge {
  authority: X509Certificate;
  reasons: ReadonlyMap<string, string>;
  now: Date;
}

function problemsOf(certificate: X509Certificate, { authority, reasons, now }: Judge): string[] {
  const problems: string[] = [];
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  const isOurs = certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  const reason = reasons.get(normalSerial(certificate.serialNumber));
  if (!isOurs) problems.push("not issued by this authority");
  if (isOurs && reason !== undefined) problems.push(`revoked (${reason})`);
  if (now < from) problems.push(`not valid before ${day(from)}`);
  if (now >= to) problems.push(`expired ${day(to)}`);
  if (new Date(authority.validTo) <= now) problems.push("the authority has ended");
  return problems;
}

/** Every certificate of a file. Throws with the file's name when there is none, or one cannot be read. */
function certificatesOf(file: string): X509Certificate[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CertificatesError(`cannot read ${file}: ${errorText(error)}`, { cause: error });
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new CertificatesError(`${file}: there is no certificate in it`);
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new CertificatesError(`${file}: not a certificate: ${errorText(error)}`, { cause: error });
    }
  });
}

export interface VerifyOptions {
  directory: string;
  files: readonly string[];
  now?: Date | undefined;
}

/** Judges every certificate of the files by the authority's certificate and revocation list. */
export function verifyCertificates(options: VerifyOptions): VerifiedCertificate[] {
  const paths = authorityPaths(options.directory);
  const judge: Judge = {
    authority: new X509Certificate(readAuthorityFile(paths.certificate)),
    reasons: new Map(
      existsSync(paths.crl)
        ? readRevocationList(readFileSync(paths.crl, "utf8")).flatMap((list) => [...list.reasons])
        : [],
    ),
    now: options.now ?? new Date(),
  };
  return options.files.flatMap((file) =>
    certificatesOf(file).map((certificate) => ({
      file,
      subject: certificate.subject.split("\n").join(", "),
      serial: normalSerial(certificate.serialNumber),
      usage: usageOf(certificate),
      notAfter: new Date(certificate.validTo),
      problems: problemsOf(certificate, judge),
    })),
  );
}
