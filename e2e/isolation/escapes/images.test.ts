// Ways out by images: links, pipes and devices where the engine looks or writes, and configurations that mean harm.
import { copyFileSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output, type Result, run } from "../../harness/command.ts";
import { TestDaemon, tsctlProgram } from "../../harness/daemon.ts";
import { Attempts } from "./attempts.ts";

let daemon: TestDaemon;
/** A directory of the host's that must stay as it is. */
let outside: string;
let counter = 0;

beforeAll(async () => {
  daemon = await TestDaemon.start("hostile-images");
  await daemon.importBusybox();
  outside = join(daemon.root, "outside");
  mkdirSync(outside);
});
afterAll(async () => {
  await daemon.clear();
  const leaks = await daemon.lastingLeaks();
  await daemon.stop();
  expect(leaks).toEqual([]);
});

/** An image with busybox, and what `change` makes of it. */
async function image(change: (root: string) => void, ...settings: string[]): Promise<string> {
  const root = join(daemon.root, "root");
  rmSync(root, { recursive: true, force: true });
  for (const name of ["bin", "etc", "tmp"]) mkdirSync(join(root, name), { recursive: true });
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  for (const name of ["sh", "cat", "id", "ls", "true", "echo", "touch", "pwd"])
    symlinkSync("busybox", join(root, "bin", name));
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  change(root);
  const name = `hostile-${counter++}`;
  const changes = settings.map((setting) => `--change '${setting}'`).join(" ");
  await output("sh", [
    "-c",
    `tar -C '${root}' -c . | '${tsctlProgram}' -H '${daemon.host}' import ${changes} - ${name}`,
  ]);
  return name;
}
const link = (root: string, path: string, target: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  rmSync(join(root, path), { recursive: true, force: true });
  symlinkSync(target, join(root, path));
};

const modes = [[], ["--userns", "host"]];
const start = (name: string, flags: readonly string[], ...words: string[]): Promise<Result> =>
  daemon.tsctl("run", "--rm", ...flags, name, ...words);

it("the host follows such links where it goes by strings", async () => {
  const name = join(daemon.root, "followed");
  mkdirSync(name);
  link(name, "etc", outside);
  await run("sh", ["-c", `echo planted > '${name}/etc/hosts'`]);
  expect(readdirSync(outside)).toEqual(["hosts"]);
  rmSync(join(outside, "hosts"));
});

describe.each(modes)("an image %s", (...flags) => {
  const links: readonly string[] = [
    ...[
      "etc",
      "dev",
      "dev/pts",
      "dev/shm",
      "dev/mqueue",
      "dev/console",
      "dev/null",
      "proc",
      "sys",
      "sys/fs/cgroup",
    ],
    ...[
      "etc/hosts",
      "etc/hostname",
      "etc/resolv.conf",
      "etc/passwd",
      "etc/group",
      "sbin/docker-init",
      "work",
      "data",
    ],
  ];
  it.each(links)("whose /%s leads out leaves the host alone", async (path) => {
    const name = await image((root) =>
      link(
        root,
        path,
        path.includes(".") || /host|pass|group|init|null|console/.test(path)
          ? join(outside, "file")
          : outside,
      ),
    );
    const words = ["-t", "--init", "-w", "/work/deep/er", "-v", "/data/volume", "--tmpfs", "/data/tmp"];
    const { stdout, stderr } = await start(
      name,
      [...flags, ...words],
      "/bin/sh",
      "-c",
      "touch /etc/x /work/x /data/x; /bin/echo done",
    );
    // It runs, or is refused; in either case nothing appears outside.
    expect(stdout + stderr).toMatch(
      /done|denied|not a directory|no such file|too many levels|loop|OCI runtime/i,
    );
    expect(readdirSync(outside)).toEqual([]);
  });

  it("whose user files are no files does not hold the engine up", async () => {
    const names: string[] = [];
    names.push(await image((root) => link(root, "etc/passwd", "/dev/zero")));
    names.push(await image((root) => link(root, "etc/passwd", "/proc/self/mem")));
    names.push(
      await image((root) => {
        rmSync(join(root, "etc/passwd"));
        mkdirSync(join(root, "etc/passwd"));
      }),
    );
    for (const name of names)
      expect((await start(name, [...flags, "-u", "1000"], "/bin/echo", "runs")).stdout).toBe("runs\n");
    expect((await start(names[0] ?? "", [...flags, "-u", "somebody"], "/bin/id")).stderr).toContain(
      "unable to find user somebody",
    );
    // A passwd that asks for the world.
    const greedy = await image((root) =>
      writeFileSync(
        join(root, "etc/passwd"),
        `${"x:x:0:0::/:\n".repeat(50_000)}evil:x:99999999999:-5::/root:\n`,
      ),
    );
    expect((await start(greedy, [...flags, "-u", "evil"], "/bin/id")).status).not.toBe(0);
  });

  it("whose command is no program is refused, and nothing stays", async () => {
    for (const path of [
      "/",
      "/etc",
      "/dev/null",
      "/proc/self/mem",
      "/proc/1/exe/x",
      "/proc/self/fd/3",
      "/etc/passwd",
    ]) {
      const { status } = await start("busybox", [...flags, "--entrypoint", path]);
      expect([path, [125, 126, 127].includes(status)]).toEqual([path, true]);
    }
  });

  it("whose configuration is hostile is refused in words", async () => {
    const user = await image(() => undefined, "USER ../../../etc/passwd");
    expect((await start(user, flags, "/bin/id")).stderr).toContain("unable to find user");
    const workdir = await image(() => undefined, "WORKDIR /../../../../tmp/../../.");
    expect((await start(workdir, flags, "/bin/pwd")).stdout).toBe("/\n");
    const volume = await image((root) => link(root, "up", "../../../../.."), "VOLUME /up/data");
    expect((await start(volume, flags, "/bin/ls", "-d", "/data")).stdout).toBe("/data\n");
  });
});

it("a set-user-ID program gives nothing with no-new-privileges", async () => {
  const attempts = await Attempts.build(daemon);
  const script =
    "cp /attempts /tmp/able; chmod 4755 /tmp/able; exec su -s /bin/sh nobody -c '/tmp/able kill 1'";
  const kill = async (...flags: string[]): Promise<string> =>
    (
      await daemon.tsctl(
        ...["run", "--rm", "-v", `${attempts.program}:/attempts:ro`, ...flags, "busybox", "sh", "-c"],
        script,
      )
    ).stdout;
  expect(await kill("--init")).toBe("through\n");
  expect(await kill("--init", "--security-opt", "no-new-privileges")).toBe("refused: EPERM\n");
});
