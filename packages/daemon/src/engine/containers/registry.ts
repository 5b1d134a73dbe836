// The containers there are: found by id, prefix or name; each with its runtime side while it runs.
import type { Monitor } from "@tsd/kernel-bindings";
import { conflict, EngineError, notFound } from "../errors.ts";
import type { Attachment } from "./attachment.ts";
import type { ContainerRecord, ContainerState, ContainerStore } from "./record.ts";

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
  /** True from a stop or kill until the next start: its exit was wanted. */
  stopping = false;
  #turn: Promise<unknown> = Promise.resolve();
  #exitWaiters = new Set<(exitCode: number) => void>();
  #removalWaiters = new Set<() => void>();

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
  get state(): Readonly<ContainerState> {
    return this.record.state;
  }
  get running(): boolean {
    return this.record.state.status === "running";
  }

  /** Changes the state, and writes it down. */
  change(changes: Partial<ContainerState>): void {
    Object.assign(this.record.state, changes);
    this.#store.saveState(this.id, this.record.state);
  }

  /** Runs one operation on this container at a time, in the order in which they came. */
  exclusively<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(operation);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** Resolves at the next exit with its code. */
  nextExit(): Promise<number> {
    return new Promise((resolve) => this.#exitWaiters.add(resolve));
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

  all(): Container[] {
    return [...this.#byId.values()];
  }

  /** The container of a full id, name or unambiguous id prefix; throws what Docker answers otherwise. */
  find(reference: string): Container {
    const exact = this.#byId.get(reference) ?? this.#byName.get(reference.replace(/^\//, ""));
    if (exact) return exact;
    const matches = reference ? this.all().filter(({ id }) => id.startsWith(reference)) : [];
    if (matches.length > 1)
      throw new EngineError("invalid", `multiple IDs found with provided prefix: ${reference}`);
    const [match] = matches;
    if (!match) throw notFound(`No such container: ${reference}`);
    return match;
  }

  has(reference: string): boolean {
    try {
      return this.find(reference) !== undefined;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    }
  }

  findByIdPrefix(prefix: string): Container | undefined {
    return this.all().find(({ id }) => id.startsWith(prefix));
  }

  checkNameFree(name: string): void {
    const holder = this.#byName.get(name);
    if (holder)
      throw conflict(
        `Conflict. The container name "/${name}" is already in use by container "${holder.id}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
  }

  isNameFree(name: string): boolean {
    return !this.#byName.has(name);
  }

  add(record: ContainerRecord): Container {
    this.checkNameFree(record.definition.name);
    this.#store.insert(record);
    const container = new Container(record, this.#store);
    this.#index(container);
    return container;
  }

  delete(container: Container): void {
    this.#store.delete(container.id);
    this.#byId.delete(container.id);
    this.#byName.delete(container.name);
  }
}
