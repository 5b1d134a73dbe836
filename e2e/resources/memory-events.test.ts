// A container that runs out of memory while it lives on: the event, and what inspect says of it, with the daemon there or not.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("memory-events");
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
});

const killed = async (name: string): Promise<[oomKilled: boolean, running: boolean]> => {
  const { State } = JSON.parse((await daemon.api("GET", `/containers/${name}/json`)).text) as {
    State: { OOMKilled: boolean; Running: boolean };
  };
  return [State.OOMKilled, State.Running];
};
/** How often the container's want of memory was told of. */
async function told(name: string): Promise<number> {
  const filters = JSON.stringify({ container: [name], event: ["oom"] });
  const until = Math.ceil(Date.now() / 1000) + 1;
  const { text } = await daemon.api(
    "GET",
    `/events?since=0&until=${until}&filters=${encodeURIComponent(filters)}`,
  );
  return text.split("\n").filter(Boolean).length;
}
const small = ["-m", "20m", "--memory-swap", "20m"];
const run = async (name: string, ...words: string[]): Promise<void> => {
  const { status, stderr } = await daemon.tsctl("run", "-d", "--name", name, ...words);
  expect(status, stderr).toBe(0);
};
const starve = (name: string) => daemon.tsctl("exec", name, "tail", "/dev/zero");

describe("a container that lives on", () => {
  it("is told of each time that one of its processes is killed, and starts without a past", async () => {
    await run("lives", ...small, "busybox", "sleep", "1000");
    await run("other", "busybox", "sleep", "1000");
    expect(await killed("lives")).toEqual([false, true]);
    expect((await starve("lives")).status).toBe(137);
    await eventually("it is told of", async () => (await told("lives")) === 1);
    expect(await killed("lives")).toEqual([true, true]);
    expect((await starve("lives")).status).toBe(137);
    await eventually("it is told of again", async () => (await told("lives")) === 2);
    expect([await told("other"), await killed("other")]).toEqual([0, [false, true]]);
    await daemon.tsctl("stop", "-t", "0", "lives");
    expect(await killed("lives")).toEqual([true, false]);
    expect(await told("lives")).toBe(2);
    await daemon.tsctl("start", "lives");
    expect(await killed("lives")).toEqual([false, true]);
  });

  it("is told of by the next daemon when it happened without one, and by that one only", async () => {
    const script = "while [ ! -e /go ]; do sleep 0.1; done; tail /dev/zero; touch /done; exec sleep 1000";
    await run("alone", ...small, "busybox", "sh", "-c", script);
    await daemon.tsctl("exec", "alone", "sh", "-c", "(sleep 1; touch /go) >/dev/null 2>&1 &");
    await daemon.end("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    for (const times of [1, 1]) {
      await daemon.launch();
      await eventually("it is told of", async () => (await told("alone")) === times);
      expect(await killed("alone")).toEqual([true, true]);
      expect((await daemon.tsctl("exec", "alone", "ls", "/done")).status).toBe(0);
      await daemon.end("SIGKILL");
    }
    await daemon.launch();
    expect(await told("alone")).toBe(1);
  });

  it("whose process waits instead of being killed is told of, too", async (context) => {
    // It writes to its memory itself: what the kernel writes there for it fails instead of waiting.
    const hungry = ["busybox", "sh", "-c", "x=0123456789; while :; do x=$x$x; done"];
    const waiting = ["run", "-d", "--name", "waits", ...small, "--oom-kill-disable"];
    const asked = await daemon.tsctl(...waiting, ...hungry);
    const { text } = await daemon.api("GET", "/info");
    if (!(JSON.parse(text) as { OomKillDisable: boolean }).OomKillDisable)
      return context.skip("this kernel always kills");
    expect(asked.status, asked.stderr).toBe(0);
    await eventually("it is told of", async () => (await told("waits")) >= 1);
    expect(await killed("waits")).toEqual([true, true]);
  });
});
