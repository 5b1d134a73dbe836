// System containers: an init with its services, a subtree of control groups of its own, a console, a clean shutdown.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { archiveDirectory } from "../harness/archives.ts";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { debianRoot } from "../harness/debian.ts";
import { onTerminal } from "../harness/terminal.ts";

let daemon: TestDaemon;
const archives = archiveDirectory();
beforeAll(async () => {
  daemon = await TestDaemon.start("system");
  await daemon.importBusybox();
});
afterEach(() => daemon.clear());
afterAll(async () => {
  await daemon.stop();
  archives.remove();
});

const tsctl = async (...words: string[]): Promise<string> => {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.trim();
};

const inittab = `
::sysinit:/bin/sh -c 'echo booting'
::respawn:/bin/sh -c 'while :; do date > /run/beat; sleep 1; done'
::respawn:/bin/httpd -f -p 80 -h /
console::respawn:-/bin/sh
::shutdown:/bin/sh -c 'echo going down'
`;

describe("busybox init", () => {
  beforeAll(async () => {
    const root = join(archives.path, "root");
    await output("sh", ["-euc", `mkdir -p ${root}/etc ${root}/sbin; ln -s ../bin/busybox ${root}/sbin/init`]);
    writeFileSync(join(root, "etc/inittab"), inittab);
    const id = await tsctl("create", "busybox", "true");
    await tsctl("cp", `${root}/.`, `${id}:/`);
    await tsctl("commit", id, "system:busybox");
    await tsctl("rm", id);
  });

  it("runs several services, and goes down cleanly by its own signal", async () => {
    const id = await tsctl("run", "-d", "--type=system", "system:busybox");
    await eventually("its services", async () => (await tsctl("exec", id, "ps")).includes("httpd"));
    await eventually("a beat", async () => (await daemon.tsctl("exec", id, "cat", "/run/beat")).status === 0);
    expect(await tsctl("exec", id, "wget", "-qO-", "http://127.0.0.1/etc/inittab")).toBe(inittab.trim());
    // Services that die come back; zombies are reaped by its own init.
    await daemon.tsctl("exec", id, "pkill", "httpd");
    await eventually("another httpd", async () => (await tsctl("exec", id, "ps")).includes("httpd"));
    expect(await tsctl("inspect", "-f", "{{.Config.StopSignal}}", id)).toBe("SIGUSR2");
    await tsctl("stop", "-t", "8", id);
    expect(await tsctl("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", id)).toBe("exited 0");
    expect((await daemon.tsctl("logs", id)).stdout).toMatch(/booting[\s\S]*going down/);
    expect(await daemon.lastingLeaks()).toEqual([]);
  });

  it("manages its own subtree of control groups, below limits it can't reach", async (context) => {
    const id = await tsctl(
      "run",
      "-d",
      "--type=system",
      "--memory",
      "64m",
      "--pids-limit",
      "30",
      "system:busybox",
    );
    const made = await daemon.tsctl(
      ...[
        "exec",
        id,
        "sh",
        "-c",
        "mkdir /sys/fs/cgroup/a || exit 9; sleep 100 & echo $! > /sys/fs/cgroup/a/cgroup.procs",
      ],
    );
    if (made.status === 9) return context.skip("this host has no control groups of version 2");
    expect([made.status, made.stderr]).toEqual([0, ""]);
    expect(await tsctl("exec", id, "sh", "-c", "ls /sys/fs/cgroup | grep -c memory.max || true")).toBe("0");
    expect(await tsctl("exec", id, "mount")).not.toMatch(/ type cgroup .*rw/);
    const forks = await daemon.tsctl("exec", id, "sh", "-c", "for i in $(seq 50); do sleep 5 & done; wait");
    expect(forks.stderr).toMatch(/can't fork|Resource temporarily unavailable/);
    await tsctl("rm", "-f", id);
    expect(await daemon.lastingLeaks()).toEqual([]);
  });

  it("reboots, and is started again", async () => {
    const id = await tsctl("run", "-d", "--type=system", "system:busybox");
    const started = await tsctl("inspect", "-f", "{{.State.StartedAt}}", id);
    await eventually("its shell", async () => (await daemon.tsctl("exec", id, "true")).status === 0);
    await daemon.tsctl("exec", id, "reboot");
    await eventually("another life", async () => {
      const now = await tsctl("inspect", "-f", "{{.State.Running}} {{.State.StartedAt}}", id);
      return now.startsWith("true") && !now.includes(started);
    });
    await daemon.tsctl("exec", id, "poweroff");
    await eventually(
      "its end",
      async () => (await tsctl("inspect", "-f", "{{.State.Status}}", id)) === "exited",
    );
    expect(await tsctl("inspect", "-f", "{{.State.ExitCode}}", id)).toBe("0");
  }, 40_000);

  it("shows its console to whoever attaches", async () => {
    const id = await tsctl("run", "-d", "--type=system", "system:busybox");
    const { tsctlProgram } = await import("../harness/daemon.ts");
    const { output: text } = await onTerminal(
      daemon,
      [tsctlProgram, "attach", id],
      [
        ["", "\n"],
        ["# ", "echo on $(tty)\n"],
        ["on /dev/", "\u0010\u0011"],
      ],
    );
    expect(text).toMatch(/on \/dev\/(console|pts\/0)/);
    expect(await tsctl("inspect", "-f", "{{.State.Running}}", id)).toBe("true");
  });
});

describe("systemd", () => {
  it("boots a Debian without a failed unit, runs a service, and halts when told to", async (context) => {
    const root = await debianRoot();
    if (!root) return context.skip("debootstrap could not make a Debian here");
    const imported = await daemon.cli(
      join(import.meta.dirname, "../../packages/client/bin/tsctl"),
      ["import", root, "debian:systemd"],
      {
        timeout: 120_000,
      },
    );
    expect([imported.status, imported.stderr]).toEqual([0, ""]);
    const id = await tsctl("run", "-d", "--type=system", "debian:systemd");
    await eventually(
      "a running system",
      async () => (await daemon.tsctl("exec", id, "systemctl", "is-system-running")).stdout === "running\n",
      40_000,
    );
    expect(await tsctl("exec", id, "systemctl", "--failed", "--no-legend")).toBe("");
    await tsctl("exec", id, "systemd-run", "--quiet", "--unit=mine", "sleep", "1000");
    expect(await tsctl("exec", id, "systemctl", "is-active", "mine")).toBe("active");
    expect(await tsctl("exec", id, "systemctl", "show", "-P", "ControlGroup", "mine")).toBe(
      "/system.slice/mine.service",
    );
    expect(await tsctl("exec", id, "systemd-detect-virt", "--container")).not.toBe("none");
    // A daemon that dies is nothing to a system.
    await daemon.end("SIGKILL");
    await daemon.launch();
    expect(await tsctl("exec", id, "systemctl", "is-active", "mine")).toBe("active");
    await tsctl("stop", "-t", "20", id);
    expect(await tsctl("inspect", "-f", "{{.State.ExitCode}} {{.Config.StopSignal}}", id)).toBe(
      "0 SIGRTMIN+3",
    );
    expect(await daemon.lastingLeaks()).toEqual([]);
  }, 500_000);
});
