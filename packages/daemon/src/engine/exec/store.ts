// Where exec instances are kept, so that they outlive the daemon.
import type { ExecCreate } from "../../api/schemas/container-create.ts";

/** An exec instance as it is written down. */
export interface ExecRecord {
  id: string;
  containerId: string;
  request: ExecCreate;
  started: boolean;
  running: boolean;
  pid: number;
  exitCode: number | null;
  /** Milliseconds since the epoch; 0 until it has ended. */
  endedAt: number;
}

/** Every method is synchronous. */
export interface ExecStore {
  all(): ExecRecord[];
  save(record: ExecRecord): void;
  delete(id: string): void;
}
