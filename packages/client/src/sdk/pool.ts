// Connections that wait for their next request.
import type { Socket } from "node:net";
import type { Connection } from "./connect.ts";

/** Shorter than what servers wait (Node's: 5 s), so that few requests meet a connection that is being closed. */
const IDLE_MILLISECONDS = 3000;

interface Idle {
  connection: Connection;
  leave(): void;
}

/** The idle connections of one client. They do not keep the process alive. */
export class Pool {
  readonly #idle: Idle[] = [];

  /** A connection that may still be good, the last one used first. */
  take(): Connection | undefined {
    const idle = this.#idle.pop();
    idle?.leave();
    return idle?.connection;
  }

  /** Keeps a connection whose last answer is complete. */
  give(connection: Connection): void {
    const { stream } = connection;
    const socket = stream as Partial<Pick<Socket, "ref" | "unref">>;
    const drop = (): void => {
      const at = this.#idle.indexOf(entry);
      if (at >= 0) this.#idle.splice(at, 1);
      entry.leave();
      stream.destroy();
    };
    const timer = setTimeout(drop, IDLE_MILLISECONDS).unref();
    const entry: Idle = {
      connection,
      leave: () => {
        clearTimeout(timer);
        stream.off("end", drop).off("close", drop).off("data", drop);
        socket.ref?.();
      },
    };
    // Whatever comes now was asked for by nobody.
    stream.on("end", drop).on("close", drop).on("data", drop);
    stream.resume();
    socket.unref?.();
    this.#idle.push(entry);
  }

  /** Closes all of them. */
  close(): void {
    for (let connection = this.take(); connection; connection = this.take()) connection.stream.destroy();
  }
}
