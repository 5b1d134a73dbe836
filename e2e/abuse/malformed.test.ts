// Requests that nobody should send, by the ten thousand: each is answered in the API's own way, none of them with a 500 that
// dockerd would not give, and the daemon is the same afterwards. They are the same ones each time, so that a failure is the
// change's: TSD_ABUSE_SEED=random sends others, TSD_ABUSE_REQUESTS=100000 as many as that.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";
import { problemsOf } from "./judge.ts";
import { residentKilobytes } from "./metrics.ts";
import { malformedRequests } from "./requests.ts";
import { RawClient } from "./wire.ts";

const REQUESTS = Number(process.env.TSD_ABUSE_REQUESTS ?? 20_000);
const { TSD_ABUSE_SEED: asked = "22907" } = process.env;
const SEED = asked === "random" ? Date.now() % 1_000_000 : Number(asked);
const LANES = 16;
const BATCH = 400;
const BATCHES_PER_ROUND = 20;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("malformed");
  await daemon.importBusybox();
});
afterAll(() => daemon?.stop());

const idOf = (text: string): string => (JSON.parse(text) as { Id: string }).Id;

/** What requests can act on, as it should be: requests before may have changed or removed it. Returns an exec of it. */
async function prepare(): Promise<string> {
  await daemon.clear();
  if ((await daemon.api("GET", "/images/busybox/json")).status === 404) await daemon.importBusybox();
  const container = {
    Image: "busybox",
    Cmd: ["sleep", "1000"],
    HostConfig: { Init: true, NetworkMode: "none" },
  };
  for (const name of ["abuse-running", "abuse-created"]) {
    const { status, text } = await daemon.api("POST", `/containers/create?name=${name}`, container);
    expect(status, text).toBe(201);
  }
  expect((await daemon.api("POST", "/containers/abuse-running/start")).status).toBe(204);
  const exec = await daemon.api("POST", "/containers/abuse-running/exec", { Cmd: ["true"] });
  expect(exec.status, exec.text).toBe(201);
  return idOf(exec.text);
}

/** A daemon that can't be reached any more has left its reason in its log. */
async function orItsEnd(error: Error): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, 500));
  throw daemon.isRunning ? error : new Error(`the daemon ended: ${daemon.log.slice(-4000)}`);
}

describe("malformed requests", () => {
  it(`${REQUESTS} of them, made from the API's description, seed ${SEED}`, async () => {
    const { pid } = daemon;
    const clients = Array.from({ length: LANES }, () => new RawClient(daemon.socket));
    const statuses = new Map<number, number>();
    let sent = 0;
    let before = 0;
    for (let round = 0; sent < REQUESTS; round++) {
      const names = ["abuse-running", "abuse-created", "busybox", "bridge", await prepare()];
      const property = fc.asyncProperty(
        fc.array(malformedRequests(names), { maxLength: BATCH, size: "max" }),
        async (requests) => {
          const left = [...requests];
          sent += left.length;
          const problems: string[] = [];
          await Promise.all(
            clients.map(async (client) => {
              for (let request = left.pop(); request; request = left.pop()) {
                const outcome = await client.send(request).catch(orItsEnd);
                for (const { status } of outcome.answers)
                  statuses.set(status, (statuses.get(status) ?? 0) + 1);
                problems.push(...problemsOf(request, outcome));
              }
            }),
          );
          if (problems.length > 0) throw new Error(problems.join("\n"));
        },
      );
      await fc.assert(property, {
        seed: SEED + round,
        numRuns: BATCHES_PER_ROUND,
        interruptAfterTimeLimit: 120_000,
      });
      if (round === 0) before = residentKilobytes(daemon.pid);
      expect(daemon.isRunning && daemon.pid === pid, daemon.log.slice(-2000)).toBe(true);
    }
    for (const client of clients) client.close();
    console.log(`${sent} requests:`, Object.fromEntries([...statuses].sort(([a], [b]) => a - b)));
    expect(daemon.log).not.toContain("request failed");
    expect(residentKilobytes(daemon.pid) - before).toBeLessThan(60_000);
    await prepare();
    const ran = await daemon.tsctl("run", "--rm", "busybox", "echo", "well");
    expect([ran.status, ran.stdout, ran.stderr]).toEqual([0, "well\n", ""]);
  }, 600_000);
});
