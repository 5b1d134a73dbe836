// The public face of the name server (docs/architecture.md).
export * from "./directory.ts";
export { resolversFor } from "./resolvers.ts";
export { NameServer, type NameServerOptions, type NameStatistics } from "./server.ts";
