// AppArmor: what the default profile denies to containers that have every other right, and profiles by name.
// Runs where the kernel has it on (scripts/guest --apparmor); elsewhere only the refusal is seen.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

const PARAMETER = "/sys/module/apparmor/parameters/enabled";
const enabled = existsSync(PARAMETER) && readFileSync(PARAMETER, "utf8").trim() === "Y";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("apparmor");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

const inside = (script: string, ...flags: string[]) =>
  daemon.tsctl("run", "--rm", ...flags, "busybox", "sh", "-c", script);
const option = (profile: string): string[] => ["--security-opt", `apparmor=${profile}`];

describe.skipIf(enabled)("a host without AppArmor", () => {
  it("refuses a profile by name, and takes what asks for nothing", async () => {
    const { status, stderr } = await inside("true", ...option("strict"));
    expect(status).toBe(125);
    expect(stderr).toContain(
      "security option apparmor=strict: this host's kernel has no AppArmor, or apparmor_parser is not installed",
    );
    expect(await inside("true", ...option("unconfined"))).toMatchObject({ status: 0, stderr: "" });
    const usual = await inside("true", ...option("docker-default"));
    expect(usual.status).toBe(0);
    expect(usual.stderr).toContain("WARNING: security option apparmor=docker-default has no effect");
    expect((await daemon.api("GET", "/info")).text).not.toContain("name=apparmor");
  });
});

describe.skipIf(!enabled)("AppArmor", () => {
  const current = async (...flags: string[]): Promise<string> =>
    (await inside("cat /proc/self/attr/current", ...flags)).stdout.trim();
  const denials = async (): Promise<string[]> =>
    (await output("dmesg", [])).split("\n").filter((line) => line.includes('apparmor="DENIED"'));
  /** What a script prints under the default profile, and without one. */
  const both = async (script: string, ...flags: string[]): Promise<[string, string]> => {
    const confined = await inside(script, ...flags);
    const free = await inside(script, ...flags, ...option("unconfined"));
    return [confined.stdout + confined.stderr, free.stdout + free.stderr];
  };

  it("confines containers and execs by the default profile, unless asked not to", async () => {
    expect(await current()).toBe("tsd-default (enforce)");
    expect(await current(...option("docker-default"))).toBe("tsd-default (enforce)");
    expect(await current(...option("unconfined"))).toBe("unconfined");
    expect(await current("--privileged")).toBe("unconfined");
    expect(await current("--security-opt", "no-new-privileges", "-u", "1000")).toBe("tsd-default (enforce)");
    await daemon.tsctl("run", "-d", "--name", "kept", "busybox", "sleep", "9999");
    const exec = await daemon.tsctl("exec", "kept", "cat", "/proc/self/attr/current");
    expect(exec.stdout.trim()).toBe("tsd-default (enforce)");
    const { text } = await daemon.api("GET", "/containers/kept/json");
    expect((JSON.parse(text) as { AppArmorProfile: string }).AppArmorProfile).toBe("tsd-default");
    expect((await daemon.api("GET", "/info")).text).toContain("name=apparmor");
    await daemon.tsctl("rm", "-f", "kept");
  });

  it("denies mounts, the machine's own switches, and looks into processes outside, and logs it", async () => {
    const rights = ["--userns", "host", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined"];
    const open = [...rights, "--security-opt", "systempaths=unconfined"];
    const before = (await denials()).length;
    const [mount, freeMount] = await both(
      "mount -t tmpfs x /mnt && echo mounted",
      ...rights,
      "--tmpfs",
      "/mnt",
    );
    expect(mount).toContain("ermission denied");
    expect(freeMount).toBe("mounted\n");
    const [trigger, freeTrigger] = await both("echo h >/proc/sysrq-trigger && echo written", ...open);
    expect(trigger).toContain("ermission denied");
    expect(freeTrigger).toBe("written\n");
    const [core, freeCore] = await both(
      "cat /proc/sys/kernel/core_pattern >/tmp/p; cat /tmp/p >/proc/sys/kernel/core_pattern && echo written",
      ...open,
    );
    expect(core).toContain("ermission denied");
    expect(freeCore).toBe("written\n");
    const look = `readlink /proc/${daemon.pid}/exe || echo denied`;
    const [outside, freeOutside] = await both(look, ...rights, "--pid", "host");
    expect(outside).toContain("denied\n");
    expect(freeOutside).toContain("/");
    const logged = (await denials()).slice(before).join("\n");
    for (const word of ['operation="mount"', 'name="/proc/sysrq-trigger"', 'operation="ptrace"'])
      expect(logged).toContain(word);
    expect(logged).toContain('profile="tsd-default"');
  });

  it("lets processes of one container signal and look at each other", async () => {
    const script = "sleep 99 & readlink /proc/$!/exe; kill $! && wait $!; echo $?";
    expect((await inside(script)).stdout).toBe("/bin/busybox\n143\n");
    await daemon.tsctl("run", "-d", "--name", "ended", "busybox", "sleep", "9999");
    expect((await daemon.tsctl("kill", "ended")).status).toBe(0);
    await daemon.tsctl("rm", "-f", "ended");
  });

  it("uses a profile by its name while that is loaded, and loads its own again", async () => {
    const file = join(daemon.root, "profile");
    writeFileSync(
      file,
      "profile tsd-test-strict flags=(attach_disconnected,mediate_deleted) {\n  file,\n  capability,\n  network,\n  deny /tmp/** w,\n}\n",
    );
    const missing = await inside("true", ...option("tsd-test-strict"));
    expect(missing.stderr).toContain("apparmor=tsd-test-strict: no such profile is loaded in the kernel");
    await output("apparmor_parser", ["-K", "-r", file]);
    try {
      expect(await current(...option("tsd-test-strict"))).toBe("tsd-test-strict (enforce)");
      const { stderr } = await inside("echo x >/tmp/x", ...option("tsd-test-strict"));
      expect(stderr).toContain("ermission denied");
      expect((await inside("echo x >/tmp/x")).stderr).toBe("");
    } finally {
      await output("apparmor_parser", ["-R", file]);
    }
    writeFileSync(file, "profile tsd-default {}\n");
    await output("apparmor_parser", ["-R", file]);
    expect(await current()).toBe("tsd-default (enforce)");
  });
});
