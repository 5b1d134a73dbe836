// What an exec leaves in the exec root, and its removal.

import { rm } from "node:fs/promises";
import { foreignTraces } from "../../runtime/oci/foreign.ts";

export async function removeExecTraces(places: { socket: string; exitRecord: string }): Promise<void> {
  const traces = [places.socket, places.exitRecord, ...foreignTraces(places.socket)];
  await Promise.all(traces.map((path) => rm(path, { force: true })));
}
