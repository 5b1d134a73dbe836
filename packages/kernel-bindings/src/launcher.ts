// Starts the launcher program and hands plans to it.
import { spawn } from "node:child_process";
import { closeSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { HelperProcess } from "./helper.ts";
import { memoryFile, sendDescriptors, socketPair } from "./libc.ts";
import { type AttachStreams, attachFlags, Monitor } from "./monitor.ts";
import { encodePlan } from "./plan/encode.ts";
import type { Plan } from "./plan/vocabulary.ts";

const LAUNCH_MAGIC = 0x4c445354; // "TSDL"
/** Clients that can be attached from the start; more can attach once the process runs. */
export const LAUNCH_MAX_CLIENTS = 8;

/** A process on its way: its monitor, and one stream for each client attached from the start. */
export interface Launch {
  monitor: Monitor;
  clients: Socket[];
}

/** What carries plans out: the launcher process, or a recording fake in tests. */
export interface PlanLauncher {
  /** Starts carrying `plan` out. Failures of its steps come through `monitor.started`. */
  launch(plan: Plan, clients?: readonly AttachStreams[]): Launch;
}

function request(clients: readonly AttachStreams[]): Buffer {
  const bytes = Buffer.alloc(8 + LAUNCH_MAX_CLIENTS);
  bytes.writeUInt32LE(LAUNCH_MAGIC, 0);
  bytes.writeUInt32LE(clients.length, 4);
  clients.forEach((client, index) => {
    bytes.writeUInt8(attachFlags(client), 8 + index);
  });
  return bytes;
}

/** Carries out one plan with this program's own streams; nothing of ours but the plan's process need be left then. */
export function launchOnce(program: string, plan: Plan): Monitor {
  const [own, its] = socketPair();
  const [control, theirControl] = socketPair();
  const theirs = [memoryFile("tsd-plan"), theirControl];
  try {
    const bytes = encodePlan(plan);
    for (let written = 0; written < bytes.length; ) written += writeSync(theirs[0] ?? -1, bytes, written);
    spawn(program, ["--once"], { stdio: [0, 1, 2, its] }).unref();
    sendDescriptors(own, request([]), theirs);
  } finally {
    for (const descriptor of [...theirs, its]) closeSync(descriptor);
    closeSync(own);
  }
  return new Monitor(new Socket({ fd: control, allowHalfOpen: true, readable: true, writable: true }));
}

/** The launcher process: forks a monitor for each plan. Monitors don't notice when it dies. */
export class Launcher implements PlanLauncher {
  readonly #helper: HelperProcess;

  /** `report` hears of the launcher's death. */
  constructor(program: string, report: (message: string) => void) {
    this.#helper = new HelperProcess(program, [], "stream", report);
  }

  get pid(): number | undefined {
    return this.#helper.pid;
  }

  launch(plan: Plan, clients: readonly AttachStreams[] = []): Launch {
    if (clients.length > LAUNCH_MAX_CLIENTS)
      throw new RangeError(`more than ${LAUNCH_MAX_CLIENTS} clients at start`);
    const bytes = encodePlan(plan);
    const theirs: number[] = [];
    const ours: number[] = [];
    try {
      const memory = memoryFile("tsd-plan");
      theirs.push(memory);
      for (let written = 0; written < bytes.length; ) written += writeSync(memory, bytes, written);
      for (let i = 0; i <= clients.length; i++) {
        const [own, its] = socketPair();
        ours.push(own);
        theirs.push(its);
      }
      this.#helper.send(request(clients), theirs);
    } catch (error) {
      for (const descriptor of ours) closeSync(descriptor);
      throw error;
    } finally {
      for (const descriptor of theirs) closeSync(descriptor);
    }
    const [control, ...streams] = ours.map(
      (fd) => new Socket({ fd, allowHalfOpen: true, readable: true, writable: true }),
    );
    if (!control) throw new Error("no control connection");
    return { monitor: new Monitor(control), clients: streams };
  }

  /** Ends the launcher; the monitors it forked go on. */
  close(): void {
    this.#helper.close();
  }
}
