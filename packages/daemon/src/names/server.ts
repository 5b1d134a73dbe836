// The name server of user-defined networks (Docker's at 127.0.0.11): for each container its own names, and what others know.
import { performance } from "node:perf_hooks";
import type { NameSockets } from "@tsd/kernel-bindings";
import { adaptAnswer, buildAnswer, refuse } from "./answers.ts";
import type { NameDirectory } from "./directory.ts";
import { type Ask, ask as askServer } from "./exchange.ts";
import { defaultForwardLimits, Forwarder, type ForwardLimits, Origin } from "./forwarder.ts";
import { type Listeners, listen } from "./listeners.ts";
import { localRecords } from "./local.ts";
import { Code, OWN_PAYLOAD, PLAIN_PAYLOAD, type Query, readQuery, Type } from "./message.ts";

const LARGEST_MESSAGE = 65535;

export interface NameServerOptions {
  /** Hears of what went wrong with a container's sockets, at most once a minute for all of them, with how often it did. */
  report: (error: Error, containerId: string, times: number) => void;
  limits?: ForwardLimits;
  /** How servers are asked, and a clock in milliseconds: tests put their own here. */
  ask?: Ask;
  now?: () => number;
}

/** Counts since the daemon's start. */
export interface NameStatistics {
  /** Questions about names of ours, passed on, refused or malformed. */
  local: number;
  forwarded: number;
  refused: number;
  malformed: number;
}

interface Client {
  id: string;
  origin: Origin;
  listeners: Listeners | undefined;
}

const REPORT_INTERVAL = 60_000;

export class NameServer {
  readonly statistics: NameStatistics = { local: 0, forwarded: 0, refused: 0, malformed: 0 };
  readonly #directory: NameDirectory;
  readonly #forwarder: Forwarder;
  readonly #options: NameServerOptions;
  readonly #now: () => number;
  readonly #clients = new Map<string, Client>();
  #opened = 0;
  #problems = 0;
  #reported = Number.NEGATIVE_INFINITY;

  constructor(directory: NameDirectory, options: NameServerOptions) {
    this.#directory = directory;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#forwarder = new Forwarder(
      options.ask ?? askServer,
      this.#now,
      options.limits ?? defaultForwardLimits,
    );
  }

  /** Answers what comes to these sockets with what the container may know. They belong to the name server from here on, and a
   * container's earlier ones are closed. */
  open(containerId: string, sockets: NameSockets): void {
    this.close(containerId);
    const client: Client = {
      id: containerId,
      origin: new Origin(`${this.#opened++}`, sockets.datagram),
      listeners: undefined,
    };
    client.listeners = listen(
      sockets,
      (message, transport, respond) => this.#serve(client, message, transport, respond),
      (error) => this.#problem(error, containerId),
    );
    this.#clients.set(containerId, client);
  }

  isOpen(containerId: string): boolean {
    return this.#clients.has(containerId);
  }

  /** Lets go of a container's sockets: it has ended, or this daemon does. Nothing happens if it has none. */
  close(containerId: string): void {
    const client = this.#clients.get(containerId);
    if (!client) return;
    this.#clients.delete(containerId);
    client.listeners?.close();
    this.#forwarder.abandon(client.origin);
  }

  closeAll(): void {
    for (const id of [...this.#clients.keys()]) this.close(id);
  }

  #serve(client: Client, message: Buffer, transport: "udp" | "tcp", respond: (answer: Buffer) => void): void {
    const reading = readQuery(message);
    if (reading && "query" in reading) {
      const { query } = reading;
      const limit = transport === "tcp" ? LARGEST_MESSAGE : datagramLimit(query);
      try {
        const answer = this.#ownAnswer(client, query, limit);
        if (answer) respond(answer);
        else this.#forward(client, query, limit, respond);
      } catch (error) {
        // The directory's fault, or ours: the client hears of it as of any failure.
        this.#problem(error instanceof Error ? error : new Error(String(error)), client.id);
        respond(buildAnswer(query, Code.failure, [], PLAIN_PAYLOAD));
      }
      return;
    }
    this.statistics.malformed++;
    if (reading) respond(refuse(message, reading.code, reading.question));
  }

  /** The answer to what we know ourselves, or may not pass on. */
  #ownAnswer(client: Client, query: Query, limit: number): Buffer | undefined {
    if (query.edns && query.edns.version > 0) return buildAnswer(query, Code.success, [], limit);
    const records = localRecords(this.#directory, client.id, query.question);
    if (records) {
      this.statistics.local++;
      return buildAnswer(query, Code.success, records, limit);
    }
    const { forward, forwardSingleLabels = true } = this.#directory.resolvers(client.id);
    if (forward && (forwardSingleLabels || !isAddressOfSingleLabel(query))) return undefined;
    this.statistics.refused++;
    return buildAnswer(query, forward ? Code.success : Code.failure, [], limit);
  }

  #forward(client: Client, query: Query, limit: number, respond: (answer: Buffer) => void): void {
    this.statistics.forwarded++;
    const { servers } = this.#directory.resolvers(client.id);
    this.#forwarder.forward(client.origin, servers, query, (answer, age) => {
      respond(answer ? adaptAnswer(answer, query, age, limit) : buildAnswer(query, Code.failure, [], limit));
    });
  }

  #problem(error: Error, containerId: string): void {
    this.#problems++;
    const now = this.#now();
    if (now - this.#reported < REPORT_INTERVAL) return;
    this.#reported = now;
    this.#options.report(error, containerId, this.#problems);
    this.#problems = 0;
  }
}

/** How long an answer over UDP may be: what the client says it takes, within reason. */
const datagramLimit = ({ edns }: Query): number =>
  edns ? Math.min(Math.max(edns.payload, PLAIN_PAYLOAD), OWN_PAYLOAD) : PLAIN_PAYLOAD;

const isAddressOfSingleLabel = ({ question }: Query): boolean =>
  (question.type === Type.A || question.type === Type.AAAA) && !question.name.includes(".");
