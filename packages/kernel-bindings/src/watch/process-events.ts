// What processes do, as the kernel's process connector tells (linux/cn_proc.h): executions, and changes of user ids. It tells of
// all processes of the machine, and only to whoever is in its first network, PID and user namespaces.
import { KernelError } from "../errors.ts";
import {
  allowReceiving,
  closeDescriptor,
  joinNetlinkGroup,
  netlinkSocket,
  receiveNow,
  send,
} from "../libc.ts";

const NETLINK_CONNECTOR = 11;
const CN_IDX_PROC = 1;
const CN_VAL_PROC = 1;
const LISTEN = 1;
const EVENT_NONE = 0;
const EVENT_EXEC = 0x2;
const EVENT_UID = 0x4;
const NLMSG_DONE = 3;
const ENOBUFS = 105;
const HEADERS = 36;
const DATA = HEADERS + 16;
const ROOM = 4 << 20;
/** Messages that are read in one go: others have their turn after so many. */
const AT_ONCE = 1000;

export interface ProcessEvent {
  kind: "executed" | "user changed";
  pid: number;
  /** Of the thread that did it. */
  thread: number;
}

/** nlmsghdr, cn_msg, and what is asked for. */
function request(...words: number[]): Buffer {
  const bytes = Buffer.alloc(HEADERS + words.length * 4);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(NLMSG_DONE, 4);
  bytes.writeUInt32LE(CN_IDX_PROC, 16);
  bytes.writeUInt32LE(CN_VAL_PROC, 20);
  bytes.writeUInt16LE(words.length * 4, 32);
  words.forEach((word, index) => {
    bytes.writeUInt32LE(word, HEADERS + index * 4);
  });
  return bytes;
}

export class ProcessEvents {
  readonly #socket: number;
  readonly #buffer = Buffer.alloc(4096);

  /** Throws KernelError: ECONNREFUSED in another network namespace than the machine's first, EPERM in another user or PID
   * namespace, EPROTONOSUPPORT where the kernel lacks CONFIG_PROC_EVENTS. */
  constructor() {
    this.#socket = netlinkSocket(NETLINK_CONNECTOR);
    try {
      joinNetlinkGroup(this.#socket, CN_IDX_PROC);
      allowReceiving(this.#socket, ROOM);
      send(this.#socket, request(LISTEN));
      // Linux 6.6 tells only of what is asked for; older ones do not understand this, and tell of everything.
      send(this.#socket, request(LISTEN, EVENT_EXEC | EVENT_UID));
    } catch (error) {
      closeDescriptor(this.#socket);
      throw error;
    }
  }

  /** What happened since the last time, and whether some of it was lost. Does not wait. */
  read(): { events: ProcessEvent[]; lost: boolean } {
    const events: ProcessEvent[] = [];
    let lost = false;
    for (let count = 0; count < AT_ONCE; count++) {
      let size: number;
      try {
        size = receiveNow(this.#socket, this.#buffer);
      } catch (error) {
        if (!(error instanceof KernelError) || error.errno !== ENOBUFS) throw error;
        lost = true;
        continue;
      }
      if (size === 0) break;
      if (size < DATA + 8) continue;
      const what = this.#buffer.readUInt32LE(HEADERS);
      if (what === EVENT_NONE) {
        const errno = this.#buffer.readUInt32LE(DATA);
        if (errno !== 0) throw new KernelError("connector", errno, "process events");
      }
      const kind = what === EVENT_EXEC ? "executed" : what === EVENT_UID ? "user changed" : undefined;
      if (kind)
        events.push({
          kind,
          thread: this.#buffer.readInt32LE(DATA),
          pid: this.#buffer.readInt32LE(DATA + 4),
        });
    }
    return { events, lost };
  }

  close(): void {
    closeDescriptor(this.#socket);
  }
}
