// The connections there are: who is at the other end of each, how many everybody has, and the end of those that are no
// longer welcome.
import type { Socket } from "node:net";
import { Caller, type Peer } from "../engine/access/caller.ts";
import type { Policy } from "../engine/access/policy.ts";

export interface Connection {
  readonly socket: Socket;
  readonly peer: Peer;
  /** The address it came from, or the pid at a unix socket. */
  readonly from: string;
  caller: Caller;
  /** It has become a raw stream (attach, exec). */
  stream: boolean;
  /** Takes it off the books; once. */
  readonly forget: () => void;
}

/** One caller's name for the count of its connections: those who say nothing of themselves are told apart by address. */
const countedAs = ({ caller, peer, from }: Connection): string =>
  peer.kind === "anonymous" || peer.kind === "stranger" ? from.replace(/:\d+$/, "") : caller.id;

export class Connections {
  readonly #bySocket = new Map<Socket, Connection>();
  readonly #counts = new Map<string, number>();
  #policy: Policy;
  /** Connections that one caller may have at one time. */
  limit: number;

  constructor(policy: Policy, limit: number) {
    this.#policy = policy;
    this.limit = limit;
  }

  get size(): number {
    return this.#bySocket.size;
  }

  get streams(): number {
    let count = 0;
    for (const { stream } of this.#bySocket.values()) if (stream) count++;
    return count;
  }

  /** Takes a connection in; false when its caller has as many as it may. */
  add(socket: Socket, peer: Peer, from: string): boolean {
    const connection: Connection = {
      socket,
      peer,
      from,
      caller: this.#policy.callerOf(peer, from),
      stream: false,
      forget: () => {
        if (!this.#bySocket.delete(socket)) return;
        const left = (this.#counts.get(name) ?? 1) - 1;
        if (left > 0) this.#counts.set(name, left);
        else this.#counts.delete(name);
      },
    };
    const name = countedAs(connection);
    const count = this.#counts.get(name) ?? 0;
    if (count >= this.limit) return false;
    this.#counts.set(name, count + 1);
    this.#bySocket.set(socket, connection);
    socket.on("close", connection.forget);
    return true;
  }

  /** Who calls over a connection. Throws for one that never came in here. */
  callerOf(socket: Socket): Caller {
    const connection = this.#bySocket.get(socket);
    if (!connection) throw new Error("a request came over a connection that nobody let in");
    const { peer, caller, from } = connection;
    if (peer.kind !== "certificate" || peer.expires > Date.now()) return caller;
    return new Caller(caller.id, from, undefined, `${caller.id}: its certificate has expired`);
  }

  /** A connection has become a raw stream. What HTTP listened to was taken off it, and our own ear with it. */
  streamBegins(socket: Socket): void {
    const connection = this.#bySocket.get(socket);
    if (!connection) return;
    connection.stream = true;
    socket.off("close", connection.forget).on("close", connection.forget);
    if (socket.destroyed) connection.forget();
  }

  /** Gives everybody the role of a new policy. Streams that a caller could not begin any more end. */
  apply(policy: Policy): void {
    this.#policy = policy;
    for (const connection of this.#bySocket.values()) {
      connection.caller = policy.callerOf(connection.peer, connection.from);
      if (connection.stream && !connection.caller.allows("container:attach")) connection.socket.destroy();
    }
  }

  /** Ends connections, streams among them; returns how many. */
  closeWhere(test: (connection: Connection) => boolean): number {
    const unwelcome = [...this.#bySocket.values()].filter(test);
    for (const { socket } of unwelcome) socket.destroy();
    return unwelcome.length;
  }
}
