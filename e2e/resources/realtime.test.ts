// Real-time scheduling felt: a container has what it asked for of what the daemon gives to all, and nobody has more.
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, run } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

const place = ["cpu", "cpu,cpuacct"]
  .map((name) => `/sys/fs/cgroup/${name}`)
  .find((path) => existsSync(`${path}/cpu.rt_runtime_us`));
const PERIOD = 100_000;
const GIVEN = 30_000;

let daemon: TestDaemon;
beforeAll(async () => {
  const flags = ["--cpu-rt-runtime", String(GIVEN), "--cpu-rt-period", String(PERIOD)];
  daemon = await TestDaemon.start("realtime", undefined, place ? { flags } : {});
  await daemon.importBusybox();
});
afterAll(() => daemon?.stop());

const create = (HostConfig: object) =>
  daemon.api("POST", "/containers/create", {
    Image: "busybox",
    Cmd: ["sh", "-c", "while :; do :; done"],
    HostConfig,
  });
const idOf = ({ text }: { text: string }): string => (JSON.parse(text) as { Id: string }).Id;
const inspect = async (id: string) =>
  JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as {
    State: { Pid: number };
    HostConfig: object;
  };
const microseconds = (id: string): number =>
  Number(readFileSync(`${place}${daemon.cgroupParent}/${id}/cpu.rt_runtime_us`, "utf8"));
/** Puts a container's loop before all that is not real-time: the host does, so that no right of the container's is in play. */
const schedule = async (id: string) => run("chrt", ["-f", "-p", "50", String((await inspect(id)).State.Pid)]);
/** How much of a processor its loop gets. */
async function shareOf(id: string): Promise<number> {
  const { Pid } = (await inspect(id)).State;
  const ticks = (): number => {
    const fields = readFileSync(`/proc/${Pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  const [before, begun] = [ticks(), performance.now()];
  await delay(3000);
  return ((ticks() - before) * 10) / (performance.now() - begun);
}

describe("real-time scheduling", () => {
  it("of a container is what it asked for, and changes live", async (context) => {
    if (!place) return context.skip("this kernel's groups have no real-time scheduling of their own");
    const limits = { CpuRealtimePeriod: PERIOD, CpuRealtimeRuntime: 10_000 };
    const created = await create({ ...limits, CpusetCpus: "0" });
    expect(created.status, created.text).toBe(201);
    const id = idOf(created);
    const started = await daemon.api("POST", `/containers/${id}/start`);
    expect(started.status, started.text).toBe(204);
    expect(microseconds(id)).toBe(10_000);
    const { status, stderr } = await schedule(id);
    expect(status, stderr).toBe(0);
    const tenth = await shareOf(id);
    expect(tenth).toBeGreaterThan(0.08);
    expect(tenth).toBeLessThan(0.12);
    const updated = await daemon.tsctl("update", "--cpu-rt-runtime", "25000", id);
    expect(updated.status, updated.stderr).toBe(0);
    expect(microseconds(id)).toBe(25_000);
    const quarter = await shareOf(id);
    expect(quarter).toBeGreaterThan(0.22);
    expect(quarter).toBeLessThan(0.28);
    const verified = await daemon.tsctl("verify", id);
    expect(verified.status, verified.stdout).toBe(0);
    expect((await inspect(id)).HostConfig).toMatchObject({ ...limits, CpuRealtimeRuntime: 25_000 });
    // What is left for others is less than this one asks for: only the kernel adds it up.
    const second = idOf(await create(limits));
    const refused = await daemon.api("POST", `/containers/${second}/start`);
    expect([refused.status, refused.text]).toEqual([
      500,
      expect.stringMatching(/write \/sys\/fs\/cgroup\/.*cpu\.rt_runtime_us: invalid argument/),
    ]);
    expect(existsSync(`${place}${daemon.cgroupParent}/${second}`)).toBe(false);
    await daemon.api("DELETE", `/containers/${id}?force=1`);
    // The kernel takes a while to forget a group that is gone.
    await eventually(
      "what it had is free",
      async () => (await daemon.api("POST", `/containers/${second}/start`)).status === 204,
    );
  });

  it("is taken up by one that runs without", async (context) => {
    if (!place) return context.skip("this kernel's groups have no real-time scheduling of their own");
    await daemon.clear();
    const id = idOf(await create({}));
    const started = await daemon.api("POST", `/containers/${id}/start`);
    expect(started.status, started.text).toBe(204);
    expect((await schedule(id)).stderr).toContain("Operation not permitted");
    const updated = await daemon.tsctl(
      "update",
      "--cpu-rt-period",
      String(PERIOD),
      "--cpu-rt-runtime",
      "5000",
      id,
    );
    expect(updated.status, updated.stderr).toBe(0);
    const { status, stderr } = await schedule(id);
    expect(status, stderr).toBe(0);
  });

  it("beyond what containers have together is refused to who starts, with the field", async (context) => {
    if (!place) return context.skip("this kernel's groups have no real-time scheduling of their own");
    await daemon.clear();
    const message =
      /HostConfig.CpuRealtimeRuntime: 30001 of 100000 microseconds are more than .*, 30000 of 100000/;
    const id = idOf(await create({ CpuRealtimePeriod: PERIOD, CpuRealtimeRuntime: GIVEN + 1 }));
    const started = await daemon.api("POST", `/containers/${id}/start`);
    expect([started.status, started.text]).toEqual([500, expect.stringMatching(message)]);
    const updated = await daemon.api("POST", `/containers/${id}/update`, { CpuRealtimeRuntime: GIVEN });
    expect(updated.status, updated.text).toBe(200);
    expect((await daemon.api("POST", `/containers/${id}/start`)).status).toBe(204);
    const more = await daemon.api("POST", `/containers/${id}/update`, { CpuRealtimeRuntime: GIVEN + 1 });
    expect([more.status, more.text]).toEqual([500, expect.stringMatching(/cpu\.rt_runtime_us: EINVAL/)]);
    expect(microseconds(id)).toBe(GIVEN);
  });

  it("is refused at create and at update where the kernel has none for groups", async (context) => {
    if (place) return context.skip("this kernel has");
    const message = "Your kernel does not support CPU real-time scheduler";
    const created = await create({ CpuRealtimeRuntime: 1000 });
    expect([created.status, created.text]).toEqual([400, expect.stringContaining(message)]);
    const id = idOf(await create({}));
    const updated = await daemon.api("POST", `/containers/${id}/update`, { CpuRealtimeRuntime: 1000 });
    expect([updated.status, updated.text]).toEqual([400, expect.stringContaining(message)]);
  });

  it("is refused to a daemon that can't give it", async () => {
    const words = ["-H", `unix://${daemon.root}/other.sock`, "--data-root", `${daemon.root}/other`];
    const start = (...more: string[]) => run(daemonProgram, [...words, ...more]);
    const more = await start("--cpu-rt-runtime", "2000000");
    expect([more.status, more.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining("--cpu-rt-runtime 2000000: more than the period"),
    ]);
    expect(more.status).not.toBe(0);
  });
});
