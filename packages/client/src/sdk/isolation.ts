// The SDK's view of isolation: what was done to the kernel for a container, and whether it still holds.
import type {
  ConfigurationAudit,
  ContainerCreateRequest,
  Explanation,
  NamespaceReport,
  Verification,
} from "@tsd/daemon/api";
import type { OciBundle } from "@tsd/daemon/api/oci-config";
import type { Channel } from "./channel.ts";
import { withQuery } from "./query.ts";

const path = (id: string, rest: string): string => `/tsd/containers/${encodeURIComponent(id)}${rest}`;

export class Isolation {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** The plan that a container's present life was started with, or that its next start would have. */
  explain(id: string): Promise<Explanation> {
    return this.#channel.json({ path: path(id, "/explain") });
  }

  /** The plan of a container that would be created and started so. Nothing is made. */
  explainRun(request: ContainerCreateRequest, name?: string | undefined): Promise<Explanation> {
    return this.#channel.json({
      method: "POST",
      path: withQuery("/tsd/explain", { name }),
      body: request,
    });
  }

  /** A container as a bundle for an OCI runtime. */
  bundle(id: string): Promise<OciBundle> {
    return this.#channel.json({ path: path(id, "/spec") });
  }

  /** The bundle of a container that would be created so. Nothing is made. */
  bundleRun(request: ContainerCreateRequest, name?: string | undefined): Promise<OciBundle> {
    return this.#channel.json({ method: "POST", path: withQuery("/tsd/spec", { name }), body: request });
  }

  /** Compares the live kernel with the plan of a container's present life. */
  verify(id: string): Promise<Verification> {
    return this.#channel.json({ path: path(id, "/verify") });
  }

  /** Which namespaces a running container and its processes are in, and who shares them; of all without an id. */
  namespaces(id?: string | undefined): Promise<NamespaceReport> {
    return this.#channel.json({ path: id === undefined ? "/tsd/namespaces" : path(id, "/namespaces") });
  }

  /** What is weak about the configuration of the engine, its host and every container. */
  auditConfiguration(): Promise<ConfigurationAudit> {
    return this.#channel.json({ path: "/tsd/audit-config" });
  }

  /** As verify, for every running container. */
  verifyAll(): Promise<Verification[]> {
    return this.#channel.json({ path: "/tsd/verify" });
  }
}
