// SELinux, enforcing: what one container may not do to another's files, whoever it is there, and what the log says of it.
// Runs where the kernel enforces a policy (scripts/guest --selinux); elsewhere only the refusal is seen.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output, run } from "../harness/command.ts";
import { daemonProgram, TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { onTerminal } from "../harness/terminal.ts";

const ENFORCE = "/sys/fs/selinux/enforce";
const enforcing = existsSync(ENFORCE) && readFileSync(ENFORCE, "utf8").trim() === "1";

const labelOf = async (path: string): Promise<string> => (await output("stat", ["-c", "%C", path])).trim();
/** What the kernel has logged of denied accesses. */
const denials = async (): Promise<string[]> =>
  (await output("dmesg", [])).split("\n").filter((line) => line.includes("avc:  denied"));

describe.skipIf(existsSync(ENFORCE))("a host without SELinux", () => {
  it("is not told that containers are labelled", async () => {
    const root = mkdtempSync(join(tmpdir(), "tsd-no-selinux-"));
    const places = ["-H", `unix://${root}/sock`, "--data-root", `${root}/data`, "--exec-root", `${root}/run`];
    const { status, stderr } = await run(daemonProgram, ["--selinux-enabled", ...places]);
    rmSync(root, { recursive: true });
    expect(status).toBe(1);
    expect(stderr).toContain("--selinux-enabled: this kernel has no SELinux");
  });
});

describe.skipIf(!enforcing)("SELinux", () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await TestDaemon.start("selinux", undefined, { flags: ["--selinux-enabled"] });
    await daemon.importBusybox();
  });
  afterAll(() => daemon.stop());

  const inside = (script: string, ...flags: string[]) =>
    daemon.tsctl("run", "--rm", ...flags, "busybox", "sh", "-c", script);
  const inspect = async (name: string): Promise<{ ProcessLabel: string; MountLabel: string }> => {
    const { text } = await daemon.api("GET", `/containers/${name}/json`);
    return JSON.parse(text) as { ProcessLabel: string; MountLabel: string };
  };
  const directory = (name: string): string => {
    const path = join(daemon.root, name);
    mkdirSync(path);
    writeFileSync(join(path, "file"), "secret\n");
    return path;
  };

  it("labels each container's processes, execs and mounts with a pair of its own, which it keeps", async () => {
    const names = ["one", "two"];
    for (const name of names) await daemon.tsctl("run", "-d", "--name", name, "busybox", "sleep", "9999");
    const labels = await Promise.all(names.map(inspect));
    for (const [index, { ProcessLabel, MountLabel }] of labels.entries()) {
      const level = /^system_u:system_r:container_t:(s0:c\d+,c\d+)$/.exec(ProcessLabel)?.[1];
      expect(level).toBeDefined();
      expect(MountLabel).toBe(`system_u:object_r:container_file_t:${level}`);
      const name = names[index] ?? "";
      const exec = await daemon.tsctl("exec", name, "cat", "/proc/self/attr/current", "/proc/1/attr/current");
      expect(exec.stdout.replaceAll("\0", "|")).toBe(`${ProcessLabel}|${ProcessLabel}|`);
      const mounts = (await daemon.tsctl("exec", name, "cat", "/proc/mounts")).stdout;
      for (const target of ["/", "/dev", "/dev/shm", "/dev/pts"])
        expect(mounts).toMatch(new RegExp(`^\\S+ ${target} .*context="?${MountLabel}`, "m"));
    }
    expect(labels[0]?.ProcessLabel).not.toBe(labels[1]?.ProcessLabel);
    // Where the user namespace is the host's; in others the policy's own label stays.
    const queues = ["--userns", "host", "--security-opt", "label=level:s0:c3,c4"];
    const { stdout } = await inside("getfattr -n security.selinux /dev/mqueue", ...queues);
    expect(stdout).toContain('security.selinux="system_u:object_r:container_file_t:s0:c3,c4"');
    await daemon.end("SIGKILL");
    await daemon.launch();
    expect(await Promise.all(names.map(inspect))).toEqual(labels);
    await daemon.tsctl("rm", "-f", ...names);
  });

  it("Z: nobody else reads a container's files, not even as the same user; the audit log says so", async () => {
    const source = directory("private");
    symlinkSync("/etc/passwd", join(source, "link"));
    const passwd = await labelOf("/etc/passwd");
    await daemon.tsctl("run", "-d", "--name", "owner", "-v", `${source}:/x:Z`, "busybox", "sleep", "9999");
    const own = await inspect("owner");
    expect(await labelOf(join(source, "file"))).toBe(own.MountLabel);
    // The link is labelled, not what it leads to.
    expect(await labelOf(join(source, "link"))).toBe(own.MountLabel);
    expect(await labelOf("/etc/passwd")).toBe(passwd);
    expect((await daemon.tsctl("exec", "owner", "cat", "/x/file")).stdout).toBe("secret\n");
    const before = (await denials()).length;
    // As the file itself: policies do not log what fails at a directory.
    const binds = ["-v", `${source}:/x`, "-v", `${join(source, "file")}:/file`];
    const other = await inside("id -u; cat /x/file; echo x >/x/new; cat /file", ...binds);
    expect(other.stdout).toBe("0\n");
    for (const words of ["open '/x/file'", "create /x/new", "open '/file'"])
      expect(other.stderr).toContain(`can't ${words}: Permission denied`);
    const logged = (await denials()).slice(before).join("\n");
    expect(logged).toMatch(
      /denied {2}\{ read \} .*name="file".*scontext=system_u:system_r:container_t:s0:c\d+/,
    );
    expect(logged).toContain(`tcontext=${own.MountLabel}`);
    // Taken away: the same request succeeds.
    const unconfined = await inside("cat /x/file", "-v", `${source}:/x`, "--security-opt", "label=disable");
    expect(unconfined.stdout).toBe("secret\n");
    await daemon.tsctl("rm", "-f", "owner");
  });

  it("permissive lets the same access through, and logs it", async () => {
    const source = directory("watched");
    const before = (await denials()).length;
    expect((await inside("cat /x/file", "-v", `${source}:/x`)).status).toBe(1);
    writeFileSync(ENFORCE, "0");
    try {
      expect((await inside("cat /x/file", "-v", `${source}:/x`)).stdout).toBe("secret\n");
    } finally {
      writeFileSync(ENFORCE, "1");
    }
    const logged = (await denials()).slice(before);
    expect(logged.some((line) => line.includes("permissive=0") && line.includes('name="file"'))).toBe(true);
    expect(logged.some((line) => line.includes("permissive=1") && line.includes('name="file"'))).toBe(true);
  });

  it("z, and volumes, are everybody's; the host's own directories are nobody's, whatever they are called", async () => {
    const source = directory("shared");
    for (const script of ["cat /x/file", "cat /x/file"])
      expect((await inside(script, "-v", `${source}:/x:z`)).stdout).toBe("secret\n");
    expect(await labelOf(join(source, "file"))).toBe("system_u:object_r:container_file_t:s0");
    expect((await inside("echo kept >/v/file", "-v", "volume:/v")).status).toBe(0);
    expect((await inside("cat /v/file", "-v", "volume:/v")).stdout).toBe("kept\n");
    const etc = await labelOf("/etc");
    symlinkSync("/etc", join(daemon.root, "etc"));
    for (const path of ["/etc", join(daemon.root, "etc")]) {
      const { stderr, status } = await inside("true", "-v", `${path}:/x:Z`);
      expect(stderr).toContain(
        `error setting label on mount source '${path}': SELinux relabeling of ${path} is not allowed`,
      );
      expect(status).toBe(125);
    }
    expect(await labelOf("/etc")).toBe(etc);
  });

  it("follows label options, and partners", async () => {
    const current = async (...flags: string[]): Promise<string> => {
      const { stdout, stderr } = await inside("cat /proc/self/attr/current", ...flags);
      return `${stdout}${stderr}`.replaceAll("\0", "").trim();
    };
    expect(await current("--security-opt", "label=level:s0:c5,c6")).toBe(
      "system_u:system_r:container_t:s0:c5,c6",
    );
    expect(await current("--privileged")).toContain(":spc_t:");
    expect(await current("--pid", "host")).toContain(":spc_t:");
    expect(await current("--security-opt", "label=type:no_such_t")).toContain(
      "SELinux: the host's policy does not know the context system_u:system_r:no_such_t:",
    );
    const shown = async (...flags: string[]): Promise<string> =>
      (await inside("grep -c ' /sys/fs/selinux ' /proc/mounts", ...flags)).stdout;
    expect(await shown()).toBe("0\n");
    expect(await shown("--security-opt", "label=nested")).toBe("1\n");
    await daemon.tsctl("run", "-d", "--name", "partner", "--ipc", "shareable", "busybox", "sleep", "9999");
    const { ProcessLabel } = await inspect("partner");
    expect(await current("--ipc", "container:partner")).toBe(ProcessLabel);
    expect(await current("--pid", "container:partner")).toBe(ProcessLabel);
    await daemon.tsctl("rm", "-f", "partner");
  });

  it("keeps the session keyring, an init and a terminal usable, and is told of by info", async () => {
    expect((await inside("tail -n 1 /proc/keys | wc -l; true", "--init")).status).toBe(0);
    const { text } = await daemon.api("GET", "/info");
    expect((JSON.parse(text) as { SecurityOptions: string[] }).SecurityOptions).toContain("name=selinux");
    const command = [tsctlProgram, "run", "--rm", "-it", "busybox", "tty"];
    expect((await onTerminal(daemon, command, [])).output).toContain("/dev/pts/0");
  });
});
