// What a container sees and may do, read on the live kernel from inside.
import { readlinkSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("isolation");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

/** Runs a shell script in a container with flags; its output. */
async function inside(script: string, ...flags: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(
    "run",
    "--rm",
    ...flags,
    "busybox",
    "sh",
    "-c",
    script,
  );
  // Of what privileges open there is a warning.
  expect(`${stderr.replace(/^WARNING: Privileged.*\n/, "")}${status}`).toBe("0");
  return stdout.trim();
}

/** Docker's 14 default capabilities as a mask. */
const DEFAULT_MASK = "00000000a80425fb";
const sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
const capabilities = async (...flags: string[]): Promise<Record<string, string>> =>
  Object.fromEntries(
    (await inside("grep ^Cap /proc/self/status", ...flags))
      .split("\n")
      .map((line) => line.split(":\t") as [string, string]),
  );

describe("namespaces", () => {
  it("are the container's own, one by one", async () => {
    const kinds = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    const theirs = (await inside(`for n in ${kinds.join(" ")}; do readlink /proc/self/ns/$n; done`)).split(
      "\n",
    );
    kinds.forEach((kind, index) => {
      expect(theirs[index]).toMatch(new RegExp(`^${kind}:\\[\\d+\\]$`));
      expect(theirs[index]).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
    });
  });

  it("show one process tree, host name, network and IPC of its own", async () => {
    const script =
      "cat /proc/1/cmdline | tr '\\0' ' '; echo; ls -d /proc/[0-9]* | wc -l; hostname; ip -o link | wc -l; tail -n +2 /proc/sysvipc/msg | wc -l";
    const [command, processes, hostname, links, queues] = (await inside(script, "--hostname", "box")).split(
      "\n",
    );
    expect(command).toContain("sh -c");
    expect(Number(processes)).toBeLessThanOrEqual(3);
    expect(hostname).toBe("box");
    expect(links).toBe("2");
    expect(queues).toBe("0");
  });

  it("can be the host's where that was asked for", async () => {
    for (const [flag, kind] of [
      ["--pid", "pid"],
      ["--ipc", "ipc"],
      ["--uts", "uts"],
      ["--cgroupns", "cgroup"],
    ] as const)
      expect(await inside(`readlink /proc/self/ns/${kind}`, flag, "host")).toBe(
        readlinkSync(`/proc/self/ns/${kind}`),
      );
  });
});

describe("privileges", () => {
  it("are Docker's default to the bit in all five sets", async () => {
    const found = await capabilities();
    expect(sets.map((set) => found[set])).toEqual([
      "0".repeat(16),
      DEFAULT_MASK,
      DEFAULT_MASK,
      DEFAULT_MASK,
      "0".repeat(16),
    ]);
  });

  it("follow --cap-add, --cap-drop and ALL", async () => {
    expect((await capabilities("--cap-drop", "ALL")).CapEff).toBe("0".repeat(16));
    expect((await capabilities("--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE")).CapBnd).toBe(
      "0000000000000400",
    );
    expect((await capabilities("--cap-add", "NET_ADMIN")).CapEff).toBe("00000000a80435fb");
    expect((await capabilities("--cap-drop", "CHOWN")).CapEff).toBe("00000000a80425fa");
  });

  it("are gone for another user, but for the bounding set", async () => {
    const found = await capabilities("--user", "1000:1000");
    expect(sets.map((set) => found[set])).toEqual([
      "0".repeat(16),
      "0".repeat(16),
      "0".repeat(16),
      DEFAULT_MASK,
      "0".repeat(16),
    ]);
    expect(await inside("id -u; id -g; id -G", "--user", "1000:1000", "--group-add", "24")).toBe(
      "1000\n1000\n1000 24",
    );
    expect(await inside("id -un", "--user", "nobody")).toBe("nobody");
  });

  it("include a seccomp filter that refuses what leads out", async () => {
    expect(await inside("grep ^Seccomp: /proc/self/status")).toBe("Seccomp:\t2");
    expect(
      await inside("unshare -m true 2>/dev/null && echo out || echo refused", "--cap-add", "SYS_CHROOT"),
    ).toBe("refused");
    expect(await inside("grep ^Seccomp: /proc/self/status", "--security-opt", "seccomp=unconfined")).toBe(
      "Seccomp:\t0",
    );
    expect(await inside("grep ^NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges")).toBe(
      "NoNewPrivs:\t1",
    );
  });
});

describe("files", () => {
  it("no descriptor but 0, 1 and 2 comes in", async () => {
    const script = "cd /proc/self/fd; for f in *; do readlink $f >/dev/null && echo $f; done; true";
    const own = (await inside(script)).split("\n").filter((name) => Number(name) > 2);
    expect(own).toEqual([]);
  });

  it("/proc/sys and /sys are read-only, the dangerous paths hidden", async () => {
    expect(await inside("(echo 1 > /proc/sys/kernel/panic) 2>&1 | grep -o 'Read-only file system'")).toBe(
      "Read-only file system",
    );
    expect(await inside("(mkdir /sys/x) 2>&1 | grep -o 'Read-only file system'")).toBe(
      "Read-only file system",
    );
    expect(await inside("cat /proc/kcore 2>/dev/null | wc -c; ls -A /sys/firmware | wc -l")).toBe("0\n0");
    expect(await inside("cat /proc/timer_list 2>/dev/null | wc -c; ls /proc/acpi 2>/dev/null | wc -l")).toBe(
      "0\n0",
    );
  });

  it("/dev has its nodes and file systems", async () => {
    expect(await inside("ls /dev | sort | tr '\\n' ' '")).toBe(
      "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
    );
    expect(
      await inside(
        "echo gone > /dev/null; head -c 4 /dev/zero | wc -c; df -k /dev/shm | tail -1 | awk '{print $2}'",
      ),
    ).toBe("4\n65536");
    expect(await inside("df -k /dev/shm | tail -1 | awk '{print $2}'", "--shm-size", "1m")).toBe("1024");
  });

  it("propagation of binds is as asked", async () => {
    const flags = async (mode: string): Promise<string> =>
      inside(
        "grep ' /m ' /proc/self/mountinfo | grep -o -E 'shared:|master:' || echo private",
        "-v",
        `/tmp:/m:${mode}`,
      );
    expect(await flags("rw")).toBe("private");
    // The source is on a mount that may itself be private: then there is nothing to be slave or peer of.
    expect(["master:", "private"]).toContain(await flags("rslave"));
    expect(await flags("rshared")).toContain("shared:");
  });
});

describe("--privileged", () => {
  it("is warned of, by the names of what it opens", async () => {
    const { stderr } = await daemon.tsctl("run", "--rm", "--privileged", "busybox", "true");
    expect(stderr).toMatch(/WARNING: Privileged: all capabilities, all devices .* root on this machine\n/);
    const apart = await daemon.tsctl("run", "--rm", "--privileged", "--userns", "auto", "busybox", "true");
    expect(apart.stderr).toContain("in a user namespace of its own");
  });

  it("has every device of the host's, by its numbers", async () => {
    const list = "find /dev -type b -o -type c | grep -v -e ^/dev/pts/ -e /console | sort | xargs ls -ld";
    const numbers = (text: string): string[] =>
      text.split("\n").flatMap((line) => {
        const [, type, major, minor, path] = /^([bc])\S+.* (\d+), *(\d+) .* (\/dev\/\S+)$/.exec(line) ?? [];
        return path ? [`${path} ${type} ${major}:${minor}`] : [];
      });
    const host = numbers((await daemon.cli("sh", ["-c", list])).stdout).filter(
      (device) => !device.startsWith("/dev/ptmx "),
    );
    const found = new Set(numbers(await inside(list, "--privileged")));
    expect(host.length).toBeGreaterThan(10);
    expect(host.filter((device) => !found.has(device))).toEqual([]);
    expect((await inside(list)).split("\n").length).toBeLessThan(10);
  });

  it("has every capability of the host's, its devices, and no filter", async () => {
    const bounding = await daemon.cli("grep", ["CapBnd", "/proc/self/status"]);
    const found = await capabilities("--privileged");
    expect(`CapBnd:\t${found.CapEff}`).toBe(bounding.stdout.trim());
    expect(
      await inside(
        "grep ^Seccomp: /proc/self/status; test -e /dev/kmsg && echo devices; touch /proc/sys/kernel/panic && echo writable",
        "--privileged",
      ),
    ).toBe("Seccomp:\t0\ndevices\nwritable");
  });
});

describe("limits", () => {
  it("ulimits and oom score", async () => {
    expect(await inside("ulimit -n; ulimit -Hn", "--ulimit", "nofile=100:200")).toBe("100\n200");
    expect(await inside("cat /proc/self/oom_score_adj", "--oom-score-adj", "500")).toBe("500");
  });

  it("a process that eats too much is killed, and reported", async () => {
    const { status } = await daemon.tsctl(
      "run",
      "--name",
      "eater",
      "-m",
      "16m",
      "--memory-swap",
      "16m",
      "busybox",
      "sh",
      "-c",
      "head -c 64m /dev/zero | tail >/dev/null",
    );
    expect(status).not.toBe(0);
    expect((await daemon.tsctl("inspect", "-f", "{{.State.OOMKilled}}", "eater")).stdout.trim()).toBe("true");
    await daemon.tsctl("rm", "eater");
  });
});
