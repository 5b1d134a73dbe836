// Crowds of clients that do not behave, in processes of their own: the test goes on beside them.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { Kind, Order, Tally } from "./crowd-worker.ts";

const none: Tally = { opened: 0, failed: 0, closed: 0, said: {} };

export class Crowd {
  readonly #child: ChildProcess;
  readonly #directory: string;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(child: ChildProcess, directory: string) {
    this.#child = child;
    this.#directory = directory;
  }

  /** A process of clients, in a network namespace of its own or in this one. */
  static async gather(namespace?: string): Promise<Crowd> {
    const directory = mkdtempSync(join(tmpdir(), "tsd-crowd-"));
    const program = join(directory, "worker.mjs");
    await build({
      entryPoints: [join(import.meta.dirname, "crowd-worker.ts")],
      outfile: program,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      logLevel: "error",
    });
    const words = namespace ? ["nsenter", `--net=/run/netns/${namespace}`] : ["env"];
    const [command = "env", ...rest] = [...words, process.execPath, program];
    return new Crowd(spawn(command, rest, { stdio: ["ignore", "inherit", "inherit", "ipc"] }), directory);
  }

  #ask(message: Order | "count"): Promise<Partial<Record<Kind, Tally>>> {
    const answered = this.#turn.then(
      () =>
        new Promise<Partial<Record<Kind, Tally>>>((resolve, reject) => {
          const ended = (): void => reject(new Error("the crowd's process ended"));
          this.#child.once("exit", ended);
          this.#child.once("message", (tallies) => {
            this.#child.off("exit", ended);
            resolve(tallies as Partial<Record<Kind, Tally>>);
          });
          this.#child.send(message);
        }),
    );
    this.#turn = answered.catch(() => undefined);
    return answered;
  }

  /** Opens connections; what has become of that kind of them by then. */
  async open(order: Order): Promise<Tally> {
    return (await this.#ask(order))[order.open] ?? none;
  }

  async tally(kind: Kind): Promise<Tally> {
    return (await this.#ask("count"))[kind] ?? none;
  }

  /** Ends the process, and with it every connection. */
  async leave(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    if (this.#child.exitCode === null) {
      this.#child.disconnect();
      await gone;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
