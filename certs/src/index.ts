// What others import: the authority's functions, and the command line.
export { type Access, type CrlResult, defaultDirectory } from "./authority.ts";
export type { CertificateKind, IssuedCertificate } from "./certificate-index.ts";
export { type CommandIo, run } from "./command.ts";
export { CertificatesError, UsageError } from "./errors.ts";
export { type InitOptions, type InitResult, initAuthority } from "./init.ts";
export {
  type ListedCertificate,
  type ListOptions,
  type ListResult,
  listCertificates,
  type VerifiedCertificate,
  type VerifyOptions,
  verifyCertificates,
} from "./inspect.ts";
export {
  type ClientOptions,
  type IssueResult,
  issueClient,
  issueServer,
  type RenewOptions,
  type RenewResult,
  renew,
  renewAuthority,
  type ServerOptions,
} from "./issue.ts";
export { ROLE_PREFIX } from "./names.ts";
export { normalSerial, type RevocationList, readRevocationList } from "./revocation.ts";
export {
  type RevocationReason,
  type RevokeOptions,
  type RevokeResult,
  refreshCrl,
  revocationReasons,
  revoke,
} from "./revoke.ts";
export { processIo } from "./terminal.ts";
