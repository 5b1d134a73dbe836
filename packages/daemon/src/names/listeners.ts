// The sockets of one container's name server: packets and framed messages in, answers out.
import { createSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import type { NameSockets } from "@tsd/kernel-bindings";

/** Answers a message, now or later, at most once; what deserves no answer is left unanswered. */
export type Serve = (message: Buffer, transport: "udp" | "tcp", respond: (answer: Buffer) => void) => void;

const MAXIMUM_CONNECTIONS = 64;
/** Milliseconds after which a silent connection ends (RFC 7766 6.2.3). */
const IDLE = 10_000;
/** Questions of one connection that may be on their way, and bytes of answers that may wait to be read. */
const MAXIMUM_PENDING = 64;
const MAXIMUM_UNREAD = 256 << 10;

export interface Listeners {
  /** The datagram socket's descriptor, which stays open until close: it leads to the container's network namespace. */
  descriptor: number;
  close(): void;
}

/** Listens on descriptors, which belong to it from here on. `report` hears what becomes of the sockets themselves. */
export function listen(sockets: NameSockets, serve: Serve, report: (error: Error) => void): Listeners {
  const datagrams = listenForDatagrams(sockets.datagram, serve, report);
  const connections = new Set<Socket>();
  const streams = listenForStreams(sockets.stream, serve, report, connections);
  return {
    descriptor: sockets.datagram,
    close: () => {
      datagrams.close();
      streams.close();
      for (const connection of connections) connection.destroy();
    },
  };
}

function listenForDatagrams(
  descriptor: number,
  serve: Serve,
  report: (error: Error) => void,
): { close: () => void } {
  // Who asked has an address, not a name: without this every answer would wait for a turn of the event loop.
  const socket = createSocket({
    type: "udp4",
    lookup: (host, _options, found) => found(null, host, 4),
  });
  let closed = false;
  socket.on("message", (message, { address, port }) => {
    serve(message, "udp", (answer) => {
      if (!closed) socket.send(answer, 0, answer.length, port, address);
    });
  });
  // An answer that could not be sent, to a client that is gone: the next one may find its way.
  socket.on("error", report);
  socket.bind({ fd: descriptor, exclusive: true });
  socket.unref();
  return {
    close: () => {
      // At once: who is still waiting for an answer may be told that there is none before the socket says that it is closed.
      closed = true;
      socket.close();
    },
  };
}

function listenForStreams(
  descriptor: number,
  serve: Serve,
  report: (error: Error) => void,
  connections: Set<Socket>,
): Server {
  const server = createServer((connection) => {
    connections.add(connection);
    connection.on("close", () => connections.delete(connection));
    serveConnection(connection, serve);
  });
  server.maxConnections = MAXIMUM_CONNECTIONS;
  server.on("error", report);
  server.listen({ fd: descriptor, exclusive: true });
  server.unref();
  return server;
}

/** Messages with their length in front (RFC 1035 4.2.2); answers go out as they come, in any order (RFC 7766). */
function serveConnection(connection: Socket, serve: Serve): void {
  let received: Buffer = Buffer.alloc(0);
  let pending = 0;
  connection.setTimeout(IDLE, () => connection.destroy());
  connection.on("error", () => connection.destroy());
  connection.on("data", (chunk: Buffer) => {
    received = received.length ? Buffer.concat([received, chunk]) : chunk;
    while (received.length >= 2) {
      const end = 2 + received.readUInt16BE(0);
      if (received.length < end) return;
      const message = received.subarray(2, end);
      received = received.subarray(end);
      if (++pending > MAXIMUM_PENDING) {
        connection.destroy();
        return;
      }
      serve(message, "tcp", (answer) => {
        pending--;
        respond(connection, answer);
      });
    }
  });
}

function respond(connection: Socket, answer: Buffer): void {
  if (!connection.writable) return;
  const size = Buffer.alloc(2);
  size.writeUInt16BE(answer.length);
  connection.cork();
  connection.write(size);
  connection.write(answer);
  connection.uncork();
  if (connection.writableLength > MAXIMUM_UNREAD) connection.destroy();
}
