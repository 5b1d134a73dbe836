// Files that are executed on certain mounts, as fanotify(7) tells: FAN_OPEN_EXEC (Linux 5.0), for information only, so that nobody
// waits for us. What is read from it are open files: nothing that happens to their names afterwards matters.
import { readFileSync, readlinkSync } from "node:fs";
import { closeDescriptor, fanotifyInit, fanotifyMark, readNow } from "../libc.ts";

const FAN_OPEN_EXEC = 0x1000n;
const FAN_Q_OVERFLOW = 0x4000n;
const METADATA_SIZE = 24;

/** One file that was executed. Whoever takes it closes the descriptor. */
export interface Execution {
  descriptor: number;
  /** In the mount's own root, with " (deleted)" behind it where it has no name any more. */
  path: string;
  /** The mount's id, as in /proc/PID/mountinfo. */
  mountId: number;
  /** As this process numbers it; it may be gone by now. */
  pid: number;
}

export class ExecutionWatch {
  readonly #descriptor = fanotifyInit();
  readonly #buffer = Buffer.alloc(8192);

  /** Tells of everything that is executed on the mount that this path is on. It ends with the mount. Throws KernelError. */
  watchMount(path: string): void {
    fanotifyMark(this.#descriptor, FAN_OPEN_EXEC, path);
  }

  /** What was executed since the last time, and whether some of it was lost. Does not wait. */
  read(): { executions: Execution[]; lost: boolean } {
    const executions: Execution[] = [];
    let lost = false;
    for (;;) {
      const size = readNow(this.#descriptor, this.#buffer);
      if (size === 0) return { executions, lost };
      for (let at = 0; at + METADATA_SIZE <= size; at += this.#buffer.readUInt32LE(at)) {
        if (this.#buffer.readBigUInt64LE(at + 8) & FAN_Q_OVERFLOW) lost = true;
        const descriptor = this.#buffer.readInt32LE(at + 16);
        if (descriptor < 0) continue;
        executions.push(describeExecution(descriptor, this.#buffer.readInt32LE(at + 20)));
      }
    }
  }

  close(): void {
    closeDescriptor(this.#descriptor);
  }
}

/** An open file as one that was executed. */
export function describeExecution(descriptor: number, pid: number): Execution {
  const information = readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");
  return {
    descriptor,
    path: readlinkSync(`/proc/self/fd/${descriptor}`),
    mountId: Number(/^mnt_id:\s*(\d+)/m.exec(information)?.[1] ?? 0),
    pid,
  };
}
