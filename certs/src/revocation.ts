// Reads certificate revocation lists (RFC 5280, chapter 5). The daemon loads this alone, so it takes nothing but ASN.1.
import type { asn1 as Asn1Module } from "node-forge";
import asn1 from "node-forge/lib/asn1.js";

type Node = Asn1Module.Asn1;

export interface RevocationList {
  /** Who revokes, as "CN=name, OU=unit", in the certificate's order. */
  issuer: string;
  thisUpdate: Date;
  /** When the next list is due; OpenSSL refuses every peer from then on. */
  nextUpdate: Date | undefined;
  /** As `normalSerial` gives them. */
  serials: ReadonlySet<string>;
  /** Serial to the reason's RFC 5280 name; "unspecified" where the list gives none. */
  reasons: ReadonlyMap<string, string>;
}

/** RFC 5280, 5.3.1: the code of each reason for revoking. */
export const reasonCodes: Readonly<Record<string, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
};
const reasonNames = new Map(Object.entries(reasonCodes).map(([name, code]) => [code, name]));

const REASON_CODE = "2.5.29.21";
/** Extensions that change nothing about which serials are revoked; any other critical one does or may. */
const harmless = new Set(["2.5.29.20", REASON_CODE, "2.5.29.24", "2.5.29.28", "2.5.29.35"]);

const attributeNames: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.5": "serialNumber",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "0.9.2342.19200300.100.1.1": "UID",
  "0.9.2342.19200300.100.1.25": "DC",
  "1.2.840.113549.1.9.1": "emailAddress",
};

/** A serial number in upper-case hex without leading zeros, whatever form it came in ("0x", "01:AB"). Throws for what is none. */
export function normalSerial(text: string): string {
  const match = /^(-?)(?:0x)?([0-9a-f]+)$/i.exec(text.replace(/[:\s]/g, ""));
  if (!match?.[2]) throw new Error(`"${text}" is no serial number: hexadecimal digits are`);
  const digits = match[2].toUpperCase().replace(/^0+(?=.)/, "");
  return digits === "0" ? digits : `${match[1]}${digits}`;
}

const { Class, Type } = asn1;
const isUniversal = (node: Node | undefined, type: number): boolean =>
  node !== undefined && node.tagClass === Class.UNIVERSAL && node.type === type;

function children(node: Node | undefined, type: number, what: string): Node[] {
  if (!node || !isUniversal(node, type) || !Array.isArray(node.value))
    throw new Error(`the ${what} is missing or no ${type === Type.SET ? "set" : "sequence"}`);
  return node.value;
}

function bytes(node: Node | undefined, what: string, ...types: number[]): string {
  if (!node || typeof node.value !== "string" || !types.some((type) => isUniversal(node, type)))
    throw new Error(`the ${what} is missing or of the wrong type`);
  return node.value;
}

/** RFC 5280 allows only these two forms: seconds, and Z. */
function readTime(node: Node | undefined, what: string): Date {
  const text = bytes(node, what, Type.UTCTIME, Type.GENERALIZEDTIME);
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  const short = isUniversal(node, Type.UTCTIME);
  const [, year = "", month, day, hour, minute, second] = match ?? [];
  if (year.length !== (short ? 2 : 4)) throw new Error(`the ${what} "${text}" is no time`);
  const century = short ? (Number(year) >= 50 ? "19" : "20") : "";
  const date = new Date(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(date.getTime())) throw new Error(`the ${what} "${text}" is no time`);
  return date;
}

function readSerial(node: Node | undefined): string {
  const content = bytes(node, "serial number", Type.INTEGER);
  if (content.length === 0) throw new Error("a serial number is empty");
  const value = BigInt(`0x${Buffer.from(content, "latin1").toString("hex")}`);
  // A set first bit makes it negative: wrong, but Node and OpenSSL read such certificates too.
  const signed = content.charCodeAt(0) & 0x80 ? BigInt.asIntN(content.length * 8, value) : value;
  return normalSerial(signed.toString(16));
}

function readText(node: Node | undefined): string {
  if (!node || typeof node.value !== "string") throw new Error("a part of the issuer's name is no text");
  const raw = Buffer.from(node.value, "latin1");
  if (node.type === Type.UTF8) return raw.toString("utf8");
  if (node.type === Type.BMPSTRING && raw.length % 2 === 0) return raw.swap16().toString("utf16le");
  return raw.toString("latin1");
}

const readName = (node: Node | undefined): string =>
  children(node, Type.SEQUENCE, "issuer")
    .flatMap((part) => children(part, Type.SET, "issuer's part"))
    .map((attribute) => {
      const [type, value] = children(attribute, Type.SEQUENCE, "issuer's attribute");
      const id = asn1.derToOid(bytes(type, "issuer's attribute type", Type.OID));
      return `${attributeNames[id] ?? id}=${readText(value)}`;
    })
    .join(", ");

/** Extensions by identifier; throws for a critical one that could change what the list means. */
function readExtensions(node: Node | undefined, whose: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const extension of children(node, Type.SEQUENCE, `${whose} extensions`)) {
    const [type, ...rest] = children(extension, Type.SEQUENCE, `${whose} extension`);
    const id = asn1.derToOid(bytes(type, `${whose} extension type`, Type.OID));
    const critical = isUniversal(rest[0], Type.BOOLEAN) && bytes(rest.shift(), "flag", Type.BOOLEAN) !== "\0";
    if (critical && !harmless.has(id))
      throw new Error(
        `${whose} critical extension ${id} is not understood (delta and indirect lists are not)`,
      );
    found.set(id, bytes(rest[0], `${whose} extension ${id}`, Type.OCTETSTRING));
  }
  return found;
}

function readReason(node: Node | undefined): string {
  const encoded = node && readExtensions(node, "an entry's").get(REASON_CODE);
  if (encoded === undefined) return "unspecified";
  const code = bytes(asn1.fromDer(encoded), "reason", Type.ENUMERATED).charCodeAt(0);
  return reasonNames.get(code) ?? `reason ${code}`;
}

function readList(der: Buffer): RevocationList {
  const [signed, algorithm, signature] = children(
    asn1.fromDer(der.toString("latin1")),
    Type.SEQUENCE,
    "certificate list",
  );
  children(algorithm, Type.SEQUENCE, "signature's algorithm");
  if (!isUniversal(signature, Type.BITSTRING)) throw new Error("the signature is missing");
  const fields = [...children(signed, Type.SEQUENCE, "signed part")];
  if (isUniversal(fields[0], Type.INTEGER)) {
    const version = bytes(fields.shift(), "version", Type.INTEGER);
    if (version !== "\x01") throw new Error(`version ${version.charCodeAt(0) + 1} is not 2`);
  }
  children(fields.shift(), Type.SEQUENCE, "algorithm");
  const issuer = readName(fields.shift());
  const thisUpdate = readTime(fields.shift(), "time of this update");
  const isTime = isUniversal(fields[0], Type.UTCTIME) || isUniversal(fields[0], Type.GENERALIZEDTIME);
  const nextUpdate = isTime ? readTime(fields.shift(), "time of the next update") : undefined;
  const reasons = new Map<string, string>();
  if (isUniversal(fields[0], Type.SEQUENCE))
    for (const entry of children(fields.shift(), Type.SEQUENCE, "revoked certificates")) {
      const [serial, at, extensions] = children(entry, Type.SEQUENCE, "revoked certificate");
      readTime(at, "time of revocation");
      reasons.set(readSerial(serial), readReason(extensions));
    }
  const last = fields.shift();
  if (last) {
    if (last.tagClass !== Class.CONTEXT_SPECIFIC || last.type !== 0 || !Array.isArray(last.value))
      throw new Error("something other than extensions follows the revoked certificates");
    readExtensions(last.value[0], "the list's");
  }
  return { issuer, thisUpdate, nextUpdate, serials: new Set(reasons.keys()), reasons };
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Reads every "X509 CRL" block of a PEM text; other blocks are passed over. Signatures are not checked: OpenSSL does that
 * when the list is used. Throws an Error that names the block and what is wrong with it.
 */
export function readRevocationList(pem: string): RevocationList[] {
  const begun = pem.split("-----BEGIN X509 CRL-----").length - 1;
  const blocks = [...pem.matchAll(/-----BEGIN X509 CRL-----([^-]*)-----END X509 CRL-----/g)];
  if (begun === 0) throw new Error('no revocation list: there is no "X509 CRL" PEM block');
  if (blocks.length !== begun)
    throw new Error(`revocation list: ${begun - blocks.length} of ${begun} PEM blocks have no end`);
  return blocks.map(([, body = ""], index) => {
    const where = `revocation list ${index + 1} of ${begun}`;
    if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(body)) throw new Error(`${where}: its PEM block is not base64`);
    try {
      return readList(Buffer.from(body, "base64"));
    } catch (error) {
      throw new Error(`${where}: ${message(error)}`, { cause: error });
    }
  });
}
