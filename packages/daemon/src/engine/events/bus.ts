// Events: told to whoever listens, and kept for those who ask later.
import type { Sight } from "../access/caller.ts";
import { type Filters, matchesLabels } from "../containers/list.ts";
import { nowNanoseconds } from "../timestamps.ts";
import type { EngineEvent, EventSink } from "./event.ts";

/** An event as a client gets it; id, status and from are what old clients of container and image events read. */
export interface EventMessage extends EngineEvent {
  status?: string;
  id?: string;
  from?: string;
  scope: "local";
  time: number;
  timeNano: number;
}

interface Kept {
  nanoseconds: bigint;
  text: string;
  message: EventMessage;
}

interface StoredEvent {
  sequence: number;
  nanoseconds: bigint;
  text: string;
}

/** Keeps events over the daemon's life. */
export interface EventStore {
  append(events: readonly { nanoseconds: bigint; text: string }[]): void;
  /** The sequence of the newest; 0 where there is none. */
  last(): number;
  /** At most `limit`, oldest first, at or after a time, of those between two sequences: the first excluded, the last not. */
  since(nanoseconds: bigint, after: number, last: number, limit: number): StoredEvent[];
}

export const eventFilters = [
  "config",
  "container",
  "daemon",
  "event",
  "image",
  "label",
  "network",
  "node",
  "plugin",
  "scope",
  "secret",
  "service",
  "type",
  "volume",
];

/** timeNano does not fit a double: the digits are put in by hand. */
function encode(message: EventMessage, nanoseconds: bigint): string {
  return JSON.stringify(message).replace(/"timeNano":[^,}]+/, `"timeNano":${nanoseconds}`);
}

const BATCH_MILLISECONDS = 3;
/** Events that could not be written are kept for the next try; at most so many. */
const MAXIMUM_UNSAVED = 10_000;
const TRY_AGAIN_MILLISECONDS = 1000;
/** What one client may leave unread, in characters: events carry labels, which can be long. */
const MAXIMUM_UNREAD = 4 << 20;
/** Events of the past that are read in one go. */
const PAGE = 50;

export class EventBus implements EventSink {
  readonly #store: EventStore;
  readonly #report: (problem: unknown, what: string) => void;
  readonly #listeners = new Set<(event: Kept) => void>();
  #unsaved: Kept[] = [];
  #pending = false;

  constructor(store: EventStore, report: (problem: unknown, what: string) => void) {
    this.#store = store;
    this.#report = report;
  }

  publish(event: EngineEvent): void {
    const nanoseconds = nowNanoseconds();
    const { Type, Action, Actor, owner } = event;
    const old = Type === "container" || Type === "image" ? { status: Action, id: Actor.ID } : {};
    const from = Type === "container" ? { from: Actor.Attributes.image ?? "" } : {};
    const message: EventMessage = {
      ...old,
      ...from,
      Type,
      Action,
      Actor,
      owner,
      scope: "local",
      time: Number(nanoseconds / 1_000_000_000n),
      timeNano: Number(nanoseconds),
    };
    const kept = { nanoseconds, text: encode(message, nanoseconds), message };
    this.#unsaved.push(kept);
    // Written in one go with what else happens in this moment, off the way of whoever caused it.
    if (!this.#pending) setTimeout(() => this.flush(), BATCH_MILLISECONDS).unref();
    this.#pending = true;
    for (const listener of this.#listeners) listener(kept);
  }

  /** Writes what is not written yet. */
  flush(): void {
    this.#pending = false;
    if (this.#unsaved.length === 0) return;
    try {
      this.#store.append(this.#unsaved);
      this.#unsaved = [];
    } catch (error) {
      this.#report(error, "writing events down");
      this.#unsaved = this.#unsaved.slice(-MAXIMUM_UNSAVED);
      this.#pending = true;
      setTimeout(() => this.flush(), TRY_AGAIN_MILLISECONDS).unref();
    }
  }

  /** Events from `since` to `until` as lines of JSON, past ones first, then live ones until `signal` aborts. A client
   * that reads too slowly loses its stream rather than the daemon its memory. */
  async *stream(
    options: { since: bigint | undefined; until: bigint | undefined; filters: Filters; sight: Sight },
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    let queue: Kept[] = [];
    let unread = 0;
    let lost = false;
    let wake: (() => void) | undefined;
    let ended = signal.aborted;
    const finish = (): void => {
      ended = true;
      wake?.();
    };
    const listener = (event: Kept): void => {
      queue.push(event);
      unread += event.text.length;
      if (unread > MAXIMUM_UNREAD) {
        this.#listeners.delete(listener);
        queue = [];
        lost = true;
      }
      wake?.();
    };
    // Listening starts before the past is read, in the same turn: nothing falls between the two.
    this.flush();
    const last = options.since === undefined ? 0 : this.#store.last();
    this.#listeners.add(listener);
    signal.addEventListener("abort", finish, { once: true });
    const untilMilliseconds =
      options.until === undefined ? undefined : Number(options.until / 1_000_000n) - Date.now();
    const timer =
      untilMilliseconds === undefined
        ? undefined
        : setTimeout(finish, Math.max(0, Math.min(untilMilliseconds, 2 ** 31 - 1)));
    const shown = (message: EventMessage, nanoseconds: bigint): boolean =>
      (options.until === undefined || nanoseconds <= options.until) &&
      options.sight.sees(message.owner ?? "") &&
      matchesEvent(options.filters, message);
    try {
      for (const { nanoseconds, text } of this.#past(options.since ?? 0n, last)) {
        if (ended) break;
        if (shown(JSON.parse(text) as EventMessage, nanoseconds)) yield `${text}\n`;
      }
      for (;;) {
        for (let event = queue.shift(); event; event = queue.shift()) {
          unread -= event.text.length;
          if (shown(event.message, event.nanoseconds)) yield `${event.text}\n`;
        }
        if (lost) throw new Error("the client read too slowly: events went past it");
        if (ended) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(listener);
    }
  }

  *#past(since: bigint, last: number): Generator<StoredEvent> {
    for (let after = 0; after < last; ) {
      const page = this.#store.since(since, after, last, PAGE);
      yield* page;
      after = page.at(-1)?.sequence ?? last;
    }
  }
}

/** Whether an event passes the filters: values of one filter are alternatives, filters add up. */
export function matchesEvent(filters: Filters, event: EventMessage): boolean {
  const { ID, Attributes } = event.Actor;
  const name = Attributes.name ?? "";
  const any = (filter: string, test: (value: string) => boolean): boolean => {
    const values = filters.get(filter);
    return !values?.length || values.some(test);
  };
  const ofType = (type: string, filter: string): boolean =>
    any(filter, (value) => event.Type === type && (ID.startsWith(value) || name === value));
  const imageOf = (value: string): boolean => {
    const image = event.Type === "image" ? [ID, name] : [Attributes.image ?? ""];
    return image.some((one) => one === value || one.replace(/:[^/:]*$/, "") === value);
  };
  return (
    any("type", (value) => event.Type === value) &&
    any("event", (value) => event.Action === value || event.Action.startsWith(`${value}:`)) &&
    any("scope", (value) => event.scope === value) &&
    any("image", imageOf) &&
    matchesLabels(filters.get("label") ?? [], Attributes) &&
    ofType("container", "container") &&
    ofType("network", "network") &&
    ofType("volume", "volume") &&
    ofType("daemon", "daemon")
  );
}
