// A daemon's own figures, and its memory.
import { readFileSync } from "node:fs";
import type { TestDaemon } from "../harness/daemon.ts";

export const residentKilobytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);

/** One of the figures at /metrics, by its name and labels. */
export async function figure(daemon: TestDaemon, name: string): Promise<number> {
  const { text } = await daemon.api("GET", "/metrics");
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? 0);
}
