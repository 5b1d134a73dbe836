// A launcher that records instead of launching: for tests that compare plans, not effects.

import type { Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { LAUNCH_MAX_CLIENTS, type Launch, type PlanLauncher } from "./launcher.ts";
import { type AttachStreams, Monitor } from "./monitor.ts";
import { encodePlan } from "./plan/encode.ts";
import type { Plan } from "./plan/vocabulary.ts";

/** One recorded launch, and the monitor's side of it for the test to play. */
export interface RecordedLaunch {
  plan: Plan;
  clients: readonly AttachStreams[];
  /** Says that the process runs. */
  started(pid: number): void;
  /** Says how it ended, as waitpid(2) gives it. */
  exited(status: number): void;
  /** What the engine sent to the monitor. */
  received(): Buffer;
}

function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32LE(payload.length + 1, 0);
  head.writeUInt8(type, 4);
  return Buffer.concat([head, payload]);
}

/** Encodes each plan, so that what could not be sent is found here too, and keeps it. */
export class RecordingLauncher implements PlanLauncher {
  readonly launches: RecordedLaunch[] = [];

  launch(plan: Plan, clients: readonly AttachStreams[] = []): Launch {
    if (clients.length > LAUNCH_MAX_CLIENTS)
      throw new RangeError(`more than ${LAUNCH_MAX_CLIENTS} clients at start`);
    encodePlan(plan);
    const toEngine = new PassThrough();
    const fromEngine: Buffer[] = [];
    const control = Duplex.from({
      readable: toEngine,
      writable: new PassThrough().on("data", (chunk: Buffer) => fromEngine.push(chunk)),
    });
    this.launches.push({
      plan,
      clients,
      started: (pid) => {
        const payload = Buffer.alloc(16);
        payload.writeUInt32LE(1, 0);
        payload.writeInt32LE(pid, 4);
        payload.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 8);
        toEngine.write(frame(1, payload));
      },
      exited: (status) => {
        const payload = Buffer.alloc(12);
        payload.writeInt32LE(status, 0);
        payload.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 4);
        toEngine.write(frame(3, payload));
      },
      received: () => Buffer.concat(fromEngine),
    });
    return {
      monitor: new Monitor(control as unknown as Socket),
      clients: clients.map(() => new PassThrough() as unknown as Socket),
    };
  }
}
