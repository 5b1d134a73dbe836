// Ways out by the moment in which somebody comes in: starts, execs and copies. Each is first seen to work against a careless
// helper, then not to work against the engine.
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, type Result, run } from "../../harness/command.ts";
import { TestDaemon } from "../../harness/daemon.ts";
import { Attempts } from "./attempts.ts";

let daemon: TestDaemon;
let attempts: Attempts;
let secret: string;
const SECRET = "the host's own\n";

beforeAll(async () => {
  daemon = await TestDaemon.start("escapes");
  await daemon.importBusybox();
  attempts = await Attempts.build(daemon);
  secret = join(daemon.root, "secret");
  writeFileSync(secret, SECRET);
});
afterAll(async () => {
  await daemon.clear();
  const leaks = await daemon.lastingLeaks();
  await daemon.stop();
  expect(leaks).toEqual([]);
});

const modes = [[], ["--userns", "host"]];
interface Box {
  id: string;
  pid: number;
}
/** A container that runs a command, with the attempts in it. */
async function box(flags: readonly string[], ...command: string[]): Promise<Box> {
  const words = ["run", "-d", "-v", `${attempts.program}:/attempts:ro`, ...flags, "busybox", ...command];
  const { stdout, stderr } = await daemon.tsctl(...words);
  expect(stderr).toBe("");
  const id = stdout.trim();
  const { State } = JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as {
    State: { Pid: number };
  };
  return { id, pid: State.Pid };
}
const logged = (id: string, word: string): Promise<void> =>
  eventually(word, async () => (await daemon.tsctl("logs", id)).stdout.includes(word));
const remove = (...ids: string[]): Promise<Result> => daemon.tsctl("rm", "-f", ...ids);

describe("the program of whoever comes in (CVE-2019-5736)", () => {
  const entry = "printf '#!/proc/self/exe\\n' > /entry; chmod +x /entry";

  it("can be overwritten where a runtime runs from the host's file", async () => {
    const naive = join(daemon.root, "naive");
    writeFileSync(naive, readFileSync(attempts.program));
    chmodSync(naive, 0o755);
    const { id, pid } = await box(
      ["--userns", "host", "--cap-add", "ALL"], // as many as whoever comes in has
      ...["sh", "-c", `${entry}; exec /attempts overwrite naive 20`],
    );
    await logged(id, "waiting");
    for (let tries = 0; tries < 30 && !(await daemon.tsctl("logs", id)).stdout.includes("through"); tries++)
      await run(naive, ["enter", String(pid), "/entry"]);
    await logged(id, "through");
    expect(readFileSync(naive).toString("latin1").endsWith("#overwritten")).toBe(true);
    await remove(id);
  });

  it.each([...modes, ["--userns", "host", "--cap-add", "ALL"]])(
    "is out of reach here %s",
    async (...flags) => {
      const { id } = await box(flags, ...["sh", "-c", `${entry}; /attempts overwrite tsd- 4; sleep 100`]);
      await logged(id, "waiting");
      const before = await output("sh", ["-c", "cat packages/kernel-bindings/launcher/build/* | sha256sum"]);
      for (let tries = 0; tries < 20; tries++) await daemon.tsctl("exec", id, "/entry");
      await logged(id, "refused");
      expect(await output("sh", ["-c", "cat packages/kernel-bindings/launcher/build/* | sha256sum"])).toBe(
        before,
      );
      expect((await daemon.tsctl("exec", id, "echo", "well")).stdout).toBe("well\n");
      await remove(id);
    },
  );
});

describe("descriptors that were left open (CVE-2024-21626)", () => {
  it("lead out where a runtime leaves one", async () => {
    const { id, pid } = await box(["--userns", "host"], "sleep", "100");
    const shown = await run(attempts.program, [
      ...["enter", String(pid), "/bin/cat", "/proc/self/fd/9"],
      `.${secret}`,
    ]);
    expect(shown.stdout).toBe(SECRET);
    await remove(id);
  });

  it.each(modes)(
    "are none here, whichever is named as the directory %s",
    async (...flags) => {
      const { id } = await box(flags, "sleep", "100");
      const script = `cat ./${secret} ../${secret} ../../${secret} 2>/dev/null; pwd`;
      for (let number = 3; number < 30; number++) {
        const place = `/proc/self/fd/${number}`;
        const started = await daemon.tsctl(
          "run",
          "--rm",
          ...flags,
          "-w",
          place,
          "busybox",
          "sh",
          "-c",
          script,
        );
        expect(started.stdout).not.toContain(SECRET.trim());
        const executed = await daemon.tsctl("exec", "-w", place, id, "sh", "-c", script);
        expect(executed.stdout).not.toContain(SECRET.trim());
      }
      const open = (await daemon.tsctl("exec", id, "sh", "-c", "ls /proc/self/fd /proc/1/fd")).stdout;
      expect(open.split(/\s+/).filter((word) => /^\d+$/.test(word) && Number(word) > 3)).toEqual([]);
      await remove(id);
    },
    120_000,
  );
});

describe("a directory that becomes a link while it is used", () => {
  it("leads a mount out where its path is a string (CVE-2021-30465)", async () => {
    const root = join(daemon.root, "careless");
    mkdirSync(join(root, "v/x/y"), { recursive: true });
    mkdirSync(join(daemon.root, "outside/y"), { recursive: true });
    // In a mount namespace of its own, which goes with the program.
    const script = `
      mount --make-rprivate /
      '${attempts.program}' swap '${root}/v/x' '${daemon.root}/outside' >/dev/null & swapper=$!
      for i in $(seq 500); do
        mount --bind /usr '${root}/v/x/y' 2>/dev/null
        if grep -q ' ${daemon.root}/outside/y ' /proc/self/mountinfo; then echo escaped; break; fi
      done
      kill $swapper`;
    expect(await output("unshare", ["-m", "sh", "-c", script])).toContain("escaped");
    rmSync(root, { recursive: true, force: true });
  });

  it.each(modes)("leads no mount out of a container that starts %s", async (...flags) => {
    mkdirSync(join(daemon.root, "outside/y"), { recursive: true });
    writeFileSync(join(daemon.root, "outside/y/host"), SECRET);
    await daemon.tsctl("run", "--rm", ...flags, "-v", "raced:/v", "busybox", "mkdir", "-p", "/v/x/y");
    const swapper = await box(
      ["-v", "raced:/v", ...flags],
      "/attempts",
      "swap",
      "/v/x",
      join(daemon.root, "outside"),
    );
    await logged(swapper.id, "swapping");
    for (let tries = 0; tries < 30; tries++) {
      const { stdout } = await daemon.tsctl(
        ...["run", "--rm", ...flags, "-v", "raced:/v", "-v", "other:/v/x/y"],
        ...[
          "busybox",
          "sh",
          "-c",
          "cat /v/x/y/host /v/x.link/y/host 2>/dev/null; grep -c ' - ext4 ' /proc/self/mountinfo",
        ],
      );
      expect(stdout).not.toContain(SECRET.trim());
    }
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("/outside");
    await remove(swapper.id);
  });

  it("leads a copy out where its path is a string (CVE-2018-15664)", async () => {
    const { id, pid } = await box(
      ["--userns", "host"],
      ...["sh", "-c", `mkdir /x; echo inside > /x/secret; exec /attempts swap /x ${daemon.root}`],
    );
    await logged(id, "swapping");
    let seen = "";
    for (let tries = 0; tries < 300 && seen !== SECRET; tries++)
      seen = (await run("cat", [`/proc/${pid}/root/x/secret`])).stdout;
    expect(seen).toBe(SECRET);
    await remove(id);
  });

  it.each(modes)("leads no copy out, whichever way %s", async (...flags) => {
    const { id } = await box(
      flags,
      ...["sh", "-c", `mkdir /x; echo inside > /x/secret; exec /attempts swap /x ${daemon.root}`],
    );
    await logged(id, "swapping");
    const archive = join(daemon.root, "in.tar");
    writeFileSync(join(daemon.root, "planted"), "x");
    await output("tar", ["-C", daemon.root, "-cf", archive, "planted"]);
    rmSync(join(daemon.root, "planted"));
    const bytes = readFileSync(archive);
    for (let tries = 0; tries < 40; tries++) {
      const { text } = await daemon.api("GET", `/containers/${id}/archive?path=/x/secret`);
      expect(text).not.toContain(SECRET);
      await daemon.api("PUT", `/containers/${id}/archive?path=/x`, bytes);
      expect(existsSync(join(daemon.root, "planted"))).toBe(false);
    }
    await remove(id);
  });
});

describe("programs and libraries of the container's", () => {
  const library = '__attribute__((constructor)) static void loaded(void) { creat("/loaded", 0600); }';

  it("are loaded by whoever works in its root with the host's rights (CVE-2019-14271)", async () => {
    const root = join(daemon.root, "trap");
    mkdirSync(join(root, "lib"), { recursive: true });
    await output("sh", [
      "-c",
      `printf '#include <fcntl.h>\\n${library}\\n' | gcc -shared -fPIC -x c -o '${root}/lib/libtrap.so' -`,
    ]);
    const script = `import ctypes, os; os.chroot("${root}"); os.chdir("/"); ctypes.CDLL("/lib/libtrap.so")`;
    await output("python3", ["-c", script]);
    expect(existsSync(join(root, "loaded"))).toBe(true);
  });

  it.each(modes)("are not loaded or run by a copy (CVE-2019-14271, CVE-2026-41567) %s", async (...flags) => {
    const traps = join(daemon.root, "traps");
    mkdirSync(traps, { recursive: true });
    await output("sh", [
      "-c",
      `printf '#include <fcntl.h>\\n${library}\\n' | gcc -shared -fPIC -x c -o '${traps}/trap.so' -`,
    ]);
    writeFileSync(join(traps, "trap"), "#!/bin/sh\ntouch /loaded\n", { mode: 0o755 });
    const names = [
      "libnss_files.so.2",
      "libnss_dns.so.2",
      "libnss_compat.so.2",
      "libc.so.6",
      "gconv/UTF-8.so",
    ];
    const programs = ["xz", "unxz", "gzip", "unpigz", "bzip2", "zstd", "tar", "tsd-archive"];
    const script = [
      ...["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/lib"].flatMap((directory) => [
        `mkdir -p ${directory}/gconv`,
        ...names.map((name) => `cp /traps/trap.so ${directory}/${name}`),
      ]),
      ...programs.flatMap((name) => [
        `cp /traps/trap /usr/bin/${name}`,
        `cp /traps/trap /usr/local/bin/${name}`,
      ]),
      "echo 'passwd: files dns' > /etc/nsswitch.conf; echo ready; sleep 100",
    ].join("\n");
    const { id } = await box(
      ["-v", `${traps}:/traps:ro`, ...flags],
      "sh",
      "-c",
      `mkdir -p /usr/local/bin; ${script}`,
    );
    await logged(id, "ready");
    for (const way of ["--xz", "--gzip", "--bzip2", "--zstd"]) {
      const archive = join(daemon.root, "compressed");
      await output("tar", [way, "-C", daemon.root, "-cf", archive, "secret"]);
      const { status } = await daemon.api(
        "PUT",
        `/containers/${id}/archive?path=/tmp`,
        readFileSync(archive),
      );
      expect(status).toBe(200);
    }
    expect((await daemon.api("GET", `/containers/${id}/archive?path=/etc`)).status).toBe(200);
    expect((await daemon.tsctl("exec", id, "ls", "/loaded", "/tmp/secret")).stdout).toBe("/tmp/secret\n");
    await remove(id);
  });
});

describe("control groups", () => {
  it("have no release_agent but the host's", async ({ skip }) => {
    const able = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    const open = ["--userns", "host", "--cgroupns", "host", ...able];
    const unprotected = await attempts.inside(["release-agent", "freezer"], open);
    if (!existsSync("/sys/fs/cgroup/freezer/release_agent")) skip("no control groups of version 1 here");
    expect(unprotected).toBe("through");
    expect(await attempts.inside(["release-agent", "freezer"])).toBe("refused: EPERM");
    // CVE-2022-0492: nor does who is root of a user namespace only.
    expect(await attempts.inside(["release-agent", "freezer"], able)).toMatch(
      /^refused: (EPERM|EACCES|ENOENT)$/,
    );
  });

  it("above its own are out of sight", async () => {
    const see = async (...flags: string[]): Promise<string> =>
      (await daemon.tsctl("run", "--rm", ...flags, "busybox", "cat", "/proc/self/cgroup")).stdout;
    expect(await see("--cgroupns", "host")).toContain(daemon.cgroupParent);
    expect(await see()).not.toContain(daemon.cgroupParent);
  });
});

describe("a start", () => {
  it("takes the longest arguments and environments there can be, and survives longer ones", async () => {
    const long = "x".repeat(120_000);
    const create = async (count: number): Promise<{ status: number; text: string }> => {
      const { text } = await daemon.api("POST", "/containers/create", {
        Image: "busybox",
        Cmd: ["true", ...Array.from({ length: count }, () => long)],
        Env: Array.from({ length: count }, (_, index) => `V${index}=${long}`),
      });
      const { Id } = JSON.parse(text) as { Id: string };
      const started = await daemon.api("POST", `/containers/${Id}/start`);
      await remove(Id);
      return started;
    };
    expect((await create(4)).status).toBe(204);
    const refused = await create(15);
    expect([refused.status, refused.text]).toEqual([400, expect.stringMatching(/argument list too long/i)]);
    const huge = await daemon.api("POST", "/containers/create", {
      Image: "busybox",
      Cmd: ["true", "x".repeat(140_000)],
    });
    const { Id } = JSON.parse(huge.text) as { Id: string };
    expect((await daemon.api("POST", `/containers/${Id}/start`)).status).toBe(400);
    await remove(Id);
    expect((await daemon.tsctl("run", "--rm", "busybox", "echo", "well")).stdout).toBe("well\n");
  });
});
