// A client attached to a process's streams: bytes both ways with back-pressure, half-closes kept, detach keys heeded.

import type { Socket } from "node:net";
import type { Duplex, Transform } from "node:stream";
import type { AttachStreams } from "@tsd/kernel-bindings";
import { DetachDetector } from "./detach-keys.ts";

export class Attachment {
  readonly streams: AttachStreams;
  readonly #client: Duplex;
  readonly #keys: readonly number[] | undefined;
  readonly #onDetach: () => void;
  readonly #filter: Transform | undefined;
  #process: Socket | undefined;
  #gone = false;

  /** `keys` are the detach keys, for a terminal with stdin; `onDetach` hears when they were typed; the process's output
   * goes through `filter` on its way to the client. */
  constructor(
    client: Duplex,
    streams: AttachStreams,
    keys: readonly number[] | undefined,
    onDetach: () => void,
    filter?: Transform,
  ) {
    this.#client = client;
    this.streams = streams;
    this.#keys = keys;
    this.#onDetach = onDetach;
    this.#filter = filter;
    client.on("error", () => this.#end());
    client.on("close", () => this.#end());
    // Until there is a process, a client that goes away must still be noticed; its input waits in the socket.
    if (!streams.stdin) client.resume();
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Joins the client to the process's streams. */
  connect(process: Socket): void {
    if (this.#gone) {
      process.destroy();
      return;
    }
    this.#process = process;
    process.on("error", () => this.#client.end());
    if (this.#filter) process.pipe(this.#filter).pipe(this.#client);
    else process.pipe(this.#client);
    process.on("close", () => {
      // The process is done with its streams: whatever the client still sends goes nowhere. A filter ends the client
      // when it has passed on what it holds.
      if (!this.#client.writableEnded && !this.#filter) this.#client.end();
      this.#client.resume();
    });
    if (this.streams.stdin) this.#passInput(process);
  }

  #passInput(process: Socket): void {
    if (!this.#keys?.length) {
      this.#client.pipe(process);
      return;
    }
    const detector = new DetachDetector(this.#keys);
    detector.on("detach", () => {
      this.#client.unpipe(detector);
      this.#onDetach();
      process.destroy();
      this.#client.end();
    });
    this.#client.pipe(detector).pipe(process);
  }

  /** Ends the client's connection, with nothing more to come. */
  close(): void {
    this.#client.end();
    this.#end();
  }

  #end(): void {
    this.#gone = true;
    this.#process?.destroy();
  }
}
