// A WebSocket as a stream of bytes, with back-pressure both ways.
import { Duplex } from "node:stream";
import type { WebSocket } from "@fastify/websocket";

export function webSocketStream(socket: WebSocket): Duplex {
  const stream = new Duplex({
    allowHalfOpen: false,
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => socket.send(chunk, { binary: true }, done),
    final: (done) => {
      socket.close();
      done();
    },
    destroy: (error, done) => {
      socket.terminate();
      done(error);
    },
  });
  socket.on("message", (message: Buffer | ArrayBuffer | Buffer[]) => {
    const bytes = Array.isArray(message) ? Buffer.concat(message) : Buffer.from(message as Buffer);
    if (!stream.push(bytes)) socket.pause();
  });
  socket.on("close", () => {
    stream.push(null);
    stream.destroy();
  });
  socket.on("error", (error: Error) => stream.destroy(error));
  return stream;
}
