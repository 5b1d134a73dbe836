// --runtime: containers that runc and crun run, with our streams, logs, exit codes, signals and networks.
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { crunFor, groupsLike, installed } from "./installed.ts";

let daemon: TestDaemon;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "tsd-crun-"));
  const crun = crunFor(directory);
  const flags = crun ? ["--add-runtime", `crun=${crun}`] : [];
  daemon = await TestDaemon.start("runtime", undefined, { flags });
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const trap = 'trap "echo got; exit 3" TERM; echo begun; while :; do sleep 0.1; done';

for (const name of ["runc", "crun"] as const)
  describe.skipIf(!installed(name))(`runtime ${name}`, () => {
    const runs = (...words: string[]) => daemon.tsctl("run", "--runtime", name, ...words);

    it("streams, exit code, network and name are the container's", async () => {
      const { status, stdout, stderr } = await runs(
        ...["--rm", "--hostname", "box", "-v", `${directory}:/host:ro`, "-e", "A=b", "busybox", "sh", "-c"],
        "hostname; echo $A; ip -4 addr show eth0 | grep -c inet; touch /host/x; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; exit 7",
      );
      expect(status).toBe(7);
      expect(stdout).toBe("box\nb\n1\n0\n");
      expect(stderr).toContain("Read-only file system");
      expect(stderr).toContain(`runtime ${name} runs the container in the host's user namespace`);
    });

    it("has other images' files, whole and in part", async () => {
      const { stdout } = await runs(
        ...["--rm", "--network", "none", "--mount", "type=image,src=busybox,dst=/whole"],
        ...["--mount", "type=image,src=busybox,dst=/part,image-subpath=bin", "busybox", "sh", "-c"],
        "/whole/bin/busybox echo whole; /part/busybox echo part; touch /whole/x /part/x 2>&1 | grep -c 'Read-only'",
      );
      expect(stdout).toBe("whole\npart\n2\n");
    });

    it("is executed in, paused, stopped, started again and removed", async () => {
      expect((await runs("-d", "--name", name, "busybox", "sh", "-c", trap)).status).toBe(0);
      await eventually("it has begun", async () => (await daemon.tsctl("logs", name)).stdout === "begun\n");
      const exec = await daemon.tsctl("exec", name, "sh", "-c", "cat /proc/1/comm; exit 5");
      expect(exec).toMatchObject({ status: 5, stdout: "sh\n" });
      const terminal = await daemon.tsctl("exec", "-t", name, "sh", "-c", "test -t 1 && echo terminal");
      expect(terminal.stdout.trim()).toBe("terminal");
      expect((await daemon.tsctl("top", name)).stdout).toContain("trap");
      expect((await daemon.tsctl("pause", name)).status).toBe(0);
      expect((await daemon.tsctl("unpause", name)).status).toBe(0);
      expect((await daemon.tsctl("stop", name)).status).toBe(0);
      const seen = await daemon.tsctl("inspect", "-f", "{{.State.ExitCode}} {{.HostConfig.Runtime}}", name);
      expect(seen.stdout.trim()).toBe(`3 ${name}`);
      expect((await daemon.tsctl("logs", name)).stdout).toBe("begun\ngot\n");
      expect((await daemon.tsctl("start", name)).status).toBe(0);
      expect((await daemon.tsctl("kill", name)).status).toBe(0);
      expect((await daemon.tsctl("wait", name)).stdout).toBe("137\n");
      expect((await daemon.tsctl("rm", name)).status).toBe(0);
    });

    it("has a terminal", async () => {
      await runs("-d", "-t", "--name", `t-${name}`, "busybox", "sh", "-c", "test -t 1 && echo terminal");
      expect((await daemon.tsctl("wait", `t-${name}`)).stdout).toBe("0\n");
      expect((await daemon.tsctl("logs", `t-${name}`)).stdout.trim()).toBe("terminal");
      await daemon.tsctl("rm", `t-${name}`);
    });

    it("goes on without the daemon, and is taken up by the next", async () => {
      await runs("-d", "--name", `a-${name}`, "busybox", "sh", "-c", trap);
      await daemon.end("SIGKILL");
      await daemon.launch();
      expect((await daemon.tsctl("exec", `a-${name}`, "echo", "there")).stdout).toBe("there\n");
      expect((await daemon.tsctl("rm", "-f", `a-${name}`)).status).toBe(0);
    });

    it("a failed start says why, and leaves nothing", async () => {
      const missing = await runs("--rm", "busybox", "nosuch");
      expect(missing.status).toBe(127);
      expect(missing.stderr).toMatch(/nosuch.*not found in \$PATH/);
      const refused = await runs("--userns", "auto", "busybox");
      expect(refused.stderr).toContain("host's user namespace");
    });

    it("leaves nothing behind", async () => {
      const left = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);
      expect((await daemon.tsctl("ps", "-aq")).stdout).toBe("");
      await eventually("all is gone", () =>
        Promise.resolve(
          [...left(join(daemon.root, "run/oci", name)), ...left(join(daemon.root, "run/c"))].length === 0,
        ),
      );
    });
  });

describe("names of runtimes", () => {
  it("that there are not are refused; ours needs no other", async () => {
    const { status, stderr } = await daemon.tsctl("create", "--runtime", "nosuch", "busybox");
    expect(status).not.toBe(0);
    expect(stderr).toContain("unknown or invalid runtime name: nosuch");
    expect((await daemon.tsctl("run", "--rm", "--runtime", "tsd", "busybox", "true")).status).toBe(0);
  });

  it("are shown by info", async () => {
    const { Runtimes } = JSON.parse((await daemon.api("GET", "/info")).text) as { Runtimes: object };
    expect(Object.keys(Runtimes)).toContain("tsd");
    for (const name of ["runc", "crun"]) if (installed(name)) expect(Object.keys(Runtimes)).toContain(name);
  });

  it("leave no control group", () => {
    expect(
      groupsLike(daemon.cgroupParent.slice(1)).flatMap((path) =>
        readdirSync(path).filter((one) => /^[0-9a-f]{64}$/.test(one)),
      ),
    ).toEqual([]);
  });
});
