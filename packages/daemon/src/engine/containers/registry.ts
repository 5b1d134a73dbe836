// The containers there are: found by id, prefix or name; each with its runtime side while it runs.
import { existsSync } from "node:fs";
import type { Monitor } from "@tsd/kernel-bindings";
import type { Sight } from "../access/caller.ts";
import { conflict, EngineError, notFound } from "../errors.ts";
import type { Attachment } from "./attachment.ts";
import { linkedName, renamedLinks } from "./links.ts";
import type { ContainerDefinition, ContainerRecord, ContainerState, ContainerStore } from "./record.ts";

/** Milliseconds until a state that could not be written is tried again. */
const SAVE_AGAIN = 1000;

/** A container in memory: its record, and what only lives as long as this daemon. */
export class Container {
  readonly record: ContainerRecord;
  readonly #store: ContainerStore;
  /** While it runs. */
  monitor: Monitor | undefined;
  /** Clients that attached before the start. */
  readonly waitingClients = new Set<Attachment>();
  readonly execIds = new Set<string>();
  removing = false;
  /** The pending start by its restart policy, and how long the last one waited, in milliseconds. */
  restartTimer: NodeJS.Timeout | undefined;
  restartDelay = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #exitWaiters = new Set<(exitCode: number) => void>();
  #removalWaiters = new Set<() => void>();
  #saving: NodeJS.Timeout | undefined;
  #whenSaved: (() => void)[] = [];

  constructor(record: ContainerRecord, store: ContainerStore) {
    this.record = record;
    this.#store = store;
  }

  get id(): string {
    return this.record.definition.id;
  }
  get name(): string {
    return this.record.definition.name;
  }
  get owner(): string {
    return this.record.definition.owner;
  }
  get state(): Readonly<ContainerState> {
    return this.record.state;
  }
  /** As Docker counts it: a paused container runs, and one that waits for its next restart does too. */
  get running(): boolean {
    return this.alive || this.record.state.status === "restarting";
  }
  /** It has a process, or has had one until a moment ago: see `hasEnded`. */
  get alive(): boolean {
    return this.record.state.status === "running" || this.record.state.status === "paused";
  }
  /** Whether the process of one that is `alive` has ended: that is told by its monitor, and waits for the container's turn. */
  get hasEnded(): boolean {
    return !existsSync(`/proc/${this.record.state.pid}/ns/net`);
  }
  get paused(): boolean {
    return this.record.state.status === "paused";
  }

  /** Changes the state, and writes it down. Throws when it can't be written; the state is then as it was. */
  change(changes: Partial<ContainerState>): void {
    const before = { ...this.record.state };
    Object.assign(this.record.state, changes);
    try {
      this.#save();
    } catch (error) {
      Object.assign(this.record.state, before);
      throw error;
    }
  }

  /** Changes the state to what has happened already: if the disk is full, it is written as soon as it is not. `saved` is
   * called once it is. */
  note(changes: Partial<ContainerState>, saved?: () => void): void {
    Object.assign(this.record.state, changes);
    if (saved) this.#whenSaved.push(saved);
    try {
      this.#save();
    } catch {
      clearTimeout(this.#saving);
      this.#saving = setTimeout(() => this.note({}), SAVE_AGAIN).unref();
    }
  }

  #save(): void {
    this.#store.saveState(this.id, this.record.state);
    clearTimeout(this.#saving);
    for (const saved of this.#whenSaved.splice(0)) saved();
  }

  /** Runs one operation on this container at a time, in the order in which they came. */
  exclusively<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(operation);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** Calls back at the next exit; returns what takes that back. */
  onExit(listener: (exitCode: number) => void): () => void {
    this.#exitWaiters.add(listener);
    return () => this.#exitWaiters.delete(listener);
  }
  /** Resolves at the next exit with its code. */
  nextExit(): Promise<number> {
    return new Promise((resolve) => this.onExit(resolve));
  }
  announceExit(exitCode: number): void {
    const waiters = this.#exitWaiters;
    this.#exitWaiters = new Set();
    for (const resolve of waiters) resolve(exitCode);
  }

  /** Resolves when the container has been removed. */
  removed(): Promise<void> {
    return new Promise((resolve) => this.#removalWaiters.add(resolve));
  }
  announceRemoval(): void {
    clearTimeout(this.#saving);
    for (const resolve of this.#removalWaiters) resolve();
    this.#removalWaiters.clear();
  }
}

export class ContainerRegistry {
  readonly #store: ContainerStore;
  readonly #byId = new Map<string, Container>();
  readonly #byName = new Map<string, Container>();

  constructor(store: ContainerStore) {
    this.#store = store;
    for (const record of store.all()) this.#index(new Container(record, store));
  }

  #index(container: Container): void {
    this.#byId.set(container.id, container);
    this.#byName.set(container.name, container);
  }

  /** False of one that has been removed. */
  has(container: Container): boolean {
    return this.#byId.get(container.id) === container;
  }

  all(): Container[] {
    return [...this.#byId.values()];
  }

  /** Those that exist for somebody. */
  seenBy(sight: Sight): Container[] {
    return this.all().filter(({ owner }) => sight.sees(owner));
  }

  readonly #named = (name: string | undefined): Container | undefined =>
    this.#byName.get(name?.replace(/^\//, "") ?? "");

  /** The container of a full id, name, link ("linking/alias") or unambiguous id prefix, among those that exist for `sight`; throws what Docker
   * answers otherwise. */
  find(reference: string, sight: Sight): Container {
    const exact =
      this.#byId.get(reference) ?? this.#named(reference) ?? this.#named(linkedName(reference, this.#named));
    if (exact && sight.sees(exact.owner)) return exact;
    const matches = reference ? this.seenBy(sight).filter(({ id }) => id.startsWith(reference)) : [];
    if (matches.length > 1)
      throw new EngineError("invalid", `multiple IDs found with provided prefix: ${reference}`);
    const [match] = matches;
    if (!match) throw notFound(`No such container: ${reference}`);
    return match;
  }

  /** As find, but undefined where there is none. */
  look(reference: string, sight: Sight): Container | undefined {
    try {
      return this.find(reference, sight);
    } catch (error) {
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  }

  findByIdPrefix(prefix: string): Container | undefined {
    return this.all().find(({ id }) => id.startsWith(prefix));
  }

  checkNameFree(name: string, sight: Sight): void {
    const holder = this.#byName.get(name);
    if (holder)
      throw conflict(
        `Conflict. The container name "/${name}" is already in use by ${sight.sees(holder.owner) ? `container "${holder.id}"` : "somebody else's container"}. You have to remove (or rename) that container to be able to reuse that name.`,
      );
  }

  isNameFree(name: string): boolean {
    return !this.#byName.has(name);
  }

  add(record: ContainerRecord): Container {
    this.checkNameFree(record.definition.name, { sees: (owner) => owner === record.definition.owner });
    this.#store.insert(record);
    const container = new Container(record, this.#store);
    this.#index(container);
    return container;
  }

  /** Gives a container another name, at once and for good. */
  rename(container: Container, name: string, sight: Sight): void {
    this.checkNameFree(name, sight);
    const { definition } = container.record;
    const links = this.all().map((one) => [one, renamedLinks(one, definition.name, name)] as const);
    this.#store.saveDefinition({ ...definition, name });
    this.#byName.delete(definition.name);
    definition.name = name;
    this.#byName.set(name, container);
    for (const [one, Links] of links)
      if (Links) this.redefine(one, { hostConfig: { ...one.record.definition.hostConfig, Links } });
  }

  /** Changes what a container was created with. */
  redefine(container: Container, changes: Partial<ContainerDefinition>): void {
    const { definition } = container.record;
    this.#store.saveDefinition({ ...definition, ...changes });
    Object.assign(definition, changes);
  }

  delete(container: Container): void {
    this.#store.delete(container.id);
    this.#byId.delete(container.id);
    this.#byName.delete(container.name);
  }
}
