// The volumes there are: made, found, filled, used, removed.
import { randomBytes } from "node:crypto";
import type { Archiver } from "@tsd/kernel-bindings";
import { type Caller, denied, type Sight } from "../access/caller.ts";
import type { Filters } from "../containers/list.ts";
import { conflict, EngineError, invalid, notFound } from "../errors.ts";
import type { EventSink } from "../events/event.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import { now } from "../timestamps.ts";
import { fillVolume } from "./fill.ts";
import { prunableVolumes, selectVolumes } from "./filters.ts";
import { checkVolumeOptions, checkVolumeUse } from "./limits.ts";
import { VolumeMounts } from "./mounts.ts";
import { checkDriver, checkDriverOptions, checkVolumeName, requestedLimit } from "./options.ts";
import { VolumePlaces } from "./places.ts";
import { ANONYMOUS_LABEL, type VolumeRecord, type VolumeRequest, type VolumeStore } from "./record.ts";
import { type VolumeView, volumeView } from "./view.ts";
import { Volume } from "./volume.ts";

export interface VolumeParts {
  /** Where volumes have their directories. */
  root: string;
  store: VolumeStore;
  trees: WritableLayers;
  archiver: Archiver;
  events: EventSink;
  report: (problem: unknown, what: string) => void;
}

/** RFC 3339 without fractions of seconds, as dockerd has it here. */
const wholeSeconds = (time: string): string => time.replace(/\.\d+Z$/, "Z");

export class VolumeService {
  readonly places: VolumePlaces;
  readonly mounts: VolumeMounts;
  readonly #parts: VolumeParts;
  readonly #volumes = new Map<string, Volume>();
  /** Volumes that are being made, by name. */
  readonly #making = new Map<string, Promise<Volume>>();
  /** Ids of the containers that have a volume among their mounts, whether they run or not. */
  usersOf: (name: string) => string[] = () => [];

  constructor(parts: VolumeParts) {
    this.#parts = parts;
    this.places = new VolumePlaces(parts.root, parts.trees, parts.report);
    this.mounts = new VolumeMounts(this.places, parts.report);
  }

  /** Takes up what an earlier daemon left, once its trees are known. */
  async open(): Promise<void> {
    const { store, trees, report } = this.#parts;
    for (const record of store.all()) {
      // It died while it made the volume, or while it removed it.
      if (!this.places.isThere(record)) {
        this.places.discard(record);
        store.delete(record.name);
        continue;
      }
      const created = record.created || wholeSeconds(this.places.created(record.name));
      this.#volumes.set(record.name, new Volume({ ...record, created }));
    }
    for (const name of this.places.names()) if (!this.#volumes.has(name)) this.#adopt(name);
    for (const { record } of this.#volumes.values()) {
      try {
        this.places.settle(record);
      } catch (error) {
        report(error, `volume ${record.name}`);
      }
    }
    const known = new Set([...this.#volumes.values()].map(({ record }) => record.tree));
    for (const tree of trees.otherTrees()) if (!known.has(tree)) trees.discard(tree);
    await this.places.sweep();
  }

  /** A directory of before there were records. */
  #adopt(name: string): void {
    const record: VolumeRecord = {
      name,
      owner: "",
      created: wholeSeconds(this.places.created(name)),
      labels: null,
      options: null,
      tree: "",
      confined: "",
    };
    this.#parts.store.insert(record);
    this.#volumes.set(name, new Volume(record));
  }

  all(): Volume[] {
    return [...this.#volumes.values()];
  }

  seenBy(sight: Sight): Volume[] {
    return this.all().filter(({ owner }) => sight.sees(owner));
  }

  look(name: string, sight: Sight): Volume | undefined {
    const volume = this.#volumes.get(name);
    return volume && sight.sees(volume.owner) ? volume : undefined;
  }

  /** Throws not-found with Docker's words. */
  find(name: string, sight: Sight): Volume {
    const volume = this.look(name, sight);
    if (!volume) throw notFound(`get ${name}: no such volume`);
    return volume;
  }

  view(volume: Volume): VolumeView {
    return volumeView(volume, this.places.mountPoint(volume.name));
  }

  list(sight: Sight, filters: Filters = new Map()): VolumeView[] {
    return selectVolumes(this.seenBy(sight), filters, (volume) => this.#isUsed(volume)).map((volume) =>
      this.view(volume),
    );
  }

  announce(volume: Volume, action: string, attributes: Record<string, string> = {}): void {
    this.#parts.events.publish({
      Type: "volume",
      Action: action,
      Actor: { ID: volume.name, Attributes: { driver: "local", ...attributes } },
      owner: volume.owner,
    });
  }

  /** The one of that name, if it is there. Throws for somebody else's. */
  #existing(name: string, caller: Caller): Volume | undefined {
    const there = this.#volumes.get(name);
    if (there && !caller.sees(there.owner))
      throw denied(caller, `to use volume ${name}, which is somebody else's`);
    return there;
  }

  /** What a request asks for by name; a name of its own where it gives none. */
  #named(request: VolumeRequest): VolumeRequest {
    const name = request.name || randomBytes(32).toString("hex");
    checkDriver(name, request.driver);
    checkVolumeName(name);
    const labels = request.name ? request.labels : { ...request.labels, [ANONYMOUS_LABEL]: "" };
    return { ...request, name, labels };
  }

  /** The volume that `reserve` would give: nothing is made or held. */
  async rehearse(request: VolumeRequest, caller: Caller): Promise<Volume> {
    const named = this.#named(request);
    const there = this.#existing(named.name, caller);
    if (there) checkVolumeUse(there, caller);
    return there ?? new Volume((await this.#judge(named, caller)).record);
  }

  /** The volume of that name, made as asked if it is not there. Throws for somebody else's. */
  async create(request: VolumeRequest, caller: Caller): Promise<Volume> {
    const named = this.#named(request);
    const { name } = named;
    const begun = this.#making.get(name);
    if (begun) {
      await begun.catch(() => undefined); // whoever began it is told
      return this.create({ ...request, name }, caller);
    }
    const there = this.#existing(name, caller);
    if (there) return there;
    const making = this.#make(named, caller);
    this.#making.set(name, making);
    try {
      return await making;
    } finally {
      this.#making.delete(name);
    }
  }

  /** The record of a volume that is to be made; throws if it may not be. */
  async #judge(
    { name, options, labels }: VolumeRequest,
    caller: Caller,
  ): Promise<{ record: VolumeRecord; limit: number | undefined }> {
    const { trees } = this.#parts;
    checkDriverOptions(name, options);
    const confined = await checkVolumeOptions(name, options, caller);
    const limit = requestedLimit(options);
    if (limit !== undefined && !trees.hasRoomFor(limit))
      throw invalid(`create ${name}: quota size requested but no quota support`);
    const record: VolumeRecord = {
      name,
      owner: caller.id,
      created: wholeSeconds(now()),
      labels,
      options,
      tree: limit === undefined ? "" : `v-${randomBytes(16).toString("hex")}`,
      confined,
    };
    return { record, limit };
  }

  async #make(request: VolumeRequest, caller: Caller): Promise<Volume> {
    const { store } = this.#parts;
    const { record, limit } = await this.#judge(request, caller);
    const { name } = record;
    // Known before it is there: what a death leaves in between is found by its record.
    store.insert(record);
    try {
      await this.places.make(record, limit ?? 0);
    } catch (error) {
      this.places.discard(record);
      store.delete(name);
      throw error instanceof EngineError
        ? error
        : new EngineError("system", `create ${name}: ${(error as Error).message}`, { cause: error });
    }
    const volume = new Volume(record);
    this.#volumes.set(name, volume);
    this.announce(volume, "create");
    return volume;
  }

  /** A volume for a container that is being created: it stays until the container is there, or is not to be (`settle`). */
  async reserve(request: VolumeRequest, caller: Caller, id: string): Promise<Volume> {
    for (;;) {
      const volume = await this.create(request, caller);
      // Removed in this very moment.
      if (this.#volumes.get(volume.name) !== volume) continue;
      checkVolumeUse(volume, caller);
      volume.reservations.add(id);
      return volume;
    }
  }

  /** Ends the reservations of a container. */
  settle(id: string): void {
    for (const volume of this.#volumes.values()) volume.reservations.delete(id);
  }

  fill(volume: Volume, layers: readonly string[], target: string, subpath: string): Promise<void> {
    return fillVolume(
      { places: this.places, mounts: this.mounts, archiver: this.#parts.archiver },
      volume,
      layers,
      target,
      subpath,
    );
  }

  /** Mounts what a container's volumes need; a promise only when there is something to wait for. */
  use(names: readonly string[], holder: string): Promise<void> | undefined {
    const waiting: Promise<void>[] = [];
    for (const name of new Set(names)) {
      const volume = this.#volumes.get(name);
      const wait = volume && this.mounts.acquire(volume, holder);
      if (wait) waiting.push(wait);
    }
    if (waiting.length === 0) return undefined;
    return Promise.allSettled(waiting).then((outcomes) => {
      const failed = outcomes.find((outcome) => outcome.status === "rejected");
      if (!failed) return;
      this.release(names, holder);
      throw failed.reason;
    });
  }

  release(names: readonly string[], holder: string): void {
    for (const name of new Set(names)) {
      const volume = this.#volumes.get(name);
      if (volume) this.mounts.release(volume, holder);
    }
  }

  /** Counts what an earlier daemon's container uses: it has its mounts. */
  takeUp(names: readonly string[], holder: string): void {
    for (const name of names) this.#volumes.get(name)?.holders.add(holder);
  }

  /** Takes away what is mounted for nobody. */
  async unmountStrays(): Promise<void> {
    for (const volume of this.all())
      await volume
        .exclusively(() => this.mounts.unmountUnused(volume))
        .catch((error) => this.#parts.report(error, `unmounting volume ${volume.name}`));
  }

  #isUsed(volume: Volume): boolean {
    return volume.holders.size > 0 || volume.reservations.size > 0 || this.usersOf(volume.name).length > 0;
  }

  /** Throws when something uses it. */
  remove(volume: Volume): void {
    if (this.#isUsed(volume) || volume.busy) {
      const users = new Set([...this.usersOf(volume.name), ...volume.reservations, ...volume.holders]);
      throw conflict(`remove ${volume.name}: volume is in use - [${[...users].join(", ")}]`);
    }
    // Its files would be deleted with it, and they are somebody else's.
    if (this.mounts.isMounted(volume))
      throw conflict(`remove ${volume.name}: something is still mounted on the volume`);
    this.#volumes.delete(volume.name);
    try {
      this.places.discard(volume.record);
    } catch (error) {
      this.#volumes.set(volume.name, volume);
      throw error;
    }
    this.#parts.store.delete(volume.name);
    this.announce(volume, "destroy");
  }

  /** Removes a volume if it is there and nothing uses it. */
  removeUnused(name: string): void {
    const volume = this.#volumes.get(name);
    if (!volume || this.#isUsed(volume)) return;
    if (!volume.busy && !this.mounts.isMounted(volume)) this.remove(volume);
    // What its last user had mounted is being taken away.
    else
      void volume
        .exclusively(async () => undefined)
        .then(() => {
          if (this.#volumes.get(name) === volume) this.#removeQuietly(volume);
        });
  }

  #removeQuietly(volume: Volume): void {
    try {
      if (!this.#isUsed(volume)) this.remove(volume);
    } catch (error) {
      this.#parts.report(error, `removing volume ${volume.name}`);
    }
  }

  /** Resolves when nothing is being done to any volume. */
  async quiet(): Promise<void> {
    await Promise.all(this.all().map((volume) => volume.exclusively(async () => undefined)));
  }

  async prune(
    filters: Filters,
    minorVersion: number,
    caller: Caller,
    sizeOf: (view: VolumeView) => Promise<number>,
  ): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }> {
    const isUsed = (volume: Volume): boolean => this.#isUsed(volume) || volume.busy;
    const VolumesDeleted: string[] = [];
    let SpaceReclaimed = 0;
    for (const volume of prunableVolumes(this.seenBy(caller), filters, minorVersion, isUsed)) {
      const size = await sizeOf(this.view(volume));
      if (isUsed(volume) || this.#volumes.get(volume.name) !== volume) continue;
      this.remove(volume);
      VolumesDeleted.push(volume.name);
      SpaceReclaimed += Math.max(0, size);
    }
    this.#parts.events.publish({
      Type: "volume",
      Action: "prune",
      Actor: { ID: "", Attributes: { reclaimed: String(SpaceReclaimed) } },
      owner: caller.id,
    });
    return { VolumesDeleted, SpaceReclaimed };
  }
}
