// The stock docker client against tsd: the life of containers.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, Talk } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("docker");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

/** Output of a docker command that must succeed. */
async function docker(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.docker(...words);
  expect(`${stderr}${status}`).toBe("0");
  return stdout.trim();
}

describe.skipIf(!hasDocker)("docker run", () => {
  it("prints, passes the exit status on, and removes with --rm", async () => {
    expect(await docker("run", "--rm", "busybox", "echo", "hello")).toBe("hello");
    const { status, stderr } = await daemon.docker(
      "run",
      "--rm",
      "busybox",
      "sh",
      "-c",
      "echo oops >&2; exit 7",
    );
    expect(status).toBe(7);
    expect(stderr).toBe("oops\n");
    expect(await docker("ps", "-aq")).toBe("");
  });

  it("tells 125, 126 and 127 apart", async () => {
    expect((await daemon.docker("run", "--rm", "busybox", "nosuch")).status).toBe(127);
    expect((await daemon.docker("run", "--rm", "busybox", "/etc")).status).toBe(126);
    expect((await daemon.docker("run", "--rm", "--memory", "1m", "busybox", "true")).status).toBe(125);
  });

  it("feeds stdin and its end", async () => {
    const { stdout } = await daemon.cli("docker", ["run", "-i", "--rm", "busybox", "cat"], {
      input: "through\n",
    });
    expect(stdout).toBe("through\n");
  });

  it("carries a gigabyte through with equal checksums and flat memory", async () => {
    const size = 1 << 30;
    const child = spawn("docker", ["run", "-i", "--rm", "busybox", "cat"], {
      env: { ...process.env, DOCKER_HOST: daemon.host },
    });
    const sent = createHash("md5");
    const received = createHash("md5");
    let bytes = 0;
    let peak = 0;
    const resident = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemonPid()}/status`, "utf8"))?.[1] ?? 0);
    const before = resident();
    child.stdout.on("data", (chunk: Buffer) => {
      received.update(chunk);
      bytes += chunk.length;
    });
    const watching = setInterval(() => {
      peak = Math.max(peak, resident());
    }, 50);
    const block = Buffer.alloc(1 << 20);
    for (let i = 0; i < size / block.length; i++) {
      block.writeUInt32LE((i * 2654435761) % 2 ** 32, (i * 7919) % (block.length - 4));
      const copy = Buffer.from(block);
      sent.update(copy);
      if (!child.stdin.write(copy)) await new Promise((resolve) => child.stdin.once("drain", resolve));
    }
    child.stdin.end();
    const status = await new Promise((resolve) => child.once("close", resolve));
    clearInterval(watching);
    expect(status).toBe(0);
    expect(bytes).toBe(size);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
    // Kilobytes: buffers on the way and what the collector has not taken yet, nothing near the gigabyte.
    expect(peak - before).toBeLessThan(80_000);
  }, 180_000);
});

/** nsenter executes the daemon in its own place. */
const daemonPid = (): number => daemon.pid;

describe.skipIf(!hasDocker)("docker's commands on a running container", () => {
  beforeAll(async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "loop",
      "-l",
      "suite=docker",
      "busybox",
      "sh",
      "-c",
      "trap 'exit 5' TERM; echo first; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.1; done",
    );
  });
  afterAll(async () => {
    await daemon.docker("rm", "-f", "loop");
  });

  it("ps and inspect", async () => {
    expect(await docker("ps", "--format", "{{.Names}} {{.Image}} {{.State}}")).toBe("loop busybox running");
    expect(await docker("ps", "-q", "--filter", "label=suite=docker", "--no-trunc")).toMatch(
      /^[0-9a-f]{64}$/,
    );
    expect(await docker("ps", "-q", "--filter", "label=suite=other")).toBe("");
    expect(
      await docker(
        "inspect",
        "-f",
        "{{.State.Status}} {{.Config.Image}} {{.HostConfig.NetworkMode}}",
        "loop",
      ),
    ).toBe("running busybox bridge");
    expect(await docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "loop")).toMatch(
      /^172\.30\.0\.\d+$/,
    );
  });

  it("logs, with tail, since, timestamps and follow", async () => {
    await eventually("some lines", async () => (await docker("logs", "loop")).includes("line 3"));
    expect((await docker("logs", "loop")).split("\n")[0]).toBe("first");
    expect((await docker("logs", "--tail", "2", "loop")).split("\n")).toHaveLength(2);
    expect(await docker("logs", "-t", "--tail", "1", "loop")).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z line \d+$/);
    const following = new Talk("docker", ["-H", daemon.host, "logs", "-f", "--tail", "1", "loop"]);
    const numbers: number[] = [];
    while (numbers.length < 5) numbers.push(Number(/^line (\d+)$/.exec(await following.line())?.[1]));
    following.end();
    const [first = Number.NaN] = numbers;
    expect(numbers).toEqual([0, 1, 2, 3, 4].map((later) => first + later));
  });

  it("exec: output, status, environment, user, directory, stdin, detached", async () => {
    expect(
      await docker(
        "exec",
        "-e",
        "A=b",
        "-w",
        "/tmp",
        "-u",
        "nobody",
        "loop",
        "sh",
        "-c",
        "echo $A; pwd; id -un",
      ),
    ).toBe("b\n/tmp\nnobody");
    expect((await daemon.docker("exec", "loop", "sh", "-c", "exit 9")).status).toBe(9);
    expect((await daemon.docker("exec", "loop", "nosuch")).status).toBe(126);
    expect((await daemon.cli("docker", ["exec", "-i", "loop", "cat"], { input: "in\n" })).stdout).toBe(
      "in\n",
    );
    await docker("exec", "-d", "loop", "touch", "/tmp/done");
    await eventually(
      "the detached exec ran",
      async () => (await daemon.docker("exec", "loop", "test", "-e", "/tmp/done")).status === 0,
    );
  });

  it("kill, restart, stop, wait, start, rm", async () => {
    await docker("restart", "-t", "1", "loop");
    expect(await docker("ps", "-q", "--filter", "name=loop")).not.toBe("");
    const waiting = daemon.docker("wait", "loop");
    await docker("stop", "-t", "5", "loop");
    expect((await waiting).stdout.trim()).toBe("5");
    expect(await docker("ps", "-a", "--filter", "name=loop", "--format", "{{.Status}}")).toMatch(
      /^Exited \(5\)/,
    );
    await docker("start", "loop");
    await docker("kill", "-s", "KILL", "loop");
    expect(await docker("wait", "loop")).toBe("137");
    expect((await daemon.docker("rm", "loop")).status).toBe(0);
    expect((await daemon.docker("inspect", "loop")).status).toBe(1);
  });
});

describe.skipIf(!hasDocker)("docker's other commands", () => {
  it("info and version", async () => {
    expect(await docker("version", "--format", "{{.Server.APIVersion}}")).toBe("1.51");
    expect(await docker("info", "--format", "{{.OSType}} {{.Driver}}")).toBe("linux overlay2");
  });

  it("events: the whole life of a container, replayed", async () => {
    const since = String(Math.floor(Date.now() / 1000) - 1);
    await docker("run", "--rm", "--name", "eventful", "busybox", "true");
    const until = String(Math.floor(Date.now() / 1000) + 1);
    const { stdout } = await daemon.docker(
      "events",
      "--since",
      since,
      "--until",
      until,
      "--filter",
      "container=eventful",
      "--format",
      "{{.Action}}",
    );
    expect(stdout.trim().split("\n")).toEqual(["create", "attach", "start", "die", "destroy"]);
  });

  it("attach, from the start and later", async () => {
    await docker("create", "-i", "--name", "waiting", "busybox", "cat");
    const { stdout } = await daemon.cli("docker", ["start", "-ai", "waiting"], { input: "typed\n" });
    expect(stdout).toBe("typed\n");
    await docker("rm", "waiting");
    await docker("run", "-d", "--name", "talker", "busybox", "sh", "-c", "sleep 1; echo late");
    expect((await daemon.docker("attach", "talker")).stdout).toBe("late\n");
    await docker("rm", "-f", "talker");
  });

  it("limits memory, processors and processes", async () => {
    const limits = await docker(
      "run",
      "--rm",
      "-m",
      "64m",
      "--cpus",
      "0.5",
      "--pids-limit",
      "33",
      "busybox",
      "sh",
      "-c",
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max",
    );
    expect(limits.split(/\s+/)).toEqual(expect.arrayContaining(["67108864", "50000", "33"]));
  });

  it("binds, volumes, tmpfs, read-only roots", async () => {
    expect(
      await docker(
        "run",
        "--rm",
        "-v",
        "/etc/os-release:/x:ro",
        "busybox",
        "sh",
        "-c",
        "grep -c . /x >/dev/null && echo seen; (echo no > /x) 2>/dev/null || echo read-only",
      ),
    ).toBe("seen\nread-only");
    await docker("run", "--rm", "-v", "kept:/data", "busybox", "sh", "-c", "echo kept > /data/file");
    expect(await docker("run", "--rm", "-v", "kept:/data", "busybox", "cat", "/data/file")).toBe("kept");
    expect(
      await docker(
        "run",
        "--rm",
        "--tmpfs",
        "/t:size=1m",
        "busybox",
        "sh",
        "-c",
        "df -k /t | tail -1 | awk '{print $2}'",
      ),
    ).toBe("1024");
    expect((await daemon.docker("run", "--rm", "--read-only", "busybox", "touch", "/x")).status).toBe(1);
  });

  it("a server in a container answers the host", async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "web",
      "busybox",
      "sh",
      "-c",
      "echo served > /tmp/index.html; httpd -f -p 80 -h /tmp",
    );
    const address = await docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web");
    const fetch = () =>
      daemon.cli("nsenter", [
        `--net=/run/netns/${daemon.namespace}`,
        "/bin/busybox",
        "wget",
        "-qO-",
        `http://${address}/`,
      ]);
    await eventually("the server answers", async () => (await fetch()).stdout === "served\n");
    await docker("rm", "-f", "web");
  });

  it("--init reaps and forwards", async () => {
    expect(
      await docker("run", "--rm", "--init", "busybox", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"),
    ).toMatch(/^\/sbin\/docker-init -- sh -c/);
    expect((await daemon.docker("run", "--rm", "--init", "busybox", "sh", "-c", "exit 4")).status).toBe(4);
  });

  it("shares namespaces with another container and with the host", async () => {
    await docker("run", "-d", "--name", "base", "--ipc", "shareable", "busybox", "sleep", "100");
    expect(
      await docker("run", "--rm", "--pid", "container:base", "busybox", "ps", "-o", "pid,args"),
    ).toContain("1 sleep 100");
    const own = await docker("exec", "base", "readlink", "/proc/self/ns/net");
    expect(
      await docker("run", "--rm", "--network", "container:base", "busybox", "readlink", "/proc/self/ns/net"),
    ).toBe(own);
    const ipc = await docker("exec", "base", "readlink", "/proc/self/ns/ipc");
    expect(
      await docker("run", "--rm", "--ipc", "container:base", "busybox", "readlink", "/proc/self/ns/ipc"),
    ).toBe(ipc);
    expect(await docker("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net")).toBe("lo");
    await docker("rm", "-f", "base");
  });
});
