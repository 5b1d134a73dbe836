// Opens connections to an engine, whatever lies in between.
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ConnectionError } from "./errors.ts";
import { describeTarget, parseHost, type Target } from "./hosts.ts";
import { networkError, plainHint } from "./network-errors.ts";
import type { ClientOptions, TlsOptions } from "./options.ts";
import { keepReading, type Outbound } from "./patience.ts";

const DEFAULT_TIMEOUT = 30_000;

/** An engine's address, and how it is reached. */
export interface Endpoint {
  target: Target;
  tls: TlsOptions;
  timeout: number;
  keepAlive: boolean;
}

/** Reads the options. Throws for a host that is none. */
export const makeEndpoint = (options: ClientOptions): Endpoint => ({
  target: parseHost(options.host, options.tls !== undefined),
  tls: options.tls ?? {},
  timeout: options.timeout ?? DEFAULT_TIMEOUT,
  keepAlive: options.keepAlive ?? false,
});

/** A connection; on plain sockets it may still be in the making, and take what is written already. */
export interface Connection {
  stream: Duplex;
  outbound: Outbound;
  /** Why there was no answer, in words; `first` is what came in its place, its first bytes. */
  explain(error: NodeJS.ErrnoException | undefined, first: Buffer): ConnectionError;
}

const closed: NodeJS.ErrnoException = Object.assign(new Error("closed"), { code: "ECONNRESET" });

/** Makes of a connection that takes too long an error. */
function limit(socket: Socket, milliseconds: number): void {
  const timer = setTimeout(() => {
    socket.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" }));
  }, milliseconds);
  const stop = (): void => clearTimeout(timer);
  socket.once("connect", stop).once("close", stop);
}

function openPlain(endpoint: Endpoint): Connection {
  const { target } = endpoint;
  const where = describeTarget(target);
  if (target.kind === "tcp") {
    const socket = connect({ host: target.host, port: target.port, allowHalfOpen: true, noDelay: true });
    socket.setKeepAlive(true, 15_000);
    limit(socket, endpoint.timeout);
    return {
      stream: socket,
      outbound: keepReading(socket),
      explain: (error, first) =>
        error && error.code !== "ECONNRESET" && error.code !== "EPIPE"
          ? networkError(where, error)
          : plainHint(where, first),
    };
  }
  const path = target.kind === "unix" ? target.path : "";
  const socket = connect({ path, allowHalfOpen: true } as { path: string });
  return {
    stream: socket,
    outbound: keepReading(socket),
    explain: (error) => networkError(where, error ?? closed),
  };
}

/** Opens a connection. Rejects with ConnectionError, or tells of it later through `stream`. */
export async function openConnection(endpoint: Endpoint): Promise<Connection> {
  const { target } = endpoint;
  if (target.kind === "ssh") {
    const where = describeTarget(target);
    const stream = (await import("./ssh.ts")).connectSsh(target, where);
    return {
      stream,
      outbound: keepReading(stream),
      explain: (error) => (error instanceof ConnectionError ? error : networkError(where, error ?? closed)),
    };
  }
  if (target.kind === "unix" || !target.encrypted) return openPlain(endpoint);
  const { connectTls } = await import("./tls.ts");
  const { socket, explain } = await connectTls(
    target,
    endpoint.tls,
    describeTarget(target),
    endpoint.timeout,
  );
  return { stream: socket, outbound: keepReading(socket), explain };
}
