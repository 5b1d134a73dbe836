// The SDK: what automation imports to drive an engine (docs/sdk.md).
export type { AuditCheckpoint, AuditQuery, AuditRecord } from "./audit.ts";
export type { ChainCreate, ChainView } from "./chains.ts";
export type { AttachedStream } from "./channel.ts";
export { TsdClient } from "./client.ts";
export type { AttachOptions, LogsOptions, StopOptions } from "./containers.ts";
export type { ConnectionSettings } from "./environment.ts";
export { ApiError, type CertificateKind, ConnectionError } from "./errors.ts";
export type { ImageExamination, ProgressLine, SearchResult } from "./images.ts";
export { copy, demultiplex } from "./multiplex.ts";
export type { ClientOptions, TlsOptions } from "./options.ts";
export type { Policy, PolicyGraph, PolicyRule, PolicyView } from "./policies.ts";
export type { Identity } from "./roles.ts";
export { type Answer, collect } from "./transport.ts";
