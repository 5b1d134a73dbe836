// Ways out by system calls: each is first seen to work where its protection is taken away, then to be refused by default, and
// again without the user namespace: by what is left.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { attemptsOf, isMissing } from "./attempts.ts";

const { daemon, attempts } = attemptsOf("calls");

const host = ["--userns", "host"];
const unfiltered = ["--security-opt", "seccomp=unconfined"];
const with_ = (...capabilities: string[]): string[] => [
  ...host,
  ...unfiltered,
  ...capabilities.flatMap((name) => ["--cap-add", name]),
];

/** What is tried, and the flags that take the protection away. */
const cases: readonly [words: readonly string[], open: readonly string[]][] = [
  // File systems
  [["mount"], with_("SYS_ADMIN")],
  [["umount", "/proc/keys"], with_("SYS_ADMIN")],
  [["remount", "/proc/sys"], with_("SYS_ADMIN")],
  [["fsopen"], with_("SYS_ADMIN")],
  [["open_tree"], with_("SYS_ADMIN")],
  [["pivot_root"], with_("SYS_ADMIN")],
  [["fanotify"], with_("SYS_ADMIN")],
  [["quotactl"], with_("SYS_ADMIN")],
  [["swapon"], with_("SYS_ADMIN")],
  [["acct"], with_("SYS_PACCT")],
  // Namespaces: of its own, with capabilities in them
  [["unshare", "0x10000000"], unfiltered], // user
  [["unshare", "0x20000"], with_("SYS_ADMIN")], // mount
  [["unshare", "0x2000000"], with_("SYS_ADMIN")], // cgroup
  [["clone", "0x10000000"], unfiltered],
  [["clone", "0x40000000"], with_("SYS_ADMIN")], // network
  [["clone3"], unfiltered],
  [["setns"], with_("SYS_ADMIN")],
  // The kernel's own code and memory
  [["bpf"], with_("BPF", "SYS_ADMIN")],
  [["perf"], with_("PERFMON", "SYS_ADMIN")],
  [["userfaultfd"], with_("SYS_PTRACE")],
  [["io_uring"], unfiltered],
  [["init_module"], with_("SYS_MODULE")],
  [["finit_module"], with_("SYS_MODULE")],
  [["delete_module"], with_("SYS_MODULE")],
  [["kexec"], with_("SYS_BOOT")],
  [["reboot"], with_("SYS_BOOT")],
  [["iopl"], with_("SYS_RAWIO")],
  [["syslog"], with_("SYSLOG")],
  // Keys are not namespaced
  [["add_key"], unfiltered],
  [["keyctl"], unfiltered],
  // The machine's clock, processes and devices
  [["settime"], with_("SYS_TIME")],
  [["adjtimex"], with_("SYS_TIME")],
  [["personality"], unfiltered],
  [["mempolicy"], unfiltered],
  [["kcmp"], with_("SYS_PTRACE")],
  [["vhangup"], with_("SYS_TTY_CONFIG")],
  // Sockets that lead to the kernel's code or to the hypervisor
  [["af_alg"], unfiltered],
  [["af_vsock"], unfiltered],
];

describe.each(cases)("%s", (words, open) => {
  it("works unprotected, and is refused by default", async ({ skip }) => {
    const possible = await attempts().onHost(...words);
    if (isMissing(possible)) skip(`this kernel does not have it: ${possible}`);
    expect(await attempts().inside(words, open)).toBe("through");
    expect(await attempts().inside(words)).toMatch(/^refused: /);
    expect(await attempts().inside(words, host)).toMatch(/^refused: /);
  });
});

describe("files of the host by their handles (the shocker of 2014)", () => {
  it("are found by nobody who has a file system of the host's", async ({ skip }) => {
    const secret = join(daemon().root, "secret");
    writeFileSync(secret, "the host's\n");
    const handle = (await attempts().onHost("print-handle", secret)).split(" ");
    if (handle.length !== 2) skip(`this file system has no handles: ${handle.join(" ")}`);
    const words = ["handle", "/attempts", ...handle];
    const able = ["--cap-add", "DAC_READ_SEARCH"];
    expect(await attempts().inside(words, [...host, ...able])).toBe("the host's\nthrough");
    expect(await attempts().inside(words)).toMatch(/^refused: /);
    expect(await attempts().inside(words, host)).toMatch(/^refused: /);
    // Even who is given the capability has it in its own user namespace only.
    expect(await attempts().inside(words, able)).toMatch(/^refused: /);
  });
});

describe("a block device of the host's", () => {
  it("can't be made, and can't be opened by who makes it", async () => {
    // The first loop device is always there and holds nothing.
    const words = ["mknod", "7", "0"];
    const open = [...host, "--device-cgroup-rule", "b 7:* rwm"];
    expect(await attempts().inside(words, open)).toMatch(/^(through|refused: ENXIO)$/);
    expect(await attempts().inside(words, host)).toBe("refused: EPERM");
    expect(await attempts().inside(words)).toBe("refused: EPERM");
    expect(await attempts().inside(words, ["--device-cgroup-rule", "b 7:* rwm"])).toBe("refused: EPERM");
  });
});

describe("processes outside", () => {
  it.each(["kill", "ptrace", "read-memory"])("%s reaches none", async (call) => {
    const words = [call, String(process.pid)];
    const open = [...host, ...unfiltered, "--pid", "host", "--cap-add", "SYS_PTRACE"];
    expect(await attempts().inside(words, open)).toBe("through");
    expect(await attempts().inside(words)).toBe("refused: ESRCH");
    // In sight, they are still another user's.
    const seen = ["--userns", "auto", "--pid", "host", ...unfiltered, "--cap-add", "SYS_PTRACE"];
    expect(await attempts().inside(words, seen)).toMatch(/^refused: (EPERM|ESRCH)$/);
  });

  it("are another container's too", async () => {
    const { stdout } = await daemon().tsctl("run", "-d", "busybox", "sleep", "100");
    const { State } = JSON.parse((await daemon().api("GET", `/containers/${stdout.trim()}/json`)).text) as {
      State: { Pid: number };
    };
    const words = ["kill", String(State.Pid)];
    expect(await attempts().inside(words, [...host, "--pid", "host"])).toBe("through");
    expect(await attempts().inside(words)).toBe("refused: ESRCH");
    expect(await attempts().inside(words, ["--userns", "auto", "--pid", "host"])).toBe("refused: EPERM");
  });
});
