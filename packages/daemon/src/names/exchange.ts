// One question to one server, over UDP or TCP, from the container's network or the host's: an answer that belongs to it, or
// nothing.
import { randomInt } from "node:crypto";
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { isIPv4, Socket } from "node:net";
import { datagramTo, KernelError, type Peer, streamTo } from "@tsd/kernel-bindings";
import { buildUpstreamQuery } from "./answers.ts";
import { type Query, readUpstreamAnswer, type UpstreamAnswer } from "./message.ts";

export type Transport = "udp" | "tcp";

/** Hears of the answer, or that there is none: a timeout, a refusal, no way there. Called once, never synchronously. */
export type Heard = (answer: UpstreamAnswer | undefined) => void;

/** Asks a server; the returned function gives up without a word. */
export type Ask = (
  server: Peer,
  transport: Transport,
  query: Query,
  timeout: number,
  heard: Heard,
) => () => void;

/** So many packets that do not belong to the question are somebody guessing: the server is given up. */
const MAXIMUM_STRANGERS = 16;

const randomId = (): number => randomInt(0x10000);

/** What is common to both transports: the timeout, the one word, the end of the socket. */
function conversation(
  timeout: number,
  heard: Heard,
  end: () => void,
): { finish: Heard; abandon: () => void } {
  let over = false;
  const close = (): boolean => {
    if (over) return false;
    over = true;
    clearTimeout(timer);
    end();
    return true;
  };
  const finish: Heard = (answer) => {
    if (close()) heard(answer);
  };
  const timer = setTimeout(() => finish(undefined), timeout);
  return { finish, abandon: close };
}

/** A socket that could not even be opened or connected is heard of like a server that does not answer, only sooner. */
function unreachable(error: unknown, heard: Heard): () => void {
  if (!(error instanceof KernelError)) throw error;
  const soon = setImmediate(() => heard(undefined));
  return () => clearImmediate(soon);
}

function askDatagram(server: Peer, query: Query, timeout: number, heard: Heard): () => void {
  const id = randomId();
  let descriptor: number;
  try {
    descriptor = datagramTo(server, buildUpstreamQuery(query, id));
  } catch (error) {
    return unreachable(error, heard);
  }
  const socket: DatagramSocket = createSocket(isIPv4(server.address) ? "udp4" : "udp6");
  const { finish, abandon } = conversation(timeout, heard, () => socket.close());
  let strangers = 0;
  socket.on("message", (bytes) => {
    const answer = readUpstreamAnswer(bytes, id, query.question.bytes);
    if (answer) finish(answer);
    else if (++strangers >= MAXIMUM_STRANGERS) finish(undefined);
  });
  socket.on("error", () => finish(undefined)); // ECONNREFUSED, as an ICMP message says
  socket.bind({ fd: descriptor, exclusive: true });
  return abandon;
}

function askStream(server: Peer, query: Query, timeout: number, heard: Heard): () => void {
  const id = randomId();
  let descriptor: number;
  try {
    descriptor = streamTo(server);
  } catch (error) {
    return unreachable(error, heard);
  }
  const socket = new Socket({ fd: descriptor, readable: true, writable: true });
  const { finish, abandon } = conversation(timeout, heard, () => socket.destroy());
  let received: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    finish(readUpstreamAnswer(received.subarray(2, 2 + received.readUInt16BE(0)), id, query.question.bytes));
  });
  socket.on("error", () => finish(undefined));
  socket.on("close", () => finish(undefined));
  const message = buildUpstreamQuery(query, id);
  const size = Buffer.alloc(2);
  size.writeUInt16BE(message.length);
  socket.write(Buffer.concat([size, message]));
  return abandon;
}

export const ask: Ask = (server, transport, query, timeout, heard) =>
  (transport === "udp" ? askDatagram : askStream)(server, query, timeout, heard);
