// Ways out by files of the kernel's: hidden, read-only or another user's by default, each seen to be open where they are not.
import { describe, expect, it } from "vitest";
import { attemptsOf } from "./attempts.ts";

const { daemon, attempts } = attemptsOf("kernel-files");

const host = ["--userns", "host"];
/** Nothing masked, nothing read-only. */
const open = [...host, "--privileged"];

const cases: readonly [attempt: "read" | "write" | "list", path: string, what: string][] = [
  ["write", "/proc/sys/kernel/core_pattern", "a program of its choice run by the host at the next crash"],
  ["write", "/proc/sys/kernel/modprobe", "a program run by the host for a missing module"],
  ["write", "/proc/sys/kernel/hotplug", "a program run by the host for a new device"],
  ["write", "/proc/sys/kernel/poweroff_cmd", "a program run by the host at power-off"],
  ["write", "/proc/sys/fs/binfmt_misc/register", "an interpreter for programs of the host's"],
  ["write", "/proc/sys/kernel/panic", "settings of the machine"],
  ["write", "/proc/sys/vm/overcommit_memory", "settings of the machine"],
  ["write", "/proc/sysrq-trigger", "a restart of the machine"],
  ["read", "/proc/kcore", "the machine's memory"],
  ["read", "/proc/keys", "keys of everybody's"],
  ["read", "/proc/timer_list", "addresses in the kernel"],
  ["list", "/proc/acpi", "the machine's hardware"],
  ["list", "/proc/scsi", "the machine's disks, to be removed"],
  ["write", "/proc/irq/default_smp_affinity", "interrupts"],
  ["list", "/sys/firmware", "firmware tables"],
  ["write", "/sys/kernel/uevent_helper", "a program run by the host for a device event"],
  ["write", "/sys/kernel/mm/transparent_hugepage/enabled", "settings of the machine"],
  ["write", "/sys/power/state", "the machine put to sleep"],
  ["write", "/sys/fs/cgroup/devices/devices.allow", "devices"],
  ["write", "/sys/fs/cgroup/pids/pids.max", "its own limits"],
];

describe.each(cases)("%s %s", (attempt, path, what) => {
  it(`is no way to ${what}`, async ({ skip }) => {
    const words = [attempt, path];
    const possible = await attempts().onHost(...words);
    const unprotected = await attempts().inside(words, open);
    if (possible !== "through" && unprotected !== "through") skip(`not on this machine: ${possible}`);
    expect(unprotected).toBe("through");
    expect(await attempts().inside(words)).toMatch(/^refused: /);
    expect(await attempts().inside(words, host)).toMatch(/^refused: /);
  });
});

it("hidden files stay hidden where /dev/null is something else (CVE-2025-31133)", async () => {
  // A volume as /dev, in which null leads to a file of the kernel's: masks must not be made of it.
  await daemon().tsctl(
    "run",
    "--rm",
    ...host,
    "-v",
    "dev:/d",
    "busybox",
    "ln",
    "-sf",
    "/proc/sys/kernel/core_pattern",
    "/d/null",
  );
  for (const flags of [[], host])
    for (const words of [
      ["read", "/proc/keys"],
      ["write", "/proc/sys/kernel/core_pattern"],
    ])
      expect(await attempts().inside(words, ["-v", "dev:/dev", ...flags])).toMatch(/^refused: /);
});

it("the console is the container's terminal, whatever its place leads to (CVE-2025-52565)", async () => {
  await daemon().tsctl(
    ...["run", "--rm", ...host, "-v", "console:/d", "busybox", "sh", "-c"],
    "ln -sf /proc/sysrq-trigger /d/console; ln -sf /proc/sys/kernel/core_pattern /d/pts; mkdir /d/shm /d/mqueue",
  );
  const { stdout } = await daemon().tsctl(
    "run",
    "--rm",
    "-t",
    "-v",
    "console:/dev",
    "busybox",
    "sh",
    "-c",
    "echo reached; ls -l /dev/console",
  );
  expect(stdout).not.toContain("reached");
});
