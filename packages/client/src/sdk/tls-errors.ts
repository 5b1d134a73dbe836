// Says which certificate failed, and why: the codes of Node, OpenSSL and TLS alerts, as sentences that name the file.
import { X509Certificate } from "node:crypto";
import { nameOf } from "./credentials.ts";
import { ConnectionError } from "./errors.ts";
import { networkError } from "./network-errors.ts";
import type { TlsOptions } from "./options.ts";

/** What is known of a connection. */
export interface TlsFacts {
  /** The engine, as messages name it. */
  where: string;
  /** The name that the server must have. */
  name: string;
  tls: TlsOptions;
  /** The caller's own certificate, as PEM. */
  own: string | undefined;
  /** The server's certificate, as DER. */
  server: Buffer | undefined;
  /** Whether the handshake was done when it failed. */
  established: boolean;
}

/** "CN=a", or the whole subject where there is no such name. */
const shortName = (name: string): string =>
  /^CN=.*$/m.exec(name)?.[0] ?? (name.split("\n").join(", ") || "without a name");

const describeCertificate = (certificate: X509Certificate): string =>
  `${shortName(certificate.subject)}, issued by ${shortName(certificate.issuer)}`;

const utc = (date: string): string => new Date(date).toISOString().replace(".000Z", "Z");

/** Whether a certificate's time is over, or has not come. */
function outOfTime(certificate: X509Certificate): string | undefined {
  if (Date.parse(certificate.validTo) < Date.now()) return `expired at ${utc(certificate.validTo)}`;
  if (Date.parse(certificate.validFrom) > Date.now())
    return `is not valid before ${utc(certificate.validFrom)}`;
  return undefined;
}

/** The names in a certificate, as "a, b". */
const namesOf = (certificate: X509Certificate): string =>
  (certificate.subjectAltName ?? "")
    .split(", ")
    .map((name) => name.replace(/^(?:DNS|IP Address):/, ""))
    .filter(Boolean)
    .join(", ") || "no name at all";

/** The server's certificate is handed on by its name, and as it is. */
type Sentence = (certificate: string, facts: TlsFacts, server: X509Certificate | undefined) => string;

const authorities = ({ tls }: TlsFacts): string =>
  tls.ca === undefined ? "any authority known here" : `any authority in ${nameOf(tls.ca)}`;
const unsigned: Sentence = (certificate, facts) => `${certificate} is not signed by ${authorities(facts)}`;
const selfSigned: Sentence = (certificate, { tls }) =>
  `${certificate} is self-signed, and ${tls.ca === undefined ? "not known here" : `not in ${nameOf(tls.ca)}`}`;

/** What verification of the server's certificate says. */
const verification: Readonly<Record<string, Sentence>> = {
  CERT_HAS_EXPIRED: (certificate, _, server) => {
    const own = server && outOfTime(server);
    return own
      ? `${certificate} ${own}`
      : `an authority's certificate that ${certificate} depends on has expired`;
  },
  CERT_NOT_YET_VALID: (certificate, _, server) =>
    `${certificate} ${(server && outOfTime(server)) ?? "is not valid yet"}; is this machine's clock right?`,
  DEPTH_ZERO_SELF_SIGNED_CERT: selfSigned,
  SELF_SIGNED_CERT_IN_CHAIN: unsigned,
  UNABLE_TO_GET_ISSUER_CERT: unsigned,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unsigned,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unsigned,
  CERT_UNTRUSTED: unsigned,
  CERT_SIGNATURE_FAILURE: (certificate, facts) =>
    `${certificate} names an authority in ${nameOf(facts.tls.ca)}, but is not signed by that one's key (another authority of the same name?)`,
  ERR_TLS_CERT_ALTNAME_INVALID: (certificate, { name }, server) =>
    `${certificate} is for ${server ? namesOf(server) : "other names"}, not for ${name}`,
  INVALID_PURPOSE: (certificate) =>
    `${certificate} is not for servers: its extended key usage lacks serverAuth`,
  CERT_REVOKED: (certificate) => `${certificate} is revoked`,
};

/** What a TLS alert of the server says of the client's certificate. */
const alerts: readonly (readonly [suffix: RegExp, sentence: string])[] = [
  [/CERTIFICATE_EXPIRED$/, "has expired, says the server"],
  [/CERTIFICATE_REVOKED$/, "is revoked, says the server"],
  [/UNKNOWN_CA$/, "is of an authority that the server does not know"],
  [/UNSUPPORTED_CERTIFICATE$/, "is of a kind that the server does not take (is it for clients?)"],
  [/(?:BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|ACCESS_DENIED|DECRYPT_ERROR)$/, "is refused by the server"],
];

/** A certificate that messages are to describe; undefined where there is none that can be read. */
function parse(certificate: string | Buffer | undefined): X509Certificate | undefined {
  if (certificate === undefined) return undefined;
  try {
    return new X509Certificate(certificate);
  } catch {
    return undefined; // OpenSSL took it all the same: the message does without its details
  }
}

/** "the client certificate /x/cert.pem (CN=alice, issued by CN=ca)". */
function ownName(facts: TlsFacts, own: X509Certificate | undefined): string {
  const shown = own ? ` (${describeCertificate(own)})` : "";
  return `the client certificate ${nameOf(facts.tls.cert)}${shown}`;
}

const noCertificate = "the server asks for a client certificate, and none was given (--tlscert and --tlskey)";

/** The server's refusal of the client's certificate, or of having none; undefined for other codes. */
function clientProblem(code: string, facts: TlsFacts): string | undefined {
  if (!code.includes("_ALERT_")) return undefined;
  const own = parse(facts.own);
  const late = own && outOfTime(own);
  if (facts.own === undefined)
    return /CERTIFICATE_REQUIRED$|BAD_CERTIFICATE$|HANDSHAKE_FAILURE$/.test(code) ? noCertificate : undefined;
  if (/CERTIFICATE_REQUIRED$/.test(code))
    return `${ownName(facts, own)} was not used: it is of none of the authorities that the server asks for`;
  const sentence = alerts.find(([suffix]) => suffix.test(code))?.[1];
  if (!sentence) return undefined;
  return `${ownName(facts, own)} ${late ?? sentence}`;
}

const notTls =
  /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNEXPECTED_MESSAGE$|RECORD_LAYER_FAILURE/;

/** The server hung up. After the handshake that is how many servers refuse a certificate. */
function hungUp(facts: TlsFacts): ConnectionError {
  if (!facts.established)
    return new ConnectionError(
      `Cannot connect to the tsd daemon at ${facts.where}: it closed the connection during the TLS handshake. Does it expect TLS at this port?`,
      { code: "ECONNRESET" },
    );
  const own = parse(facts.own);
  const late = own && outOfTime(own);
  const guess =
    facts.own === undefined
      ? "It may ask for a client certificate, and none was given (--tlscert and --tlskey)"
      : late
        ? `No wonder: ${ownName(facts, own)} ${late}`
        : `It may not accept ${ownName(facts, own)}`;
  return new ConnectionError(`${facts.where} closed the connection without an answer. ${guess}`, {
    code: "ECONNRESET",
    certificate: "client",
  });
}

/** A failed connection, in words. `error` is undefined where the server closed it without any. */
export function explainTls(error: NodeJS.ErrnoException | undefined, facts: TlsFacts): ConnectionError {
  if (error instanceof ConnectionError) return error;
  const code = error?.code ?? "";
  const sentence = verification[code];
  const server = parse(facts.server);
  const named = `the server's certificate${server ? ` (${describeCertificate(server)})` : ""}`;
  if (sentence)
    return new ConnectionError(`${facts.where}: ${sentence(named, facts, server)}`, {
      code,
      certificate: "server",
    });
  const client = clientProblem(code, facts);
  if (client) return new ConnectionError(`${facts.where}: ${client}`, { code, certificate: "client" });
  if (/PROTOCOL_VERSION$|UNSUPPORTED_PROTOCOL/.test(code))
    return new ConnectionError(
      `${facts.where}: the server and this client have no version of TLS in common`,
      {
        code,
      },
    );
  if (!facts.established && (notTls.test(code) || code === "EPROTO"))
    return new ConnectionError(
      `${facts.where}: what listens there does not speak TLS. Leave TLS out, or use its TLS port (usually 2376)`,
      { code },
    );
  if (!error || code === "ECONNRESET" || code === "EPIPE") return hungUp(facts);
  if (!code.startsWith("E") || code.startsWith("ERR_"))
    return new ConnectionError(
      `${facts.where}: TLS failed${server ? ` with ${named}` : ""}: ${error.message}`,
      {
        code: code || undefined,
      },
    );
  return networkError(facts.where, error);
}
