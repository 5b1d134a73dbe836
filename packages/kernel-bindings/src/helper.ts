// A program that serves this one by its descriptor 3. If it dies it is started again.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { sendDescriptors, socketPair } from "./libc.ts";

export class HelperProcess {
  readonly #program: string;
  readonly #words: readonly string[];
  readonly #channelKind: "stream" | "messages";
  readonly #report: (message: string) => void;
  #channel = -1;
  #process: ChildProcess | undefined;
  #closed = false;

  /** `report` hears of its death. */
  constructor(
    program: string,
    words: readonly string[],
    channelKind: "stream" | "messages",
    report: (message: string) => void,
  ) {
    this.#program = program;
    this.#words = words;
    this.#channelKind = channelKind;
    this.#report = report;
    this.#start();
  }

  #start(): void {
    const [own, its] = socketPair(this.#channelKind);
    try {
      this.#process = spawn(this.#program, this.#words, {
        stdio: ["ignore", "ignore", "inherit", its],
        detached: true,
        env: {},
      });
    } finally {
      closeSync(its);
    }
    this.#channel = own;
    this.#process.on("error", (error) => this.#report(`${this.#program}: ${error.message}`));
    this.#process.on("exit", (code, signal) => {
      closeSync(own);
      if (this.#closed) return;
      this.#report(`${this.#program} ended (${signal ?? code}); starting it again`);
      this.#start();
    });
    this.#process.unref();
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Asks for something, by bytes and descriptors, which stay the caller's. */
  send(request: Uint8Array, descriptors: readonly number[]): void {
    sendDescriptors(this.#channel, request, descriptors);
  }

  close(): void {
    this.#closed = true;
    this.#process?.kill();
  }
}
