// A volume's contents as a whole: copied into a new volume, sent away as an archive, and put back from one.
import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { ArchiveError, type Archiver } from "@tsd/kernel-bindings";
import { type Caller, everything } from "../access/caller.ts";
import type { ContainerOperations } from "../containers/operations.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import { conflict, EngineError, invalid } from "../errors.ts";
import { passOn } from "../pass-on.ts";
import { checkVolumeUse } from "./limits.ts";
import { withDirectory } from "./places.ts";
import { ANONYMOUS_LABEL, type VolumeRequest } from "./record.ts";
import type { VolumeService } from "./service.ts";
import type { Volume } from "./volume.ts";

export interface ContentsParts {
  volumes: VolumeService;
  archiver: Archiver;
  containers: ContainerService;
  operations: ContainerOperations;
  report: (problem: unknown, what: string) => void;
}

export class VolumeContents {
  readonly #parts: ContentsParts;

  constructor(parts: ContentsParts) {
    this.#parts = parts;
  }

  #runningUsers(volume: Volume): Container[] {
    const { registry } = this.#parts.containers;
    return [...volume.holders].flatMap((id) => registry.look(id, everything) ?? []);
  }

  /** Holds what is mounted on a volume for the time of a work that has the volume's turn. */
  async #mounted<T>(volume: Volume, work: () => Promise<T>): Promise<T> {
    const { volumes } = this.#parts;
    const holder = `work ${randomBytes(4).toString("hex")}`;
    await volumes.mounts.acquireNow(volume, holder);
    try {
      return await work();
    } finally {
      volumes.mounts.release(volume, holder);
    }
  }

  /** Copies a volume into a new one, in a moment in which none of the containers that use it runs. */
  async snapshot(
    volume: Volume,
    asked: { name: string; labels: Record<string, string> | null },
    caller: Caller,
  ): Promise<Volume> {
    const { volumes, archiver, operations } = this.#parts;
    checkVolumeUse(volume, caller);
    const { places } = volumes;
    const copy = await this.#makeNew(
      {
        name: asked.name,
        driver: "local",
        labels: asked.labels ?? labelsWithoutAnonymous(volume),
        // A copy is a volume of its own, whatever was mounted on the other.
        options: volume.record.tree ? volume.record.options : null,
      },
      caller,
    );
    try {
      await volume.exclusively(() =>
        this.#mounted(volume, () =>
          operations.whileFrozen(this.#runningUsers(volume), () =>
            withDirectory(places.data(volume.record), (from) =>
              withDirectory(places.data(copy.record), (to) => archiver.copy(from, to)),
            ),
          ),
        ),
      );
    } catch (error) {
      volumes.settle(reservation(copy));
      volumes.removeUnused(copy.name);
      throw contentsError(error);
    }
    volumes.settle(reservation(copy));
    return copy;
  }

  /** A volume that was not there before, reserved under its name. Throws when it was. */
  async #makeNew(request: VolumeRequest, caller: Caller): Promise<Volume> {
    const { volumes } = this.#parts;
    if (request.name && volumes.look(request.name, everything))
      throw conflict(`volume ${request.name} is already there`);
    const made = await volumes.create(request, caller);
    made.reservations.add(reservation(made));
    return made;
  }

  /** Sends a tar of all that is in a volume, the directory itself first. Containers go on meanwhile. */
  async backup(volume: Volume, caller: Caller, send: (archive: Readable) => Promise<void>): Promise<void> {
    const { volumes, archiver } = this.#parts;
    checkVolumeUse(volume, caller);
    const holder = `work ${randomBytes(4).toString("hex")}`;
    await volumes.mounts.acquire(volume, holder);
    try {
      const packing = await withDirectory(volumes.places.data(volume.record), async (directory) =>
        archiver.pack({ root: directory, directory }, ".", "."),
      );
      await passOn(packing, send);
    } finally {
      volumes.mounts.release(volume, holder);
    }
  }

  /** Replaces all that is in a volume by a tar's contents, at once when the whole of it is there; a volume that is not there
   * is made. */
  async restore(name: string, archive: Readable, caller: Caller): Promise<Volume> {
    const { volumes, archiver } = this.#parts;
    const isNew = !volumes.look(name, everything);
    const volume = await volumes.create({ name, driver: "", options: null, labels: null }, caller);
    const { plan, record } = volume;
    if (plan) throw invalid(`volume ${name} has mount options: what it mounts can't be replaced as a whole`);
    try {
      await volume.exclusively(async () => {
        const refuse = (): void => {
          if (volume.holders.size === 0) return;
          throw conflict(
            `restore ${name}: volume is in use by running containers - [${[...volume.holders].join(", ")}]`,
          );
        };
        refuse();
        await volumes.places.replace(record, "restore", async (directory) => {
          await archiver.unpack({ root: directory, directory }, "/", archive, { top: true });
        });
      });
    } catch (error) {
      if (isNew) volumes.removeUnused(name);
      throw contentsError(error);
    }
    return volume;
  }
}

const reservation = ({ name }: Volume): string => `snapshot ${name}`;

function labelsWithoutAnonymous({ record }: Volume): Record<string, string> | null {
  if (!record.labels) return null;
  const { [ANONYMOUS_LABEL]: _anonymous, ...labels } = record.labels;
  return labels;
}

/** A damaged archive is the request's fault, a full disk is not. */
function contentsError(error: unknown): unknown {
  if (!(error instanceof ArchiveError)) return error;
  return /No space left|Disk quota exceeded/.test(error.message)
    ? new EngineError("system", error.message, { cause: error })
    : invalid(error.message);
}
