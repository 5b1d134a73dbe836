// tsctl spec: configurations of many kinds of containers fit the OCI schema, and runc and crun run bundles.
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { crunFor, installed } from "./installed.ts";
import { configProblems } from "./schema.ts";

interface Config {
  process: { args: string[]; rlimits?: { type: string; hard: number }[]; noNewPrivileges: boolean };
  hostname?: string;
  mounts: { destination: string; options: string[]; uidMappings?: object[] }[];
  linux: {
    namespaces: { type: string; path?: string }[];
    uidMappings?: object[];
    resources: { memory?: { limit: number }; devices: object[]; blockIO?: object };
    seccomp?: { syscalls: { names: string[] }[] };
    timeOffsets?: Record<string, { secs: number }>;
    sysctl: Record<string, string>;
    devices?: { path: string }[];
  };
}

let daemon: TestDaemon;
let directory: string;
beforeAll(async () => {
  daemon = await TestDaemon.start("spec");
  await daemon.importBusybox();
  directory = mkdtempSync(join(tmpdir(), "tsd-bundles-"));
  // A root of the container's own user namespace must get there.
  chmodSync(directory, 0o711);
});
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await daemon?.stop();
});

async function spec(...words: string[]): Promise<{ config: Config; text: string }> {
  const { status, stdout, stderr } = await daemon.tsctl("spec", ...words);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return { config: JSON.parse(stdout) as Config, text: stdout };
}

const corpus: readonly (readonly string[])[] = [
  [],
  ["--privileged"],
  ["--userns", "host"],
  ["--userns", "0:200000:65536"],
  ["-t", "-i"],
  ["--read-only", "--tmpfs", "/tmp:size=1m,exec", "--tmpfs", "/run"],
  ["-v", "/tmp:/host:ro", "-v", "/var:/v:rslave"],
  ["--mount", "type=bind,source=/tmp,target=/one,readonly,bind-recursive=disabled"],
  ["-v", "specvolume:/data"],
  ["-m", "64m", "--memory-reservation", "32m", "--cpus", "0.5", "--pids-limit", "100", "--cpu-shares", "512"],
  ["--cpuset-cpus", "0", "--blkio-weight", "300", "--oom-score-adj", "100"],
  ["--ulimit", "nofile=1024:2048", "--ulimit", "memlock=-1:-1"],
  ["--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges"],
  ["--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"],
  ["--device", "/dev/null:/dev/other", "--device-cgroup-rule", "c 10:* rw"],
  ["--network", "none", "--pid", "host", "--ipc", "host", "--uts", "host"],
  ["--network", "host", "--cgroupns", "host"],
  ["--hostname", "box", "--domainname", "example.org", "--sysctl", "net.ipv4.ip_forward=1"],
  ["-u", "1000:100", "--group-add", "24", "-w", "/tmp", "-e", 'A="soft": 18446744073709552000'],
  ["--init", "--label", "a=b"],
  ["--time-offset", "boottime=3600"],
];

describe("configurations", () => {
  for (const words of corpus)
    it(`fit the schema: run ${words.join(" ")}`, async () => {
      const { config } = await spec("run", ...words, "busybox", "true");
      expect(configProblems(config)).toEqual([]);
    });

  it("say what was asked for", async () => {
    const { config, text } = await spec(
      ...["run", "-m", "64m", "--ulimit", "memlock=-1:-1", "--hostname", "box", "-v", "/tmp:/host:ro"],
      ...["--time-offset", "boottime=3600", "busybox", "sh", "-c", "true"],
    );
    expect(config.process.args).toEqual(["sh", "-c", "true"]);
    expect(config.hostname).toBe("box");
    expect(config.linux.resources.memory?.limit).toBe(64 << 20);
    expect(config.linux.timeOffsets?.boottime?.secs).toBe(3600);
    expect(config.linux.namespaces.map(({ type }) => type).sort()).toEqual(
      ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"].sort(),
    );
    expect(config.linux.uidMappings).toHaveLength(1);
    const bind = config.mounts.find(({ destination }) => destination === "/host");
    expect(bind?.options).toContain("rro");
    expect(bind?.uidMappings).toEqual(config.linux.uidMappings);
    // No JavaScript number is exactly this one.
    expect(text).toContain('"hard": 18446744073709551615');
    expect(config.linux.seccomp?.syscalls.flatMap(({ names }) => names)).not.toContain("mount");
  });

  it("join by path, and leave nothing behind", async () => {
    await daemon.tsctl("run", "-d", "--name", "partner", "busybox", "sleep", "1000");
    const { config } = await spec("run", "--network", "container:partner", "busybox");
    expect(config.linux.namespaces.find(({ type }) => type === "network")?.path).toMatch(
      /^\/proc\/\d+\/ns\/net$/,
    );
    expect(configProblems((await spec("partner")).config)).toEqual([]);
    await daemon.tsctl("rm", "-f", "partner");
    expect((await daemon.tsctl("ps", "-aq")).stdout).toBe("");
  });

  it("names what it can't", async () => {
    expect((await daemon.tsctl("spec", "nosuch")).stderr).toContain("No such container");
    expect((await daemon.tsctl("spec", "run", "--memory", "1", "busybox")).status).not.toBe(0);
  });

  it("the check can fail", async () => {
    const { config } = await spec("run", "busybox");
    const broken = { ...config, linux: { ...config.linux, sysctl: { a: 1 }, nosuch: true } };
    expect(configProblems(broken)).toEqual([
      "config.linux.sysctl.a is number, not string",
      "config.linux.nosuch is unknown",
    ]);
  });
});

for (const name of ["runc", "crun"] as const)
  describe.skipIf(!installed(name))(`a bundle run by ${name}`, () => {
    for (const userns of ["host", "auto"])
      it(`with the user namespace ${userns}`, async () => {
        const state = join(directory, `state-${name}`);
        const program = name === "crun" ? crunFor(directory) : installed(name);
        const bundle = join(directory, `${name}-${userns}`);
        const made = await daemon.tsctl(
          ...["spec", "-o", bundle, "run", "--userns", userns, "-m", "64m", "--hostname", "box", "busybox"],
          ...[
            "sh",
            "-c",
            "hostname; cat /proc/self/uid_map; stat -c %u /etc/passwd; cat /etc/hostname; exit 7",
          ],
        );
        expect(made.status).toBe(0);
        const { status, stdout, stderr } = await run(program ?? "", [
          "--root",
          state,
          "run",
          "-b",
          bundle,
          `${name}-${userns}`,
        ]);
        expect(stderr).toBe("");
        expect(status).toBe(7);
        const [hostname, map, owner, file] = stdout.trim().split("\n");
        expect([hostname, owner, file]).toEqual(["box", "0", "box"]);
        expect(/^\s*0\s+0\s/.test(map ?? "")).toBe(userns === "host");
        expect(existsSync(join(state, `${name}-${userns}`))).toBe(false);
      });
  });
