// Passes questions on: to one server after the other until one answers, within bounds of time and number, with a cache and
// one question for all who ask the same at the same time.
import { AnswerCache, type CacheLimits } from "./cache.ts";
import type { Resolver } from "./directory.ts";
import type { Ask } from "./exchange.ts";
import { Code, lifetime, type Query, type UpstreamAnswer } from "./message.ts";

export interface ForwardLimits {
  /** Questions on their way, of all containers and of one; those who wait for another's answer count too. */
  outstanding: number;
  outstandingOfOne: number;
  /** Milliseconds for one server to answer, and for the whole question. */
  serverTimeout: number;
  deadline: number;
  /** Milliseconds for which a server that did not answer is asked last. */
  penalty: number;
  /** Seconds for which an answer is kept at most, and one that says that there is nothing. */
  longest: number;
  longestNegative: number;
  cache: CacheLimits;
}

/** Resolvers in C libraries wait 5 s: two servers that are gone leave time for the third. */
export const defaultForwardLimits: ForwardLimits = {
  outstanding: 1024,
  outstandingOfOne: 256,
  serverTimeout: 2000,
  deadline: 8000,
  penalty: 30_000,
  longest: 3600,
  longestNegative: 300,
  cache: { entries: 2048, bytes: 2 << 20 },
};

/** One container's side of forwarding. */
export class Origin {
  /** Sets its answers apart in the cache: a container that rules its own network could forge those of others. */
  readonly scope: string;
  /** A socket in its network namespace. */
  readonly beside: number;
  /** Until when servers are asked last, by address. */
  readonly penalties = new Map<string, number>();
  readonly pending = new Set<Pending>();
  outstanding = 0;

  constructor(scope: string, beside: number) {
    this.scope = scope;
    this.beside = beside;
  }
}

/** Told the answer and for how many seconds it has been kept, or that there is none. */
export type Answered = (answer: UpstreamAnswer | undefined, age: number) => void;

interface Pending {
  key: string;
  origin: Origin;
  query: Query;
  waiting: Answered[];
  abandon: () => void;
}

/** How far a question has come on its way from server to server. */
interface Round {
  pending: Pending;
  order: readonly Resolver[];
  deadline: number;
  at: number;
  /** A server has said that it cannot tell. */
  failed: boolean;
}

const serverKey = ({ address, port, fromHost }: Resolver): string =>
  `${fromHost ? "h" : ""}${address}#${port ?? 53}`;

export class Forwarder {
  readonly cache: AnswerCache;
  readonly #limits: ForwardLimits;
  readonly #ask: Ask;
  readonly #now: () => number;
  readonly #pending = new Map<string, Pending>();
  #outstanding = 0;

  constructor(ask: Ask, now: () => number, limits: ForwardLimits = defaultForwardLimits) {
    this.#ask = ask;
    this.#now = now;
    this.#limits = limits;
    this.cache = new AnswerCache(limits.cache, now);
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  /** Finds the answer to a query; `answered` is called once, at once if the answer is at hand or too much is on its way. */
  forward(origin: Origin, servers: readonly Resolver[], query: Query, answered: Answered): void {
    const key = this.#key(origin, servers, query);
    const kept = this.cache.find(key);
    if (kept) {
      answered(kept.answer, kept.age);
      return;
    }
    if (servers.length === 0 || this.#isFull(origin)) {
      answered(undefined, 0);
      return;
    }
    this.#outstanding++;
    origin.outstanding++;
    const present = this.#pending.get(key);
    if (present) {
      present.waiting.push(answered);
      return;
    }
    const pending: Pending = { key, origin, query, waiting: [answered], abandon: () => undefined };
    this.#pending.set(key, pending);
    origin.pending.add(pending);
    const order = this.#order(origin, servers);
    this.#attempt({ pending, order, deadline: this.#now() + this.#limits.deadline, at: 0, failed: false });
  }

  #isFull(origin: Origin): boolean {
    const { outstanding, outstandingOfOne } = this.#limits;
    return this.#outstanding >= outstanding || origin.outstanding >= outstandingOfOne;
  }

  /** Gives up what a container has on its way. */
  abandon(origin: Origin): void {
    for (const pending of origin.pending) {
      pending.abandon();
      this.#settle(pending, undefined);
    }
  }

  #finish(pending: Pending, answer: UpstreamAnswer): void {
    const { longest, longestNegative } = this.#limits;
    this.cache.keep(pending.key, answer, lifetime(answer, longest, longestNegative));
    this.#settle(pending, answer);
  }

  #settle(pending: Pending, answer: UpstreamAnswer | undefined): void {
    this.#pending.delete(pending.key);
    pending.origin.pending.delete(pending);
    this.#outstanding -= pending.waiting.length;
    pending.origin.outstanding -= pending.waiting.length;
    for (const answered of pending.waiting) answered(answer, 0);
  }

  /** What answers depend on. Only the host's own resolvers tell all containers the same. */
  #key(origin: Origin, servers: readonly Resolver[], { question, edns, checkingDisabled }: Query): string {
    const shared = servers.every(({ fromHost }) => fromHost);
    const flags = `${edns ? (edns.dnssec ? "d" : "e") : ""}${checkingDisabled ? "c" : ""}`;
    const asked = `${question.type} ${question.class} ${question.name}`;
    return `${shared ? "" : origin.scope} ${servers.map(serverKey).join(",")} ${flags} ${asked}`;
  }

  /** Each server twice, those that did not answer lately after the others. */
  #order(origin: Origin, servers: readonly Resolver[]): Resolver[] {
    const now = this.#now();
    const late = (server: Resolver): boolean => (origin.penalties.get(serverKey(server)) ?? 0) > now;
    const round = [...servers.filter((server) => !late(server)), ...servers.filter((server) => late(server))];
    return [...round, ...round];
  }

  #attempt(round: Round): void {
    const { pending, order, at, deadline, failed } = round;
    const server = order[at];
    const left = deadline - this.#now();
    // All have been asked, and one has said that it cannot tell: asking again would not help.
    if (!server || left <= 0 || (failed && at >= order.length / 2)) {
      this.#settle(pending, undefined);
      return;
    }
    const { origin, query } = pending;
    const { address, port = 53, fromHost } = server;
    const peer = { address, port, beside: fromHost ? undefined : origin.beside };
    const timeout = Math.min(left, this.#limits.serverTimeout);
    pending.abandon = this.#ask(peer, "udp", query, timeout, (answer) => {
      if (!answer) this.#penalise(origin, server, order);
      if (!answer || answer.code === Code.failure || answer.code === Code.refused)
        this.#attempt({ ...round, at: at + 1, failed: failed || answer !== undefined });
      else if (!answer.truncated) this.#finish(pending, answer);
      else
        pending.abandon = this.#ask(peer, "tcp", query, timeout, (whole) => {
          this.#finish(pending, whole ?? answer);
        });
    });
  }

  #penalise(origin: Origin, server: Resolver, order: readonly Resolver[]): void {
    const { penalties } = origin;
    // Servers that are configured no more.
    if (penalties.size >= 16) penalties.clear();
    if (order.length > 2) penalties.set(serverKey(server), this.#now() + this.#limits.penalty);
  }
}
