// One archive's process, made by the archive server (launcher/archive/serve.c): its streams, and how it ended.
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { text } from "node:stream/consumers";
import type { HelperProcess } from "./helper.ts";
import { socketPair } from "./libc.ts";

/** The archive, the tree or the disk was not as it should be; the message says what. */
export class ArchiveError extends Error {}

const SIGNALS = 0x7f;

/** What a status as of waitpid(2) says of a process that did not end well. */
const ending = (status: number): string =>
  (status & SIGNALS) === 0 ? `status ${(status >> 8) & 0xff}` : `signal ${status & SIGNALS}`;

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once("close", () => resolve()));

export class ArchiveJob {
  readonly stdin: Socket;
  readonly stdout: Socket;
  /** Resolves when the process has ended well and its streams have been read; rejects with ArchiveError. */
  readonly done: Promise<void>;
  readonly #status: Socket;

  /** `descriptors` are the process's from 3 on. */
  constructor(server: Pick<HelperProcess, "send">, words: readonly string[], descriptors: readonly number[]) {
    const ours: number[] = [];
    const theirs: number[] = [];
    try {
      for (let i = 0; i < 4; i++) {
        const [own, its] = socketPair();
        ours.push(own);
        theirs.push(its);
      }
      server.send(Buffer.from(words.map((word) => `${word}\0`).join("")), [...theirs, ...descriptors]);
    } catch (error) {
      for (const descriptor of ours) closeSync(descriptor);
      throw error;
    } finally {
      for (const descriptor of theirs) closeSync(descriptor);
    }
    const socket = (index: number, writable: boolean): Socket => {
      const made = new Socket({ fd: ours[index] ?? -1, readable: !writable, writable });
      // Whoever uses the stream hears of it, and `done` says why.
      made.on("error", () => undefined);
      return made;
    };
    this.#status = new Socket({ fd: ours[0] ?? -1, readable: true, writable: true });
    this.#status.on("error", () => undefined); // it closes then, without a status
    this.stdin = socket(1, true);
    this.stdout = socket(2, false);
    this.done = this.#end(socket(3, false));
    this.done.catch(() => undefined); // heard of by whoever awaits it
  }

  async #end(errors: Socket): Promise<void> {
    let status: number | undefined;
    this.#status.on("data", (bytes: Buffer) => {
      status = bytes.readInt32LE(0);
    });
    const [said] = await Promise.all([text(errors), closed(this.#status), closed(this.stdout)]);
    if (status === 0) return;
    throw new ArchiveError(
      said.trim() || `archiver ended with ${status === undefined ? "its server" : ending(status)}`,
    );
  }

  /** Ends it early. */
  kill(): void {
    if (!this.#status.destroyed) this.#status.write("\0");
  }
}
