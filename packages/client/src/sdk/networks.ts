// The SDK's networks.
import type { EndpointSettings, NetworkCreateRequest, NetworkInspect } from "@tsd/daemon/api";
import type { Channel } from "./channel.ts";
import { withQuery } from "./query.ts";

const path = (name: string, rest = ""): string => `/networks/${encodeURIComponent(name)}${rest}`;

/** Networks, by name, id or the beginning of an id. */
export class Networks {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Lists networks, without who is in them. `filters` is JSON, such as {"driver":["bridge"]}. */
  list(query: { filters?: string } = {}): Promise<NetworkInspect[]> {
    return this.#channel.json({ path: withQuery("/networks", query) });
  }

  /** Everything that is known of a network, and who is in it. */
  inspect(name: string): Promise<NetworkInspect> {
    return this.#channel.json({ path: path(name) });
  }

  /** Makes a network; answers with its id. */
  create(request: NetworkCreateRequest): Promise<{ Id: string; Warning: string }> {
    return this.#channel.json({ method: "POST", path: "/networks/create", body: request });
  }

  /** Removes a network that nobody is in. */
  remove(name: string): Promise<void> {
    return this.#channel.done({ method: "DELETE", path: path(name) });
  }

  /** Puts a container into a network, at once if it runs. */
  connect(name: string, Container: string, EndpointConfig: EndpointSettings = {}): Promise<void> {
    return this.#channel.done({
      method: "POST",
      path: path(name, "/connect"),
      body: { Container, EndpointConfig },
    });
  }

  /** Takes a container out of a network. */
  disconnect(name: string, Container: string, Force = false): Promise<void> {
    return this.#channel.done({
      method: "POST",
      path: path(name, "/disconnect"),
      body: { Container, Force },
    });
  }

  /** Removes networks that nobody is in. */
  prune(filters?: string): Promise<{ NetworksDeleted: string[] | null }> {
    return this.#channel.json({ method: "POST", path: withQuery("/networks/prune", { filters }) });
  }
}
