// The daemon's side of a monitor: the control connection (start, exit, signals, window size) and attached streams.
import { connect, type Socket } from "node:net";
import { KernelError } from "./errors.ts";
import { closeDescriptor, sendDescriptors } from "./libc.ts";
import { connectLocal } from "./sockets.ts";

const PROTOCOL_VERSION = 1;
const GREETING_MAGIC = 0x4d445354; // "TSDM"
const GREETING_CONTROL = 1;
const GREETING_ATTACH = 2;
const GREETING_NAMES = 3;
const FRAME_STARTED = 1;
const FRAME_HELLO = 2;
const FRAME_EXITED = 3;
const FRAME_FAILED = 4;
const FRAME_OUT_OF_MEMORY = 5;
const FRAME_SIGNAL = 16;
const FRAME_RESIZE = 17;

/** Which streams a client takes part in. */
export interface AttachStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** A monitored process that runs. Times are nanoseconds since the epoch. */
export interface ProcessStart {
  pid: number;
  startedAt: bigint;
  /** The monitor's own pid, or 0 if it is too old to tell. */
  monitorPid: number;
}

/** How a monitored process ended; `signal` is 0 unless one killed it. */
export interface ProcessExit {
  exitCode: number;
  signal: number;
  exitedAt: bigint;
}

/** The launcher's and monitor's flags for a client (launcher/protocol.h). */
export const attachFlags = (streams: AttachStreams): number =>
  (streams.stdin ? 1 : 0) | (streams.stdout ? 2 : 0) | (streams.stderr ? 4 : 0);

/** Reads a wait status as waitpid(2) gives it: Docker's exit code is 128 + signal for a killed process. */
export function decodeStatus(status: number, exitedAt: bigint): ProcessExit {
  const signal = status & 0x7f;
  return { exitCode: signal ? 128 + signal : (status >> 8) & 0xff, signal, exitedAt };
}

/** Reads what a monitor left in its exit file ("status end\n"). */
export function parseExitRecord(text: string): ProcessExit {
  const match = /^(\d+) (\d+)\n$/.exec(text);
  if (!match?.[1] || !match[2]) throw new Error(`malformed exit record: ${JSON.stringify(text)}`);
  return decodeStatus(Number(match[1]), BigInt(match[2]));
}

function greeting(kind: number, flags: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(GREETING_MAGIC, 0);
  bytes.writeUInt8(PROTOCOL_VERSION, 4);
  bytes.writeUInt8(kind, 5);
  bytes.writeUInt8(flags, 6);
  return bytes;
}

/** Gives a running monitor the two sockets of a name server to keep in place of those it has, or, without any, lets it close
 * what it keeps; `path` is the monitor's socket. The caller keeps its own. Throws KernelError. */
export function giveNameSockets(path: string, sockets: readonly number[]): void {
  const connection = connectLocal(path);
  try {
    sendDescriptors(connection, greeting(GREETING_NAMES, 0), sockets);
  } finally {
    closeDescriptor(connection);
  }
}

/** One process's monitor, by its control connection. */
export class Monitor {
  /** Resolves when the process runs; rejects with the KernelError of the step that failed. */
  readonly started: Promise<ProcessStart>;
  /** Resolves when the process has ended, or with undefined when the monitor itself was lost. */
  readonly exited: Promise<ProcessExit | undefined>;
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #resolveStarted!: (start: ProcessStart) => void;
  #rejectStarted!: (error: Error) => void;
  #memory: { times: number; now: boolean } | undefined;
  #onMemory: ((times: number, now: boolean) => void) | undefined;
  #resolveExited!: (exit: ProcessExit | undefined) => void;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
    this.started.catch(() => undefined); // whoever waits for it hears of it; an abandoned start must not end the daemon
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#rejectStarted(error));
    // A monitor that is gone has nothing more to take, even on a connection that could be half open.
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      this.#rejectStarted(new KernelError("launch", 32, "the monitor ended before its process started"));
      this.#resolveExited(undefined);
    });
  }

  /** Finds a running monitor again by its socket. */
  static adopt(path: string): Monitor {
    const socket = connect(path);
    socket.write(greeting(GREETING_CONTROL, 0));
    return new Monitor(socket);
  }

  /** Calls back whenever the process's control group has run out of memory, with how often it has: `now`, or before this
   * daemon knew the monitor. */
  onOutOfMemory(callback: (times: number, now: boolean) => void): void {
    this.#onMemory = callback;
    if (this.#memory) callback(this.#memory.times, this.#memory.now);
  }

  signal(number: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(number);
    this.#send(FRAME_SIGNAL, payload);
  }

  resize(columns: number, rows: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt16LE(columns, 0);
    payload.writeUInt16LE(rows, 2);
    this.#send(FRAME_RESIZE, payload);
  }

  /** Lets go of the monitor, which goes on by itself. */
  release(): void {
    this.#socket.destroy();
  }

  #send(type: number, payload: Buffer): void {
    const head = Buffer.alloc(5);
    head.writeUInt32LE(payload.length + 1, 0);
    head.writeUInt8(type, 4);
    if (this.#socket.writable) this.#socket.write(Buffer.concat([head, payload]));
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length ? Buffer.concat([this.#received, chunk]) : chunk;
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readUInt32LE(0);
      if (this.#received.length < end) return;
      this.#handle(this.#received.readUInt8(4), this.#received.subarray(5, end));
      this.#received = this.#received.subarray(end);
    }
  }

  #handle(type: number, payload: Buffer): void {
    if (type === FRAME_STARTED || type === FRAME_HELLO) {
      const version = payload.readUInt32LE(0);
      if (version > PROTOCOL_VERSION) this.#rejectStarted(new Error(`monitor speaks protocol ${version}`));
      else
        this.#resolveStarted({
          pid: payload.readInt32LE(4),
          startedAt: payload.readBigUInt64LE(8),
          monitorPid: payload.length >= 20 ? payload.readInt32LE(16) : 0,
        });
    } else if (type === FRAME_EXITED) {
      this.#resolveExited(decodeStatus(payload.readInt32LE(0), payload.readBigUInt64LE(4)));
    } else if (type === FRAME_OUT_OF_MEMORY) {
      this.#memory = { times: payload.readUInt32LE(0), now: payload.readUInt32LE(4) === 1 };
      this.#onMemory?.(this.#memory.times, this.#memory.now);
    } else if (type === FRAME_FAILED) {
      const [call = "", path = ""] = payload.subarray(8).toString("utf8").split("\0");
      this.#rejectStarted(new KernelError(call, payload.readUInt32LE(4), path, payload.readUInt32LE(0)));
    }
  }
}

/** Attaches to a running process's streams: what it writes comes out (Docker's multiplexed format unless it has a
 * terminal), what is written goes to its stdin. */
export function attachToMonitor(path: string, streams: AttachStreams): Socket {
  const socket = connect({ path, allowHalfOpen: true });
  socket.write(greeting(GREETING_ATTACH, attachFlags(streams)));
  return socket;
}
