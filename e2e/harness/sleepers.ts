// Containers that do nothing, to look at.
import { expect } from "vitest";
import type { TestDaemon } from "./daemon.ts";

export interface Sleeper {
  name: string;
  id: string;
  /** Of its process, for the host. */
  pid: number;
}

export async function startSleeper(daemon: TestDaemon, name: string, ...flags: string[]): Promise<Sleeper> {
  const { stdout, stderr } = await daemon.tsctl(
    ...["run", "-d", "--name", name, ...flags, "busybox", "sleep", "1000"],
  );
  expect(stderr).toBe("");
  const { State } = JSON.parse((await daemon.api("GET", `/containers/${name}/json`)).text) as {
    State: { Pid: number };
  };
  return { name, id: stdout.trim(), pid: State.Pid };
}
