// lxcfs: a container with limits sees them in /proc; runs where lxcfs is installed and FUSE works.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

const program = ["/usr/bin/lxcfs", "/usr/local/bin/lxcfs"].find(existsSync);
const works = program !== undefined && existsSync("/dev/fuse");
const MIB = 1024 ** 2;

describe("--lxcfs", () => {
  it("names a place where none is mounted", async () => {
    const refused = await run(daemonProgram, [
      "--lxcfs",
      "/nowhere",
      "--data-root",
      "/tmp/tsd-no-lxcfs",
      "--exec-root",
      "/tmp/tsd-no-lxcfs/run",
    ]);
    rmSync("/tmp/tsd-no-lxcfs", { recursive: true, force: true });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("--lxcfs /nowhere: no lxcfs is mounted there");
  });
});

describe.skipIf(!works)("lxcfs", () => {
  const root = join("/tmp", `tsd-lxcfs-${process.pid}`);
  let server: ChildProcess;
  let daemon: TestDaemon;
  const serve = async (): Promise<void> => {
    mkdirSync(root, { recursive: true });
    server = spawn(program ?? "", ["-f", "-p", `${root}.pid`, root], { stdio: "ignore" });
    await eventually("lxcfs serves", () => Promise.resolve(existsSync(join(root, "proc/meminfo"))));
  };
  const end = async (): Promise<void> => {
    server.kill("SIGKILL");
    await run("umount", ["-l", root]);
  };
  beforeAll(async () => {
    await serve();
    daemon = await TestDaemon.start("lxcfs", undefined, { flags: ["--lxcfs", root] });
    await daemon.importBusybox();
  });
  afterAll(async () => {
    await daemon.stop();
    await end();
    rmSync(root, { recursive: true });
    rmSync(`${root}.pid`, { force: true });
  });
  const inside = async (script: string, ...flags: string[]): Promise<string> => {
    const { stdout, stderr } = await daemon.tsctl("run", "--rm", ...flags, "busybox", "sh", "-c", script);
    return `${stdout}${stderr.replace(/^WARNING: Privileged.*\n/, "")}`.trim();
  };

  it("shows a container its own memory, processors and time, read-only", async () => {
    const kib = await inside("sed -n 's/^MemTotal: *//p' /proc/meminfo", "-m", "64m");
    expect(kib).toBe(`${(64 * MIB) / 1024} kB`);
    expect(await inside("grep -c ^processor /proc/cpuinfo", "--cpuset-cpus", "0")).toBe("1");
    const uptime = Number((await inside("cut -d' ' -f1 /proc/uptime")).trim());
    expect(uptime).toBeLessThan(Number(readFileSync("/proc/uptime", "utf8").split(".")[0]));
    expect(await inside("grep -c fuse.lxcfs /proc/mounts")).toMatch(/^[89]$/);
    expect(await inside("echo x >/proc/uptime")).toMatch(/Read-only|denied/);
  });

  it("gives a container without limits the host's memory, and a privileged one its own view too", async () => {
    const total = /^MemTotal: +(\d+ kB)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
    expect(await inside("sed -n 's/^MemTotal: *//p' /proc/meminfo")).toBe(total);
    expect(await inside("sed -n 's/^MemTotal: *//p' /proc/meminfo", "-m", "64m", "--privileged")).toBe(
      "65536 kB",
    );
  });

  it("is done without while it does not run", async () => {
    await end();
    expect(await inside("grep -c fuse.lxcfs /proc/mounts")).toBe("0");
    await serve();
    expect(await inside("grep -c fuse.lxcfs /proc/mounts")).not.toBe("0");
  });

  it("leaves the mount to whoever made it", async () => {
    expect(await output("findmnt", ["-n", "-o", "FSTYPE", root])).toContain("lxcfs");
  });
});
