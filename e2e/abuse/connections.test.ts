// Ten thousand idle connections and a thousand slow-loris clients: others are answered meanwhile, who is slow is closed, and
// memory and figures come back.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { PORT, RemoteDaemon, SERVER_ADDRESS } from "../harness/remote.ts";
import { Crowd } from "./crowd.ts";
import type { Kind, Target } from "./crowd-worker.ts";
import { figure, residentKilobytes } from "./metrics.ts";

/** Generous: it is about being answered at all. */
const BOUND_MILLISECONDS = 5000;
const IDLE_UNIX = 8500;
const IDLE_TLS = 1500;

let remote: RemoteDaemon;
let certificates: string;
let near: Crowd;
let far: Crowd;
beforeAll(async () => {
  remote = await RemoteDaemon.start("abuse");
  certificates = await remote.client("crowd");
  await remote.daemon.importBusybox();
  near = await Crowd.gather();
  far = await Crowd.gather(remote.namespace);
});
afterAll(async () => {
  await near?.leave();
  await far?.leave();
  await remote?.stop();
});

const unix = (): Target => ({ path: remote.daemon.socket });
const tls = (): Target => ({ host: SERVER_ADDRESS, port: PORT, certificates });
const plain = (): Target => ({ host: SERVER_ADDRESS, port: PORT });

const inTime = async <T>(what: string, work: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took too long`)), BOUND_MILLISECONDS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

const idOf = (text: string): string => (JSON.parse(text) as { Id: string }).Id;

/** What somebody who behaves does, each within the bound. */
async function behave(): Promise<void> {
  const ask = async (method: string, path: string, status: number, body?: object): Promise<string> => {
    const answer = await inTime(`${method} ${path}`, remote.daemon.api(method, path, body));
    expect(answer.status, answer.text).toBe(status);
    return answer.text;
  };
  expect(await ask("GET", "/_ping", 200)).toBe("OK");
  expect(JSON.parse(await ask("GET", "/containers/json", 200))).toEqual([]);
  const box = idOf(await ask("POST", "/containers/create", 201, { Image: "busybox", Cmd: ["sleep", "600"] }));
  await ask("POST", `/containers/${box}/start`, 204);
  const exec = idOf(
    await ask("POST", `/containers/${box}/exec`, 201, { Cmd: ["echo", "well"], AttachStdout: true }),
  );
  expect(await ask("POST", `/exec/${exec}/start`, 200, {})).toContain("well");
  await ask("DELETE", `/containers/${box}?force=1`, 204);
}

describe("connections that do nothing or next to it", () => {
  it("leave the daemon's time and memory to others", async () => {
    const { daemon } = remote;
    await behave();
    const before = residentKilobytes(daemon.pid);
    const connections = await figure(daemon, "tsd_connections");

    const [idleNear, idleFar] = await Promise.all([
      near.open({ open: "idle", count: IDLE_UNIX, target: unix() }),
      far.open({ open: "idle", count: IDLE_TLS, target: tls() }),
    ]);
    expect([idleNear.opened, idleFar.opened]).toEqual([IDLE_UNIX, IDLE_TLS]);
    await behave();

    const slow: [Crowd, Kind, number, Target, number][] = [
      [near, "slow-head", 200, unix(), 16],
      [far, "slow-head", 100, tls(), 16],
      [far, "slow-hello", 200, plain(), 16],
      [far, "silent", 100, tls(), 16],
      [near, "silent", 100, unix(), 16],
      [near, "slow-body", 100, unix(), 36],
      [far, "slow-body", 50, tls(), 36],
      [near, "slow-upgrade", 100, unix(), 36],
      [near, "slow-extra", 50, unix(), 36],
    ];
    for (const [crowd, open, count, target] of slow) {
      const { opened, failed } = await crowd.open({ open, count, target });
      expect([open, opened, failed]).toEqual([open, count, 0]);
    }
    expect(await figure(daemon, "tsd_connections")).toBeGreaterThan(IDLE_UNIX + IDLE_TLS + 500);
    await behave();

    const begun = Date.now();
    for (const [crowd, kind, count, , seconds] of slow) {
      await eventually(
        `all ${count} ${kind} are closed within ${seconds} s`,
        async () => {
          await behave();
          return (await crowd.tally(kind)).closed === count;
        },
        Math.max(2000, begun + seconds * 1000 - Date.now()),
      );
    }
    expect((await near.tally("slow-head")).said).toEqual({ "HTTP/1.1 408": 200 });
    expect((await near.tally("slow-body")).said).toEqual({ "HTTP/1.1 408": 100 });
    expect([(await near.tally("idle")).closed, (await far.tally("idle")).closed]).toEqual([0, 0]);
    const most = residentKilobytes(daemon.pid);

    await near.leave();
    await far.leave();
    await eventually(
      "the connections are no longer counted",
      async () =>
        (await figure(daemon, "tsd_connections")) <= connections + 2 &&
        (await figure(daemon, "tsd_streams")) === 0,
    );
    await behave();
    await eventually(
      "its memory is what it was",
      () => residentKilobytes(daemon.pid) - before < 60_000,
      20_000,
    ).catch((error: Error) => {
      throw new Error(
        `${error.message}: ${before} kB before, ${most} at most, ${residentKilobytes(daemon.pid)} now`,
      );
    });
    console.log(
      `resident: ${before} kB before, ${most} at most, ${residentKilobytes(daemon.pid)} afterwards`,
    );
  }, 180_000);
});
