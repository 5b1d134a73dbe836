// The SDK: what automation imports to drive an engine.
export { type AttachedStream, type AttachOptions, type LogsOptions, TsdClient } from "./client.ts";
export { copy, demultiplex } from "./multiplex.ts";
export { ApiError, ConnectionError, collect } from "./transport.ts";
