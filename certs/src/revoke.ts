// Revokes certificates, and makes revocation lists on demand.
import { type Access, applyChange, type CrlResult, withAuthority } from "./authority.ts";
import { findCertificates, type IssuedCertificate, isLive } from "./certificate-index.ts";
import { CertificatesError } from "./errors.ts";

/** Those that a certificate of a server or client can be revoked for, and for good. */
export const revocationReasons = [
  "unspecified",
  "keyCompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
] as const;
export type RevocationReason = (typeof revocationReasons)[number];

const isReason = (text: string): text is RevocationReason =>
  (revocationReasons as readonly string[]).includes(text);

/** Throws for a word that is no reason. */
export function checkReason(text: string): RevocationReason {
  if (isReason(text)) return text;
  throw new CertificatesError(`reason "${text}": must be one of ${revocationReasons.join(", ")}`);
}

export interface RevokeOptions extends Access {
  /** A name or directory: all its living certificates; a serial, or its first 12 digits or more: that one. */
  target: string;
  reason?: RevocationReason | undefined;
}

export interface RevokeResult {
  revoked: IssuedCertificate[];
  /** What the target means and was revoked before. */
  already: IssuedCertificate[];
  /** The new list; undefined when nothing was left to revoke. */
  crl: CrlResult | undefined;
}

/** Throws when the target means nothing, or only certificates that have ended. */
export async function revoke(options: RevokeOptions): Promise<RevokeResult> {
  const reason = options.reason ?? "unspecified";
  return withAuthority(options, (authority) => {
    const { index, now, paths } = authority;
    const found = findCertificates(index, options.target);
    if (found.length === 0)
      throw new CertificatesError(
        `"${options.target}": ${paths.index} has no server or client of this name, and no such serial number`,
      );
    const already = found.filter((entry) => entry.revoked);
    const byName = found.some((entry) => [entry.name, entry.directory].includes(options.target));
    const chosen = found.filter((entry) => (byName ? isLive(entry, now) : !entry.revoked));
    if (chosen.length === 0 && already.length === 0)
      throw new CertificatesError(
        `"${options.target}": its certificates have all ended; to revoke one all the same, give its serial number`,
      );
    const revoked = { at: now.toISOString(), reason };
    const certificates = index.certificates.map((entry) =>
      chosen.includes(entry) ? { ...entry, revoked } : entry,
    );
    const crl = applyChange(authority, { certificates, newCrl: chosen.length > 0 });
    return { revoked: chosen.map((entry) => ({ ...entry, revoked })), already, crl };
  });
}

/** Makes a new revocation list, whatever the old one says. */
export const refreshCrl = (access: Access): Promise<CrlResult> =>
  withAuthority(access, (authority) => {
    const result = applyChange(authority, { newCrl: true });
    if (!result) throw new Error("no revocation list was made");
    return result;
  });
