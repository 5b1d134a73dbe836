// Builds certificate revocation lists (RFC 5280, chapter 5); node-forge has the ASN.1 and no lists.
import forge from "node-forge";
import { reasonCodes } from "./revocation.ts";
import type { Issuer } from "./x509.ts";

const { asn1 } = forge;
const { Class, Type } = asn1;
type Node = forge.asn1.Asn1;

export interface RevokedCertificate {
  /** Upper-case hex. */
  serial: string;
  at: Date;
  reason: string;
}

export interface ListContent {
  /** Counts up with each list of an authority. */
  number: number;
  thisUpdate: Date;
  nextUpdate: Date;
  revoked: readonly RevokedCertificate[];
}

const SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
const AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
const CRL_NUMBER = "2.5.29.20";
const REASON_CODE = "2.5.29.21";

const node = (type: number, value: string | Node[]): Node =>
  asn1.create(Class.UNIVERSAL, type, Array.isArray(value), value);
const sequence = (...value: Node[]): Node => node(Type.SEQUENCE, value);
const objectIdentifier = (id: string): Node => node(Type.OID, asn1.oidToDer(id).getBytes());
const der = (value: Node): string => asn1.toDer(value).getBytes();
const extension = (id: string, value: Node): Node =>
  sequence(objectIdentifier(id), node(Type.OCTETSTRING, der(value)));

/** Two digits for the year until 2049, four from then on (RFC 5280, 5.1.2.4). */
const time = (date: Date): Node =>
  date.getUTCFullYear() < 2050
    ? node(Type.UTCTIME, asn1.dateToUtcTime(date))
    : node(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date));

const algorithm = (): Node => sequence(objectIdentifier(SHA256_WITH_RSA), node(Type.NULL, ""));

/** "unspecified" is written by writing nothing (RFC 5280, 5.3.1). */
function entry({ serial, at, reason }: RevokedCertificate): Node {
  const code = reasonCodes[reason];
  if (code === undefined) throw new Error(`"${reason}" is no reason for revoking`);
  const number = node(Type.INTEGER, forge.util.hexToBytes(serial));
  return code === 0
    ? sequence(number, time(at))
    : sequence(
        number,
        time(at),
        sequence(extension(REASON_CODE, node(Type.ENUMERATED, String.fromCharCode(code)))),
      );
}

/** Makes and signs a list. Returns it as PEM. Throws for a reason that RFC 5280 does not know. */
export function signRevocationList(content: ListContent, issuer: Issuer): string {
  const keyIdentifier = asn1.create(Class.CONTEXT_SPECIFIC, 0, false, issuer.keyIdentifier);
  const number = node(Type.INTEGER, asn1.integerToDer(content.number).getBytes());
  const signed = sequence(
    node(Type.INTEGER, "\x01"),
    algorithm(),
    forge.pki.distinguishedNameToAsn1({ attributes: issuer.subject }),
    time(content.thisUpdate),
    time(content.nextUpdate),
    // An empty list of revoked certificates must be absent.
    ...(content.revoked.length > 0 ? [sequence(...content.revoked.map(entry))] : []),
    asn1.create(Class.CONTEXT_SPECIFIC, 0, true, [
      sequence(extension(AUTHORITY_KEY_IDENTIFIER, sequence(keyIdentifier)), extension(CRL_NUMBER, number)),
    ]),
  );
  const digest = forge.md.sha256.create();
  digest.update(der(signed));
  const list = sequence(signed, algorithm(), node(Type.BITSTRING, `\0${issuer.key.sign(digest)}`));
  const base64 = Buffer.from(der(list), "latin1").toString("base64");
  return `-----BEGIN X509 CRL-----\n${base64.replace(/(.{64})(?=.)/g, "$1\n")}\n-----END X509 CRL-----\n`;
}
