// index.json: every certificate an authority ever issued. Nothing is ever removed from it.

import { CertificatesError, errorText } from "./errors.ts";
import type { AlternativeName } from "./names.ts";
import { normalSerial } from "./revocation.ts";

export type CertificateKind = "ca" | "server" | "client";

export interface IssuedCertificate {
  /** Upper-case hex. */
  serial: string;
  kind: CertificateKind;
  /** The common name. */
  name: string;
  /** Where its files were put, from the authority's directory; "" for the authority itself. */
  directory: string;
  /** A client's role, where it has one. */
  role?: string;
  /** Other organizational units. */
  units: string[];
  names: AlternativeName[];
  /** ISO 8601. */
  notBefore: string;
  notAfter: string;
  /** SHA-256 of the certificate, as OpenSSL prints it. */
  fingerprint: string;
  revoked?: { at: string; reason: string };
}

export interface CertificateIndex {
  version: 1;
  /** The number of the last revocation list. */
  crlNumber: number;
  /** In order of issue. */
  certificates: IssuedCertificate[];
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isDate = (value: unknown): boolean => typeof value === "string" && !Number.isNaN(Date.parse(value));
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

function wrongField(value: unknown): string | undefined {
  if (!isRecord(value)) return "entry";
  const text = ["serial", "name", "directory", "fingerprint"].find((key) => typeof value[key] !== "string");
  if (text) return text;
  if (!["ca", "server", "client"].includes(String(value.kind))) return "kind";
  const list = ["units", "names"].find((key) => !isTexts(value[key]));
  if (list) return list;
  if (value.role !== undefined && typeof value.role !== "string") return "role";
  const { revoked } = value;
  if (
    revoked !== undefined &&
    !(isRecord(revoked) && isDate(revoked.at) && typeof revoked.reason === "string")
  )
    return "revoked";
  return ["notBefore", "notAfter"].find((key) => !isDate(value[key]));
}

const isIndex = (value: unknown): value is CertificateIndex =>
  isRecord(value) &&
  value.version === 1 &&
  Number.isInteger(value.crlNumber) &&
  Array.isArray(value.certificates) &&
  value.certificates.every((entry) => wrongField(entry) === undefined);

/** Throws with the file's name and the first thing that is wrong with it. */
export function parseIndex(path: string, text: string): CertificateIndex {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CertificatesError(`${path}: not JSON: ${errorText(error)}`, { cause: error });
  }
  if (isIndex(value)) return value;
  if (!isRecord(value) || value.version !== 1)
    throw new CertificatesError(`${path}: is no index of version 1`);
  const entries = Array.isArray(value.certificates) ? value.certificates : [];
  const at = entries.findIndex((entry) => wrongField(entry) !== undefined);
  throw new CertificatesError(
    `${path}: ${at < 0 ? "crlNumber or certificates" : `certificates[${at}]: ${wrongField(entries[at])}`} is missing or wrong`,
  );
}

export const indexText = (index: CertificateIndex): string => `${JSON.stringify(index, undefined, 2)}\n`;

export const isExpired = (entry: IssuedCertificate, now: Date): boolean =>
  Date.parse(entry.notAfter) <= now.getTime();
export const isLive = (entry: IssuedCertificate, now: Date): boolean =>
  !entry.revoked && !isExpired(entry, now);

/** How many digits of a serial are shown, and at least how many find one. */
export const SHORT_SERIAL = 12;
export const shortSerial = (serial: string): string => serial.slice(0, SHORT_SERIAL);
/** "client alice (serial 5C0FFEE…)". */
export const describe = (entry: IssuedCertificate): string =>
  `${entry.kind} ${entry.name} (serial ${shortSerial(entry.serial)})`;

/**
 * The certificates that a name, a directory, or a serial (or the start of one) means; servers and clients only.
 * Throws when a name is a server's and a client's, or a serial's start is of several.
 */
export function findCertificates(index: CertificateIndex, target: string): IssuedCertificate[] {
  const issued = index.certificates.filter((entry) => entry.kind !== "ca");
  const named = issued.filter((entry) => entry.name === target || entry.directory === target);
  const directories = new Set(named.map((entry) => entry.directory));
  if (directories.size > 1)
    throw new CertificatesError(
      `"${target}" is the name of several: give the serial number (${[...directories].join(", ")})`,
    );
  if (named.length > 0) return named;
  if (!/^[0-9a-fA-F:]+$/.test(target)) return [];
  const serial = normalSerial(target);
  const exact = issued.filter((entry) => entry.serial === serial);
  if (exact.length > 0 || serial.length < SHORT_SERIAL) return exact;
  const started = issued.filter((entry) => entry.serial.startsWith(serial));
  if (started.length > 1)
    throw new CertificatesError(`the serial number "${target}" is the start of several: give all of it`);
  return started;
}
