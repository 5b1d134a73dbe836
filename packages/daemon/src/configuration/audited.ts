// The settings that an audit of the configuration looks at.
import type { Settings } from "./settings.ts";

const isLoopback = (host: string): boolean => /^(127\.|::1$|localhost$|\[::1\])/.test(host);

/** In the auditor's words. */
export const auditedSettings = (settings: Settings) => ({
  sockets: settings.hosts.flatMap((endpoint) => (endpoint.kind === "unix" ? [endpoint.path] : [])),
  socketGroup: settings.socket.group,
  tcp: settings.hosts.flatMap((endpoint) =>
    endpoint.kind === "tcp"
      ? [{ address: `tcp://${endpoint.host}:${endpoint.port}`, loopback: isLoopback(endpoint.host) }]
      : [],
  ),
  tls: settings.tls,
  allowUnauthenticatedTcp: settings.allowUnauthenticatedTcp,
  anonymousPing: settings.anonymousPing,
  requestsPerSecond: settings.limits.requestsPerSecond,
  rolesFile: settings.rolesFile,
  auditKey: settings.auditKey,
  dataRoot: settings.dataRoot,
  execRoot: settings.execRoot,
  logLevel: settings.logLevel,
  iptables: settings.iptables,
  icc: settings.icc,
  insecureRegistries: settings.registries.insecure,
  imagePolicy: settings.imagePolicy,
  defaultPids: settings.defaults.pids,
  defaultUlimits: settings.defaults.ulimits.map(({ Name }) => Name),
  defaultLayerSize: settings.storage.defaultSize,
  verifyInterval: settings.isolation.verifyInterval,
  defence: settings.isolation.defence,
});
