// Volumes: directories below the data root, each by its name.

import { existsSync } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Caller, denied, type Sight } from "./access/caller.ts";
import type { VolumePlace } from "./containers/create.ts";
import { notFound } from "./errors.ts";
import type { EventSink } from "./events/event.ts";

/** Where it is kept who owns which volume. Every method is synchronous. */
export interface VolumeStore {
  all(): { name: string; owner: string }[];
  insert(name: string, owner: string): void;
  delete(name: string): void;
}

/** A volume as the API shows it. */
export interface VolumeView {
  CreatedAt: string;
  Driver: string;
  Labels: null;
  Mountpoint: string;
  Name: string;
  Owner: string;
  Options: null;
  Scope: string;
}

export class LocalVolumes implements VolumePlace {
  readonly #root: string;
  readonly #events: EventSink;
  readonly #store: VolumeStore;
  readonly #owners: Map<string, string>;

  constructor(root: string, events: EventSink, store: VolumeStore) {
    this.#root = root;
    this.#events = events;
    this.#store = store;
    this.#owners = new Map(store.all().map(({ name, owner }) => [name, owner]));
  }

  /** "" for volumes of before there were owners. */
  #owner(name: string): string {
    return this.#owners.get(name) ?? "";
  }

  async ensure(name: string, caller: Caller): Promise<string> {
    const directory = join(this.#root, name, "_data");
    const there = existsSync(directory);
    if ((there || this.#owners.has(name)) && !caller.sees(this.#owner(name)))
      throw denied(caller, `to use volume ${name}, which is somebody else's`);
    if (there) return directory;
    // Owned before it is there: whoever comes second finds it taken.
    this.#store.insert(name, caller.id);
    this.#owners.set(name, caller.id);
    const made = await mkdir(directory, { recursive: true, mode: 0o755 });
    if (made)
      this.#events.publish({
        Type: "volume",
        Action: "create",
        Actor: { ID: name, Attributes: { driver: "local" } },
        owner: caller.id,
      });
    return directory;
  }

  forget(name: string): void {
    this.#store.delete(name);
    this.#owners.delete(name);
  }

  /** Removes a volume that nothing uses. */
  async discard(name: string): Promise<void> {
    await rm(join(this.#root, name), { recursive: true, force: true });
    this.forget(name);
  }

  async list(sight: Sight): Promise<VolumeView[]> {
    const names = (await readdir(this.#root)).filter((name) => sight.sees(this.#owner(name)));
    return Promise.all(names.map((name) => this.inspect(name, sight)));
  }

  /** Throws not-found with Docker's words. */
  async inspect(name: string, sight: Sight): Promise<VolumeView> {
    const Mountpoint = join(this.#root, name, "_data");
    const there =
      /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) && sight.sees(this.#owner(name))
        ? await stat(Mountpoint).catch(() => undefined)
        : undefined;
    if (!there) throw notFound(`get ${name}: no such volume`);
    return {
      CreatedAt: there.birthtime.toISOString().replace(/\.\d+Z$/, "Z"),
      Driver: "local",
      Labels: null,
      Mountpoint,
      Name: name,
      Owner: this.#owner(name),
      Options: null,
      Scope: "local",
    };
  }
}
