// Volumes: directories below the data root, each by its name.
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { VolumePlace } from "./containers/create.ts";
import { notFound } from "./errors.ts";
import type { EventSink } from "./events/event.ts";

export class LocalVolumes implements VolumePlace {
  readonly #root: string;
  readonly #events: EventSink;

  constructor(root: string, events: EventSink) {
    this.#root = root;
    this.#events = events;
  }

  async ensure(name: string): Promise<string> {
    const directory = join(this.#root, name, "_data");
    const made = await mkdir(directory, { recursive: true, mode: 0o755 });
    if (made)
      this.#events.publish({
        Type: "volume",
        Action: "create",
        Actor: { ID: name, Attributes: { driver: "local" } },
      });
    return directory;
  }

  /** Removes a volume that nothing uses. */
  async discard(name: string): Promise<void> {
    await rm(join(this.#root, name), { recursive: true, force: true });
  }

  async list(): Promise<object[]> {
    return Promise.all((await readdir(this.#root)).map((name) => this.inspect(name)));
  }

  /** Throws not-found with Docker's words. */
  async inspect(name: string): Promise<object> {
    const Mountpoint = join(this.#root, name, "_data");
    const there = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)
      ? await stat(Mountpoint).catch(() => undefined)
      : undefined;
    if (!there) throw notFound(`get ${name}: no such volume`);
    return {
      CreatedAt: there.birthtime.toISOString().replace(/\.\d+Z$/, "Z"),
      Driver: "local",
      Labels: null,
      Mountpoint,
      Name: name,
      Options: null,
      Scope: "local",
    };
  }
}
