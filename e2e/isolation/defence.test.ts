// Runtime defence: executables that a container wrote, rights that a process was not given, other namespaces; as events, and what is
// done about them. Once where the kernel tells the daemon of processes, once where it does not (a network namespace of its own).
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually, run } from "../harness/command.ts";
import { daemonProgram, repository, TestDaemon } from "../harness/daemon.ts";
import { type Sleeper, startSleeper } from "../harness/sleepers.ts";

const BRIDGE = "tsdtestdef0";
const initProgram = join(repository, "packages/kernel-bindings/launcher/build/tsd-init");
/** What is only seen when every process is looked at takes some seconds. */
const PATIENCE = 20_000;

interface Told {
  kind: string;
  what: string;
  detail: string;
  reaction: string;
}

describe.each([
  ["in a network namespace of its own", false],
  ["in the machine's first namespaces", true],
] as const)("a daemon %s", (_where, first) => {
  let daemon: TestDaemon;
  let number = 0;
  beforeAll(async () => {
    // The daemon's own nsenter is led back to where the tests are.
    const program = first ? ["nsenter", `--net=/proc/${process.pid}/ns/net`, daemonProgram] : [daemonProgram];
    const flags = first ? ["--bridge", BRIDGE, "--bip", "172.26.77.1/24", "--iptables=false"] : [];
    daemon = await TestDaemon.start("defence", program, { flags });
    await daemon.importBusybox();
  });
  afterEach(() => daemon.clear());
  afterAll(async () => {
    await daemon?.stop();
    if (first) await run("ip", ["link", "del", BRIDGE]);
  });

  const start = (...flags: string[]): Promise<Sleeper> =>
    startSleeper(daemon, `guarded-${++number}`, ...flags);
  const inside = ({ name }: { name: string }, script: string, ...flags: string[]) =>
    daemon.tsctl("exec", ...flags, name, "sh", "-c", script);

  async function told({ id }: { id: string }): Promise<Told[]> {
    const filters = encodeURIComponent(JSON.stringify({ event: ["defence"], container: [id] }));
    const until = Math.ceil(Date.now() / 1000);
    const { text } = await daemon.api("GET", `/events?since=0&until=${until}&filters=${filters}`);
    return text
      .split("\n")
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { Actor: { Attributes: Told } }).Actor.Attributes);
  }
  const tells = (target: { id: string }, kind: string): Promise<void> =>
    eventually(
      `an event of kind ${kind}`,
      async () => (await told(target)).some((one) => one.kind === kind),
      PATIENCE,
    );
  const status = async ({ name }: { name: string }): Promise<string> =>
    (JSON.parse((await daemon.api("GET", `/containers/${name}/json`)).text) as { State: { Status: string } })
      .State.Status;
  const listens = (): boolean =>
    readdirSync(`/proc/${daemon.pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${daemon.pid}/fd/${fd}`).includes("fanotify");
      } catch {
        return false;
      }
    });

  it("sees an executable that was written inside, once, and none of the image's", async () => {
    const target = await start("--defence", "report");
    await inside(
      target,
      "ls / >/dev/null; chmod 700 /bin/busybox; /bin/busybox true; chmod 755 /bin/busybox",
    );
    await inside(
      target,
      "cp /bin/busybox /true; /true; /true; mkdir /a; cp /bin/busybox '/a/false'; /a/false",
    );
    await eventually("both", async () => (await told(target)).length >= 2, PATIENCE);
    const all = await told(target);
    expect(all.map(({ kind, what }) => `${kind} ${what}`).sort()).toEqual([
      "executable /a/false",
      "executable /true",
    ]);
    expect(all[0]?.reaction).toBe("report");
    expect(await status(target)).toBe("running");
  });

  it("sees one in memory that the container may execute from", async () => {
    const target = await start("--defence", "report", "--tmpfs", "/scratch:exec");
    await inside(target, "cp /bin/busybox /scratch/true; /scratch/true");
    await tells(target, "executable");
    expect((await told(target))[0]?.what).toContain("/true");
  });

  it("sees one that a container begins its next life with, and after the daemon was killed", async () => {
    await daemon.tsctl("create", "--name", "again", "--defence", "report", "busybox", "/mine/sleep", "1000");
    const id = (JSON.parse((await daemon.api("GET", "/containers/again/json")).text) as { Id: string }).Id;
    const from = await start();
    await inside(from, "mkdir /mine; cp /bin/busybox /mine/sleep");
    await daemon.tsctl("cp", `${from.name}:/mine`, daemon.root);
    await daemon.tsctl("cp", join(daemon.root, "mine"), "again:/");
    await daemon.tsctl("start", "again");
    await tells({ id }, "executable");
    await daemon.end("SIGKILL");
    await daemon.launch(first ? ["nsenter", `--net=/proc/${process.pid}/ns/net`, daemonProgram] : undefined);
    await inside({ name: "again" }, "cp /bin/busybox /after; /after true");
    await eventually(
      "the next daemon's",
      async () => (await told({ id })).some(({ what }) => what === "/after"),
      PATIENCE,
    );
  });

  it("pauses or kills the container where that was asked for, and its policy does not start it again", async () => {
    const paused = await start("--defence", "pause");
    await inside(paused, "cp /bin/busybox /true; /true");
    await eventually("it is paused", async () => (await status(paused)) === "paused", PATIENCE);
    const killed = await start("--defence", "kill", "--restart", "always");
    await inside(killed, "cp /bin/busybox /true; /true");
    await eventually("it is dead", async () => (await status(killed)) === "exited", PATIENCE);
    expect((await told(killed))[0]).toMatchObject({ kind: "executable", what: "/true", reaction: "kill" });
  });

  it("sees a process with more rights than the container was given", async () => {
    const target = await start("--defence", "report", "--security-opt", "seccomp=unconfined");
    const words = ["-t", String(target.pid), "-m", "-u", "-i", "-n", "-p", "-C", "sleep", "1000"];
    const helper = spawn("nsenter", words, { stdio: "ignore" });
    try {
      const children = (): string =>
        readFileSync(`/proc/${helper.pid}/task/${helper.pid}/children`, "utf8").trim();
      await eventually("it is inside", async () => children() !== "");
      for (const hierarchy of ["", ...readdirSync("/sys/fs/cgroup")]) {
        const procs = join("/sys/fs/cgroup", hierarchy, daemon.cgroupParent, target.id, "cgroup.procs");
        try {
          writeFileSync(procs, children());
        } catch {
          // No such hierarchy.
        }
      }
      await tells(target, "privilege");
    } finally {
      helper.kill("SIGKILL");
    }
  });

  it("sees a process that went to another namespace", async () => {
    const target = await start(
      "--defence",
      "report",
      "--cap-add",
      "SYS_ADMIN",
      "--security-opt",
      "seccomp=unconfined",
    );
    await daemon.tsctl("exec", "-d", target.name, "unshare", "-n", "sleep", "1000");
    await tells(target, "namespace");
    expect((await told(target))[0]).toMatchObject({
      kind: "namespace",
      detail: expect.stringMatching(/net|another/),
    });
  });

  it.runIf(first)("sees a user that becomes root by a set-uid file", async () => {
    const target = await start("--defence", "report");
    await daemon.tsctl("cp", initProgram, `${target.name}:/set-uid`);
    await inside(target, "chown 0:0 /set-uid; chmod 4755 /set-uid");
    await daemon.tsctl("exec", "-d", "-u", "1000", target.name, "/set-uid", "--", "sleep", "1000");
    await tells(target, "privilege");
    const all = await told(target);
    expect(all.find(({ kind }) => kind === "privilege")?.detail).toBe("became root (was user 1000)");
    expect(all.find(({ kind }) => kind === "executable")?.what).toBe("/set-uid");
  });

  it("tells nothing of what is ordinary", async () => {
    const target = await start("--defence", "kill");
    await inside(target, "id; ls; sleep 0.1");
    await inside(target, "id", "-u", "1000");
    await inside(target, "mount -t tmpfs none /tmp", "--privileged");
    for (let copies = 0; copies < 5; copies++)
      await daemon.tsctl("cp", initProgram, `${target.name}:/copied`);
    await new Promise((resolve) => setTimeout(resolve, 6000));
    expect(await told(target)).toEqual([]);
    expect(await status(target)).toBe("running");
  });

  it("does not listen at all where nobody is guarded", async () => {
    const target = await start();
    expect(listens()).toBe(false);
    await inside(target, "cp /bin/busybox /true; /true");
    const other = await start("--defence", "report");
    expect(listens()).toBe(true);
    await daemon.tsctl("rm", "-f", other.name);
    await eventually("it listens no more", () => !listens());
    expect(await told(target)).toEqual([]);
  });
});
