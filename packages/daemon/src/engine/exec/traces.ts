// What an exec leaves in the exec root, and its removal.
import { rm } from "node:fs/promises";

export async function removeExecTraces(places: { socket: string; exitRecord: string }): Promise<void> {
  await Promise.all([rm(places.socket, { force: true }), rm(places.exitRecord, { force: true })]);
}
