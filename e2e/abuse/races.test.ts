// Clients that get in each other's way: starts, restarts, execs and copies while the container is killed and removed. No
// answer is a failure of the system, and nothing is left behind, neither running nor lying about.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer } from "../harness/api.ts";
import { TestDaemon } from "../harness/daemon.ts";

const CLIENTS = 8;
const LIVES = 20;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("races");
  await daemon.importBusybox();
});
afterAll(() => daemon?.stop());

const idOf = ({ text }: Answer): string => (JSON.parse(text) as { Id: string }).Id;
const moment = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.random() * milliseconds));

/** One container, with everything at once. */
async function life(name: string, kind: number): Promise<Answer[]> {
  const ask = (method: string, path: string, body?: object): Promise<Answer> =>
    daemon.api(method, `/containers/${name}${path}`, body);
  const config = { Image: "busybox", Cmd: ["sleep", "600"], HostConfig: { NetworkMode: "none", Init: true } };
  const answers = [await daemon.api("POST", `/containers/create?name=${name}`, config)];
  answers.push(await ask("POST", "/start"));
  const execs = await Promise.all(Array.from({ length: 4 }, () => ask("POST", "/exec", { Cmd: ["true"] })));
  const work = execs.map((exec) => daemon.api("POST", `/exec/${idOf(exec)}/start`, { Detach: true }));
  await moment(4);
  if (kind === 0) work.push(ask("POST", "/restart?t=0"), ask("POST", "/restart?t=0"));
  if (kind === 1) work.push(ask("POST", "/kill"), ask("POST", "/start"));
  work.push(ask("GET", "/archive?path=/etc/passwd"), ask("GET", "/json"), ask("POST", "/pause"));
  await moment(6);
  work.push(ask("DELETE", "?force=1"), ask("POST", "/start"));
  answers.push(...(await Promise.all(work)));
  return answers;
}

/** An exec whose container ends while it starts: dockerd's words and status. */
const endedMeanwhile = /OCI runtime exec failed/;

describe("requests that get in each other's way", () => {
  it("are all answered, and leave nothing", async () => {
    const failures: string[] = [];
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, client) => {
        for (let index = 0; index < LIVES; index++)
          for (const { status, text } of await life(`race-${client}-${index}`, index % 3))
            if (status >= 500 && !endedMeanwhile.test(text)) failures.push(`${status} ${text}`);
      }),
    );
    expect([...new Set(failures)]).toEqual([]);
    expect(JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text)).toEqual([]);
    expect(await daemon.lastingLeaks()).toEqual([]);
  }, 120_000);
});
