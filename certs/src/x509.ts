// Assembles and signs X.509 certificates (RFC 5280): one profile each for the authority, servers and clients.
import { randomBytes } from "node:crypto";
import forge from "node-forge";
import { type AlternativeName, ROLE_PREFIX } from "./names.ts";

export type Subject = readonly forge.pki.CertificateField[];

export const DAY_MS = 24 * 60 * 60 * 1000;
/** Certificates and lists count from this long ago, because clocks differ. */
export const CLOCK_SLACK_MS = 5 * 60 * 1000;

export interface Validity {
  notBefore: Date;
  notAfter: Date;
}

export interface Issuer {
  subject: Subject;
  /** SHA-1 of the public key: what certificates name their authority's key by. */
  keyIdentifier: string;
  key: forge.pki.rsa.PrivateKey;
}

interface Request {
  subject: Subject;
  publicKey: forge.pki.PublicKey;
  validity: Validity;
  extensions: readonly Record<string, unknown>[];
}

/** Certificates count in whole seconds. */
export const wholeSeconds = (date: Date): Date => new Date(Math.floor(date.getTime() / 1000) * 1000);

export const validityFrom = (now: Date, days: number): Validity => ({
  notBefore: wholeSeconds(new Date(now.getTime() - CLOCK_SLACK_MS)),
  notAfter: wholeSeconds(new Date(now.getTime() + days * DAY_MS)),
});

/** 16 random bytes, positive and with no zero in front, so that there is one way to write it. */
export function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex").toUpperCase();
}

const COMMON_NAME = "2.5.4.3";
const ORGANIZATIONAL_UNIT = "2.5.4.11";

const field = (type: string, value: string): forge.pki.CertificateField => ({
  type,
  value,
  // The type's declaration mixes up tag classes and types; a type is what it takes.
  valueTagClass: forge.asn1.Type.UTF8 as number as forge.asn1.Class,
});

/** Units first, then the name. */
export const makeSubject = (name: string, units: readonly string[] = []): Subject => [
  ...units.map((unit) => field(ORGANIZATIONAL_UNIT, unit)),
  field(COMMON_NAME, name),
];

export const roleUnit = (role: string): string => `${ROLE_PREFIX}${role}`;

/** A certificate's subject as it was given to node-forge, which does not decode UTF-8 when it reads one. */
export const subjectOf = (certificate: forge.pki.Certificate): Subject =>
  certificate.subject.attributes.map((attribute) =>
    Number(attribute.valueTagClass) === forge.asn1.Type.UTF8 && typeof attribute.value === "string"
      ? { ...attribute, value: forge.util.decodeUtf8(attribute.value) }
      : attribute,
  );

const toAltName = (name: AlternativeName): Record<string, unknown> => {
  const value = name.slice(name.indexOf(":") + 1);
  if (name.startsWith("DNS:")) return { type: 2, value };
  if (name.startsWith("email:")) return { type: 1, value };
  if (name.startsWith("URI:")) return { type: 6, value };
  return { type: 7, ip: value };
};

const altNames = (names: readonly AlternativeName[]): Record<string, unknown>[] =>
  names.length > 0 ? [{ name: "subjectAltName", altNames: names.map(toAltName) }] : [];

function sign(request: Request, serial: string, issuer: Pick<Issuer, "subject" | "key">): string {
  const certificate = forge.pki.createCertificate();
  certificate.serialNumber = serial.toLowerCase();
  certificate.publicKey = request.publicKey;
  certificate.validity.notBefore = request.validity.notBefore;
  certificate.validity.notAfter = request.validity.notAfter;
  certificate.setSubject([...request.subject]);
  certificate.setIssuer([...issuer.subject]);
  certificate.setExtensions([...request.extensions]);
  certificate.sign(issuer.key, forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate).replaceAll("\r\n", "\n");
}

/** An authority's own certificate: it signs certificates and revocation lists, and no other authorities. */
export const signAuthority = (
  subject: Subject,
  publicKey: forge.pki.PublicKey,
  validity: Validity,
  key: forge.pki.rsa.PrivateKey,
  serial: string,
): string =>
  sign(
    {
      subject,
      publicKey,
      validity,
      extensions: [
        { name: "basicConstraints", cA: true, pathLenConstraint: 0, critical: true },
        { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
        { name: "subjectKeyIdentifier" },
      ],
    },
    serial,
    { subject, key },
  );

export interface LeafRequest {
  kind: "server" | "client";
  subject: Subject;
  names: readonly AlternativeName[];
  publicKey: forge.pki.PublicKey;
  validity: Validity;
}

/** A server's or client's certificate, good for that one use. Returns it as PEM. */
export const signLeaf = (request: LeafRequest, serial: string, issuer: Issuer): string =>
  sign(
    {
      ...request,
      extensions: [
        { name: "basicConstraints", cA: false, critical: true },
        {
          name: "keyUsage",
          digitalSignature: true,
          // For TLS 1.2's RSA key exchange, which only servers take part in with their key.
          keyEncipherment: request.kind === "server",
          critical: true,
        },
        request.kind === "server"
          ? { name: "extKeyUsage", serverAuth: true }
          : { name: "extKeyUsage", clientAuth: true },
        { name: "subjectKeyIdentifier" },
        { name: "authorityKeyIdentifier", keyIdentifier: issuer.keyIdentifier },
        ...altNames(request.names),
      ],
    },
    serial,
    issuer,
  );
