// Restart policies and healthchecks, over the daemon's own restarts and what looks like the machine's.
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("restarts");
  await daemon.importBusybox();
});
afterEach(() => daemon.clear());
afterAll(() => daemon.stop());

interface Inspect {
  State: {
    Status: string;
    Running: boolean;
    Restarting: boolean;
    Dead: boolean;
    Pid: number;
    ExitCode: number;
    Error: string;
    StartedAt: string;
    FinishedAt: string;
    OOMKilled: boolean;
    Health?: { Status: string; FailingStreak: number; Log: { ExitCode: number; Output: string }[] };
  };
  RestartCount: number;
}

async function create(body: object, name?: string): Promise<string> {
  const query = name ? `?name=${name}` : "";
  const { status, text } = await daemon.api("POST", `/containers/create${query}`, {
    Image: "busybox",
    ...body,
  });
  expect(status, text).toBe(201);
  return (JSON.parse(text) as { Id: string }).Id;
}
async function run(body: object): Promise<string> {
  const id = await create(body);
  expect((await daemon.api("POST", `/containers/${id}/start`)).status).toBe(204);
  return id;
}
const inspect = async (id: string): Promise<Inspect> =>
  JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as Inspect;
const status = async (id: string): Promise<string> => (await inspect(id)).State.Status;
const reaches = (id: string, wanted: string): Promise<void> =>
  eventually(`${wanted}`, async () => (await status(id)) === wanted);

/** Pids of this daemon's monitors. */
const monitors = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "tsd-monitor" &&
          readFileSync(`/proc/net/unix`, "utf8").includes(daemon.root)
        );
      } catch {
        return false;
      }
    })
    .map(Number);

/** The monitor of a container: the parent of its process. */
async function monitorOf(id: string): Promise<number> {
  const { State } = await inspect(id);
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${State.Pid}/status`, "utf8"))?.[1]);
}

describe("restart policies", () => {
  it("always: starts again with a growing delay, until it is stopped", async () => {
    const id = await run({ Cmd: ["sh", "-c", "exit 3"], HostConfig: { RestartPolicy: { Name: "always" } } });
    await eventually("three restarts", async () => (await inspect(id)).RestartCount >= 3);
    const begin = Date.now();
    const count = (await inspect(id)).RestartCount;
    await eventually("another", async () => (await inspect(id)).RestartCount > count);
    expect(Date.now() - begin).toBeGreaterThan(150); // the third delay is 400 ms
    expect((await daemon.api("POST", `/containers/${id}/stop`)).status).toBe(204);
    const stopped = await inspect(id);
    expect(stopped.State).toMatchObject({ Status: "exited", ExitCode: 3, Restarting: false });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect((await inspect(id)).RestartCount).toBe(stopped.RestartCount);
    await daemon.api("POST", `/containers/${id}/start`);
    expect((await inspect(id)).RestartCount).toBeLessThan(stopped.RestartCount);
  });

  it("says that it is restarting, and that nothing can be executed meanwhile", async () => {
    const id = await run({ Cmd: ["false"], HostConfig: { RestartPolicy: { Name: "always" } } });
    await eventually("a long delay", async () => (await inspect(id)).RestartCount >= 4);
    await reaches(id, "restarting");
    expect((await inspect(id)).State).toMatchObject({ Running: true, Restarting: true, Pid: 0 });
    const exec = await daemon.api("POST", `/containers/${id}/exec`, { Cmd: ["true"] });
    expect([exec.status, JSON.parse(exec.text).message]).toEqual([
      409,
      `Container ${id} is restarting, wait until the container is running`,
    ]);
    const list = JSON.parse(
      (await daemon.api("GET", '/containers/json?filters={"status":["restarting"]}')).text,
    ) as { Id: string; Status: string }[];
    expect(list.map(({ Id }) => Id)).toEqual([id]);
    expect(list[0]?.Status).toMatch(/^Restarting \(1\) /);
    const removal = await daemon.api("DELETE", `/containers/${id}`);
    expect(removal.status).toBe(409);
  });

  it("on-failure: as often as it says, and not after a success", async () => {
    const policy = { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } };
    const failing = await run({ Cmd: ["sh", "-c", "exit 4"], HostConfig: policy });
    const succeeding = await run({ Cmd: ["true"], HostConfig: policy });
    await eventually("the end", async () => {
      const { State, RestartCount } = await inspect(failing);
      return RestartCount === 2 && State.Status === "exited";
    });
    expect((await inspect(failing)).State.ExitCode).toBe(4);
    await reaches(succeeding, "exited");
    expect((await inspect(succeeding)).RestartCount).toBe(0);
  });

  it("unless-stopped: killed by hand it stays, ended by itself it comes back", async () => {
    const policy = { RestartPolicy: { Name: "unless-stopped" } };
    const id = await run({ Cmd: ["sleep", "1000"], HostConfig: policy });
    const { State } = await inspect(id);
    process.kill(State.Pid, "SIGKILL");
    await eventually("a new process", async () => {
      const now = await inspect(id);
      return now.State.Running && now.State.Pid !== 0 && now.State.Pid !== State.Pid;
    });
    await daemon.api("POST", `/containers/${id}/kill`);
    await reaches(id, "exited");
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await status(id)).toBe("exited");
  });

  it("can be changed while it runs", async () => {
    const id = await run({ Cmd: ["sleep", "1000"] });
    const update = await daemon.api("POST", `/containers/${id}/update`, {
      RestartPolicy: { Name: "always" },
    });
    expect([update.status, update.text]).toEqual([200, '{"Warnings":null}']);
    process.kill((await inspect(id)).State.Pid, "SIGKILL");
    await eventually("a restart", async () => (await inspect(id)).RestartCount === 1);
  });

  it("are applied to what ended while there was no daemon", async () => {
    const always = { RestartPolicy: { Name: "always" } };
    const unless = { RestartPolicy: { Name: "unless-stopped" } };
    const failure = { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 5 } };
    const ids = {
      ended: await run({ Cmd: ["sleep", "1000"], HostConfig: always }),
      stoppedAlways: await run({ Cmd: ["sleep", "1000"], HostConfig: always }),
      stoppedUnless: await run({ Cmd: ["sleep", "1000"], HostConfig: unless }),
      failed: await run({ Cmd: ["sh", "-c", "sleep 1000 & wait; exit 9"], HostConfig: failure }),
      plain: await run({ Cmd: ["sh", "-c", "trap 'exit 5' TERM; sleep 1000 & wait"] }),
      running: await run({ Cmd: ["sleep", "1000"] }),
      never: await create({ Cmd: ["sleep", "1000"], HostConfig: always }),
    };
    for (const id of [ids.stoppedAlways, ids.stoppedUnless])
      await daemon.api("POST", `/containers/${id}/stop?t=0`);
    const pids = {
      ended: (await inspect(ids.ended)).State.Pid,
      failed: (await inspect(ids.failed)).State.Pid,
      plain: (await inspect(ids.plain)).State.Pid,
      running: (await inspect(ids.running)).State.Pid,
    };
    await daemon.end("SIGKILL");
    for (const pid of [pids.ended, pids.failed]) process.kill(pid, "SIGKILL");
    process.kill(pids.plain, "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await daemon.launch();
    for (const id of [ids.ended, ids.stoppedAlways, ids.failed]) await reaches(id, "running");
    expect((await inspect(ids.plain)).State).toMatchObject({ Status: "exited", ExitCode: 5 });
    expect((await inspect(ids.running)).State.Pid).toBe(pids.running);
    expect(await status(ids.stoppedUnless)).toBe("exited");
    expect(await status(ids.never)).toBe("created");
    expect(daemon.log).toMatch(/"adopted":1,"endedMeanwhile":3,/);
  });

  it("start the right ones after the machine was restarted", async () => {
    const ids = {
      always: await run({ Cmd: ["sleep", "1000"], HostConfig: { RestartPolicy: { Name: "always" } } }),
      unless: await run({
        Cmd: ["sleep", "1000"],
        HostConfig: { RestartPolicy: { Name: "unless-stopped" } },
      }),
      none: await run({ Cmd: ["sleep", "1000"] }),
    };
    // A restart leaves the data root and nothing else: no process, no exec root.
    const pids = await Promise.all(Object.values(ids).map(async (id) => (await inspect(id)).State.Pid));
    const keepers = await Promise.all(Object.values(ids).map(monitorOf));
    await daemon.end("SIGKILL");
    for (const pid of [...keepers, ...pids]) process.kill(pid, "SIGKILL");
    rmSync(join(daemon.root, "run"), { recursive: true });
    await daemon.launch();
    await reaches(ids.always, "running");
    await reaches(ids.unless, "running");
    expect((await inspect(ids.none)).State).toMatchObject({ Status: "dead", Dead: true, ExitCode: 137 });
    expect((await inspect(ids.none)).State.Error).toContain("monitor was lost");
    expect((await daemon.api("POST", `/containers/${ids.none}/start`)).status).toBe(204);
  });
});

describe("the daemon's helpers", () => {
  it("a monitor that is killed: its container is reported dead, with the reason", async () => {
    const id = await run({ Cmd: ["sleep", "1000"] });
    const waiting = daemon.api("POST", `/containers/${id}/wait`);
    process.kill(await monitorOf(id), "SIGKILL");
    expect(JSON.parse((await waiting).text)).toEqual({ StatusCode: 137 });
    const { State } = await inspect(id);
    expect(State).toMatchObject({ Status: "dead", Running: false, Pid: 0, ExitCode: 137 });
    expect(State.Error).toContain("monitor was lost");
    expect(await daemon.lastingLeaks()).toEqual([]);
    expect((await daemon.api("POST", `/containers/${id}/start`)).status).toBe(204);
    expect((await inspect(id)).State).toMatchObject({ Status: "running", Error: "" });
  });

  it("a launcher that is killed is replaced; nobody notices", async () => {
    const id = await run({ Cmd: ["sleep", "1000"] });
    for (let round = 0; round < 5; round++) {
      const launcher = readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .find((pid) => {
          try {
            const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
            return (
              readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "tsd-launcher" &&
              Number(parent) === daemon.pid
            );
          } catch {
            return false;
          }
        });
      process.kill(Number(launcher), "SIGKILL");
      await eventually("a start", async () => {
        const { status } = await daemon.tsctl("run", "--rm", "busybox", "true");
        return status === 0;
      });
    }
    expect(await status(id)).toBe("running");
    expect(monitors().length).toBeGreaterThan(0);
  });

  it("shutdown ends the daemon, and the containers only where that was asked for", async () => {
    const policy = { RestartPolicy: { Name: "unless-stopped" } };
    const id = await run({ Cmd: ["sleep", "1000"], StopTimeout: 0, HostConfig: policy });
    const plain = await run({ Cmd: ["sleep", "1000"], StopTimeout: 0 });
    const { Pid } = (await inspect(id)).State;
    expect((await daemon.tsctl("system", "shutdown")).status).toBe(0);
    await eventually("the daemon's end", () => !daemon.isRunning);
    expect(readFileSync(`/proc/${Pid}/comm`, "utf8")).toBe("sleep\n");
    await daemon.launch();
    expect((await inspect(id)).State.Pid).toBe(Pid);
    await daemon.api("POST", `/containers/${id}/update`, {});
    expect((await daemon.tsctl("system", "shutdown", "--stop-containers")).status).toBe(0);
    await eventually("the daemon's end", () => !daemon.isRunning);
    expect(() => readFileSync(`/proc/${Pid}/comm`)).toThrow();
    await daemon.launch();
    await reaches(id, "running");
    expect(await status(plain)).toBe("exited");
  }, 40_000);
});

describe("healthchecks", () => {
  const probe = (command: string, more: object = {}): object => ({
    Cmd: ["sleep", "1000"],
    Healthcheck: { Test: ["CMD-SHELL", command], Interval: 100e6, Timeout: 2e9, Retries: 2, ...more },
  });
  const health = async (id: string): Promise<string | undefined> => (await inspect(id)).State.Health?.Status;

  it("go from starting to healthy to unhealthy and back, with events", async () => {
    const since = Date.now() / 1000;
    const id = await run(probe("echo looked; test -e /well"));
    expect(await health(id)).toBe("starting");
    await eventually("unhealthy", async () => (await health(id)) === "unhealthy");
    await daemon.tsctl("exec", id, "touch", "/well");
    await eventually("healthy", async () => (await health(id)) === "healthy");
    const { Health } = (await inspect(id)).State;
    expect(Health?.FailingStreak).toBe(0);
    expect(Health?.Log.at(-1)).toMatchObject({ ExitCode: 0, Output: "looked\n" });
    expect(
      (await daemon.docker("ps", "--filter", "health=healthy", "--format", "{{.Status}}")).stdout,
    ).toMatch(/^Up .* \(healthy\)\n$/);
    const events = await daemon.docker(
      ...["events", "--since", String(since), "--until", String(Date.now() / 1000)],
      ...["--filter", "event=health_status", "--format", "{{.Action}}"],
    );
    expect(events.stdout.trim().split("\n")).toEqual(["health_status: unhealthy", "health_status: healthy"]);
  });

  it("CMD, NONE, time-outs, and a start period in which failures do not count", async () => {
    const direct = await run({
      Cmd: ["sleep", "1000"],
      Healthcheck: { Test: ["CMD", "test", "-e", "/bin/sh"], Interval: 100e6 },
    });
    const none = await run({ Cmd: ["sleep", "1000"], Healthcheck: { Test: ["NONE"] } });
    const slow = await run(probe("sleep 30", { Timeout: 200e6 }));
    const patient = await run(probe("false", { StartPeriod: 60e9, StartInterval: 50e6 }));
    await eventually("healthy", async () => (await health(direct)) === "healthy");
    await eventually("unhealthy", async () => (await health(slow)) === "unhealthy");
    const log = (await inspect(slow)).State.Health?.Log.at(-1);
    expect(log).toMatchObject({ ExitCode: -1, Output: "Health check exceeded timeout (200ms)" });
    expect(await health(none)).toBeUndefined();
    await eventually("probes", async () => ((await inspect(patient)).State.Health?.Log.length ?? 0) >= 3);
    expect((await inspect(patient)).State.Health).toMatchObject({ Status: "starting", FailingStreak: 0 });
  });

  it("--health-on-failure restarts, stops or kills", async () => {
    const start = async (action: string): Promise<string> => {
      const made = await daemon.tsctl(
        ...["run", "-d", "--health-cmd", "test ! -e /ill", "--health-interval", "100ms"],
        ...["--health-retries", "1", "--health-on-failure", action, "--stop-timeout", "0"],
        ...["busybox", "sh", "-c", "rm -f /ill; sleep 1000"],
      );
      expect(made.stderr).toBe("");
      return made.stdout.trim();
    };
    const [restart, stop, kill] = [await start("restart"), await start("stop"), await start("kill")];
    const before = (await inspect(restart)).State.StartedAt;
    for (const id of [restart, stop, kill]) await daemon.tsctl("exec", id, "touch", "/ill");
    await reaches(stop, "exited");
    await reaches(kill, "exited");
    await eventually("another life", async () => {
      const { State } = await inspect(restart);
      return State.Running && State.StartedAt !== before && State.Health?.Status === "healthy";
    });
  });

  it("go on after the daemon was killed", async () => {
    const id = await run(probe("true"));
    await eventually("healthy", async () => (await health(id)) === "healthy");
    await daemon.end("SIGKILL");
    await daemon.launch();
    expect(await health(id)).toBe("healthy");
    await daemon.tsctl("exec", id, "true");
    const last = (await inspect(id)).State.Health?.Log.at(-1);
    await eventually("another probe", async () => {
      const log = (await inspect(id)).State.Health?.Log.at(-1);
      return JSON.stringify(log) !== JSON.stringify(last);
    });
  });
});
