// Landlock rules: what is in none of them is out of reach, whoever the process is, for execs too.
import { readFileSync } from "node:fs";
import { landlockVersion } from "@tsd/kernel-bindings";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";

const version = landlockVersion();

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("landlock");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

const inside = (script: string, rules: string, ...flags: string[]) =>
  daemon.tsctl(
    ...["run", "--rm", ...(rules ? ["--security-opt", `landlock=${rules}`] : []), ...flags],
    ...["busybox", "sh", "-c", script],
  );

describe.skipIf(version > 0)("a kernel without Landlock", () => {
  it("is told by name", async () => {
    expect((await inside("true", "ro:/bin")).stderr).toContain("landlock: this kernel has no Landlock");
  });
});

describe.skipIf(version === 0)("Landlock", () => {
  it("lets read what is ro, write what is rw, and see nothing else, though it is root's", async () => {
    const script =
      "cat /etc/hostname >/dev/null && echo read; echo x >/data/f && cat /data/f; echo y >/etc/x; ls /root";
    const flags = ["--tmpfs", "/data:exec", "--privileged"];
    expect((await inside(script, "", ...flags)).stdout).toBe("read\nx\n");
    const held = await inside(script, "ro:/bin,ro:/etc,rw:/data,rw:/dev/null", ...flags);
    expect(held.stdout).toBe("read\nx\n");
    expect(held.stderr).toContain("can't create /etc/x: Permission denied");
    expect(held.stderr).toContain("can't open '/root': Permission denied");
    const without = await inside("cat /etc/hostname", "ro:/bin");
    expect(without.stderr).toContain("Permission denied");
    // What is not to be executed is not.
    expect((await inside("true", "ro:/etc")).status).toBe(126);
  });

  it("holds for execs and for another user too", async () => {
    const rules = ["--security-opt", "landlock=ro:/bin,ro:/etc", "--security-opt", "no-new-privileges"];
    await daemon.tsctl("run", "-d", "--name", "kept", ...rules, "-u", "1000", "busybox", "sleep", "99");
    const exec = await daemon.tsctl(
      "exec",
      "-u",
      "0",
      "kept",
      "sh",
      "-c",
      "cat /etc/passwd | head -n 1; ls /var",
    );
    expect(exec.stdout).toMatch(/^root:/);
    expect(exec.stderr).toContain("can't open '/var': Permission denied");
    await daemon.tsctl("rm", "-f", "kept");
  });

  it.skipIf(version < 4)("names the ports that may be bound, and connected to", async () => {
    const script =
      "nc -l -p 5000 -w 1 </dev/null; echo $?; nc -l -p 5001 -w 1 </dev/null; nc -w 1 127.0.0.1 5002 </dev/null";
    const { stderr } = await inside(script, "bind:5000,connect:5003");
    expect(stderr).not.toContain("5000");
    expect(stderr).toContain("bind: Permission denied");
    expect(stderr).toContain("can't connect to remote host (127.0.0.1): Permission denied");
    const free = await inside(script, "scope:signal");
    expect(free.stderr).not.toContain("Permission denied");
  });

  it.skipIf(version < 6)("cuts signals off from processes outside", async () => {
    await daemon.tsctl("run", "-d", "--name", "target", "busybox", "sleep", "99");
    const state = JSON.parse((await daemon.api("GET", "/containers/target/json")).text) as {
      State: { Pid: number };
    };
    const script = `kill -0 ${state.State.Pid} && echo reached`;
    expect((await inside(script, "", "--pid", "host")).stdout).toBe("reached\n");
    const cut = await inside(script, "scope:signal,scope:abstract-unix", "--pid", "host");
    expect(cut.stderr).toContain("Operation not permitted");
    expect(readFileSync(`/proc/${state.State.Pid}/comm`, "utf8")).toBe("sleep\n");
    await daemon.tsctl("rm", "-f", "target");
  });

  it("says what is wrong with a rule, and what is not there", async () => {
    for (const [rule, words] of [
      ["ro", "neither ro:PATH, rw:PATH"],
      ["ro:etc", "not an absolute path"],
      ["bind:70000", "not a TCP port"],
      ["scope:all", "neither ro:PATH"],
    ] as const)
      expect((await inside("true", rule)).stderr).toContain(words);
    const missing = await inside("true", "ro:/bin,ro:/no/such");
    expect(missing.status).toBe(127);
    expect(missing.stderr).toContain("landlock: openat2 /no/such: no such file or directory");
  });
});
