// The SDK's volumes.
import type { Readable } from "node:stream";
import type { VolumeCreateRequest, VolumeInspect } from "@tsd/daemon/api";
import type { Channel } from "./channel.ts";
import { withQuery } from "./query.ts";

const path = (name: string): string => `/volumes/${encodeURIComponent(name)}`;

/** Volumes, by name. */
export class Volumes {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Lists volumes. `filters` is JSON, such as {"dangling":["true"]}. */
  async list(query: { filters?: string } = {}): Promise<VolumeInspect[]> {
    const { Volumes: found } = await this.#channel.json<{ Volumes: VolumeInspect[] | null }>({
      path: withQuery("/volumes", query),
    });
    return found ?? [];
  }

  inspect(name: string): Promise<VolumeInspect> {
    return this.#channel.json({ path: path(name) });
  }

  /** Makes a volume; one of that name that is there already is left as it is. */
  create(request: VolumeCreateRequest = {}): Promise<VolumeInspect> {
    return this.#channel.json({ method: "POST", path: "/volumes/create", body: request });
  }

  /** Removes a volume that no container has; with `force` it need not be there. */
  remove(name: string, query: { force?: boolean } = {}): Promise<void> {
    return this.#channel.done({ method: "DELETE", path: withQuery(path(name), query) });
  }

  /** Removes volumes that no container has: those without a name, with the filter `all` others too. */
  prune(filters?: string): Promise<{ VolumesDeleted: string[] | null; SpaceReclaimed: number }> {
    return this.#channel.json({ method: "POST", path: withQuery("/volumes/prune", { filters }) });
  }

  /** Copies a volume into a new one while the containers that use it stand still for a moment. Labels that are not given are
   * the volume's. */
  snapshot(
    name: string,
    request: { Name?: string; Labels?: Record<string, string> } = {},
  ): Promise<VolumeInspect> {
    return this.#channel.json({ method: "POST", path: `/tsd${path(name)}/snapshot`, body: request });
  }

  /** A tar of all that is in a volume. */
  async backup(name: string): Promise<Readable> {
    return (await this.#channel.send({ path: `/tsd${path(name)}/archive` })).body;
  }

  /** Replaces all that is in a volume by a tar's contents, once the whole of it has come; makes the volume if need be. */
  restore(name: string, archive: Readable): Promise<VolumeInspect> {
    return this.#channel.json({ method: "PUT", path: `/tsd${path(name)}/archive`, stream: archive });
  }
}
