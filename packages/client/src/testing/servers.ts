// Servers for tests: real ones, on loopback.
import { readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { Issued } from "./certificates.ts";

export interface TestServer {
  port: number;
  /** How many connections there were. */
  connections: number;
  close(): void;
}

function listen(server: Server): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const test: TestServer = {
    port: 0,
    connections: 0,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  server.on("connection", (socket: Socket) => {
    test.connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      test.port = typeof address === "object" && address ? address.port : 0;
      resolve(test);
    });
  });
}

/** A server of plain TCP. */
export const plainServer = (serve: (socket: Socket) => void): Promise<TestServer> =>
  listen(
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      serve(socket);
    }),
  );

/** A server of TLS with a certificate. */
export const tlsServer = (
  { cert, key }: Issued,
  serve: (socket: TLSSocket) => void,
  options: TlsOptions = {},
): Promise<TestServer> =>
  listen(
    createTlsServer(
      // Half-open is an option of the net.Server below, which the types do not know.
      {
        cert: readFileSync(cert),
        key: readFileSync(key),
        ...options,
        allowHalfOpen: true,
      } as TlsOptions,
      (socket) => {
        socket.on("error", () => undefined);
        serve(socket);
      },
    ).on("tlsClientError", () => undefined),
  );

/** Answers each request that has no body with JSON, and keeps the connection if that is asked for. */
export function answerJson(value: unknown): (socket: Socket) => void {
  const body = JSON.stringify(value);
  return (socket) => {
    let pending = "";
    socket.on("data", (chunk: Buffer) => {
      pending += chunk.toString("latin1");
      for (let end = pending.indexOf("\r\n\r\n"); end >= 0; end = pending.indexOf("\r\n\r\n")) {
        const keep = /connection: keep-alive/i.test(pending.slice(0, end));
        pending = pending.slice(end + 4);
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: ${keep ? "keep-alive" : "close"}\r\n\r\n${body}`,
        );
        if (!keep) socket.end();
      }
    });
    socket.on("end", () => socket.end());
  };
}

/** Refuses a caller as the daemon does: at once, without reading, and gone. */
export const refuseEarly =
  (message: string) =>
  (socket: Socket): void => {
    const body = JSON.stringify({ message });
    socket.pause();
    socket.end(
      `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      () => socket.destroy(),
    );
  };

/** All that a peer sends until its end; the other direction stays open (which `for await` would not leave it). */
export const received = (socket: Socket): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks)));
    socket.on("error", reject);
  });
