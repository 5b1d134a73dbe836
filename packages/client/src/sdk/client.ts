// A typed client of the engine's API.
import type { DiskUsage, EventMessage, SystemInfo, SystemVersion } from "@tsd/daemon/api";
import { Audit } from "./audit.ts";
import { Chains } from "./chains.ts";
import { Channel } from "./channel.ts";
import type { Endpoint } from "./connect.ts";
import { Containers } from "./containers.ts";
import { type ConnectionSettings, resolveConnection } from "./environment.ts";
import { Execs } from "./execs.ts";
import { Images } from "./images.ts";
import { Isolation } from "./isolation.ts";
import { Networks } from "./networks.ts";
import type { ClientOptions } from "./options.ts";
import { Policies } from "./policies.ts";
import { withQuery } from "./query.ts";
import { Roles } from "./roles.ts";
import { Volumes } from "./volumes.ts";

/** An engine. Every call rejects with ApiError where the engine refuses, and with ConnectionError where it is not to be
 * reached. */
export class TsdClient {
  readonly #channel: Channel;
  readonly containers: Containers;
  readonly execs: Execs;
  readonly images: Images;
  readonly networks: Networks;
  readonly volumes: Volumes;
  readonly policies: Policies;
  readonly chains: Chains;
  readonly isolation: Isolation;
  readonly audit: Audit;
  readonly roles: Roles;

  /** Nothing is sent before the first call. Throws for a host that is none; with a function, the options are found out,
   * and refused, at the first call. */
  constructor(options: ClientOptions | (() => Promise<ClientOptions>)) {
    const channel = new Channel(options);
    this.#channel = channel;
    this.containers = new Containers(channel);
    this.execs = new Execs(channel);
    this.images = new Images(channel);
    this.networks = new Networks(channel);
    this.volumes = new Volumes(channel);
    this.policies = new Policies(channel);
    this.chains = new Chains(channel);
    this.isolation = new Isolation(channel);
    this.audit = new Audit(channel);
    this.roles = new Roles(channel);
  }

  /** The engine that tsctl would use with the same environment, without flags: TSD_HOST or DOCKER_HOST, TSD_CONTEXT or
   * DOCKER_CONTEXT, the current context, the socket of this machine. */
  static fromEnvironment(
    options: Pick<ClientOptions, "timeout" | "keepAlive"> & ConnectionSettings = {},
  ): TsdClient {
    const { timeout, keepAlive, ...settings } = options;
    return new TsdClient(async () => ({ ...(await resolveConnection(settings)), timeout, keepAlive }));
  }

  /** Where calls go, and how. */
  endpoint(): Promise<Endpoint> {
    return this.#channel.endpoint();
  }

  /** Whether the engine answers. */
  ping(): Promise<void> {
    return this.#channel.done({ path: "/_ping" });
  }

  /** The engine's version. */
  version(): Promise<SystemVersion> {
    return this.#channel.json({ path: "/version" });
  }

  /** The engine's state and settings. */
  info(): Promise<SystemInfo> {
    return this.#channel.json({ path: "/info" });
  }

  /** Checks credentials for a registry; throws an ApiError with status 401 when it does not take them. */
  login(credentials: {
    username?: string;
    password?: string;
    identitytoken?: string;
    serveraddress: string;
  }): Promise<{ Status: string; IdentityToken: string }> {
    return this.#channel.json({ method: "POST", path: "/auth", body: credentials });
  }

  /** What images, containers and volumes take on disk. */
  diskUsage(): Promise<DiskUsage> {
    return this.#channel.json({ path: "/system/df" });
  }

  /** What happens, as it happens; with `since` what happened before that too, with `until` only as long.
   * `filters` is JSON, such as {"type":["container"]}. */
  events(
    query: { since?: string | undefined; until?: string | undefined; filters?: string | undefined } = {},
  ): AsyncGenerator<EventMessage> {
    return this.#channel.lines<EventMessage>({ path: withQuery("/events", query) });
  }

  /** Ends the daemon, and its containers if asked to. */
  shutdown(stopContainers: boolean): Promise<void> {
    return this.#channel.done({
      method: "POST",
      path: withQuery("/tsd/shutdown", { "stop-containers": stopContainers }),
    });
  }

  /** Closes connections that are kept open. The client can still be used. */
  close(): void {
    this.#channel.close();
  }
}
