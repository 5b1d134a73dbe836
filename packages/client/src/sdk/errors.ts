// The two ways a call fails: the engine said no, or nobody could be reached.

/** The engine's refusal; `message` is its words. */
export class ApiError extends Error {
  /** The HTTP status, such as 404. */
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/** Whose certificate a connection failed for: the server's, the caller's own, or the file of authorities. */
export type CertificateKind = "server" | "client" | "authority";

/** The engine could not be reached, or not with these certificates. */
export class ConnectionError extends Error {
  /** The system's, OpenSSL's or Node's code, such as ECONNREFUSED or CERT_HAS_EXPIRED. */
  readonly code: string | undefined;
  /** Which certificate is at fault, where one is. */
  readonly certificate: CertificateKind | undefined;
  constructor(message: string, details: { code?: string | undefined; certificate?: CertificateKind } = {}) {
    super(message);
    this.name = "ConnectionError";
    this.code = details.code;
    this.certificate = details.certificate;
  }
}
