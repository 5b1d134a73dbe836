// System call filters: Docker's profile format against what dockerd 26.1 (runc) did with the same profiles, the log mode, and
// profiles that are traced.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { corpus, type Outcome, outcomeOf } from "./seccomp-corpus.ts";

// Written anew by: TSD_PEER_SOCKET=/path/of/a/dockerd's/socket npx vitest run --project e2e e2e/isolation/seccomp.test.ts
const fixture = join(import.meta.dirname, "fixtures/dockerd-seccomp.json");
const peer = process.env.TSD_PEER_SOCKET;

let daemon: TestDaemon;
let expected: Record<string, Outcome>;
beforeAll(async () => {
  daemon = await TestDaemon.start("seccomp");
  await daemon.importBusybox();
  if (peer) {
    const outcomes: Record<string, Outcome> = {};
    for (const entry of corpus) outcomes[entry.name] = await outcomeOf(peer, entry);
    writeFileSync(fixture, `${JSON.stringify(outcomes, null, 2)}\n`);
  }
  expected = JSON.parse(readFileSync(fixture, "utf8")) as Record<string, Outcome>;
}, 300_000);
afterAll(() => daemon.stop());

const inside = (script: string, ...flags: string[]) =>
  daemon.tsctl("run", "--rm", ...flags, "busybox", "sh", "-c", script);

describe("profiles in Docker's format do what they do there", () => {
  for (const entry of corpus)
    it(entry.name, async () => {
      expect(await outcomeOf(daemon.socket, entry)).toEqual(expected[entry.name]);
    });

  it("compares arguments to the last of their 64 bits", async () => {
    const length = async (value: string): Promise<string> => {
      const file = join(daemon.root, "profile.json");
      const args = `[{"index":1,"op":"SCMP_CMP_EQ","value":${value}}]`;
      const rule = `{"names":["ftruncate"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":${args}}`;
      writeFileSync(file, `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[${rule}]}`);
      const { stderr } = await inside("truncate -s 9007199254740993 /f", "--security-opt", `seccomp=${file}`);
      return stderr;
    };
    expect(await length("9007199254740993")).toContain("Input/output error");
    // What a JavaScript number would have made of it.
    expect(await length("9007199254740992")).not.toContain("Input/output error");
    expect(await length("18446744073709551616")).toContain(
      "18446744073709551616 is no whole number that fits into 64 bits",
    );
  });

  it("takes the kernel's flags, which runc's version there does not", async () => {
    for (const flag of ["TSYNC", "LOG", "SPEC_ALLOW"]) {
      const profile = await profileFile({
        defaultAction: "SCMP_ACT_ALLOW",
        flags: [`SECCOMP_FILTER_FLAG_${flag}`],
        syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO" }],
      });
      const { stderr } = await inside("mkdir /d", "--security-opt", `seccomp=${profile}`);
      expect(stderr).toContain("Operation not permitted");
    }
  });

  it("lets no start hang whose profile denies even the exit", async () => {
    const old = {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names: ["read", "write", "statx"], action: "SCMP_ACT_ALLOW" }],
    };
    const { stderr } = await inside("true", "--security-opt", `seccomp=${await profileFile(old)}`);
    // The launcher's own next calls are denied, its last word and its exit too.
    expect(stderr).toMatch(/unable to start container process: .*operation not permitted/);
  });
});

const profileFile = async (profile: object): Promise<string> => {
  const file = join(daemon.root, "profile.json");
  writeFileSync(file, JSON.stringify(profile));
  return file;
};

describe("seccomp=log", () => {
  it("lets through and logs what the default denies, and warns", async () => {
    const log = ["--security-opt", "seccomp=log", "--cap-drop", "ALL"];
    const denied = await inside("unshare -U true && echo let through");
    expect(denied.stderr).toContain("Operation not permitted");
    const logged = await inside("unshare -U true && echo let through", ...log);
    expect(logged.stdout).toBe("let through\n");
    expect(logged.stderr).toContain("WARNING: security option seccomp=log");
    const actions = "/proc/sys/kernel/seccomp/actions_logged";
    if (existsSync(actions) && readFileSync(actions, "utf8").includes("log"))
      expect(await output("dmesg", [])).toMatch(/type=1326.*comm="unshare".*syscall=272 .*code=0x7ffc0000/);
  });
});

describe("seccomp trace", () => {
  const traced = async (script: string, ...flags: string[]): Promise<string> => {
    const file = join(daemon.root, `trace-${Math.random()}.json`);
    const { status, stderr } = await daemon.tsctl(
      ...["seccomp", "trace", "-o", file, ...flags, "busybox", "sh", "-c", script],
    );
    expect(stderr).toMatch(/^\d+ calls; profile written to /m);
    expect(status).toBe(0);
    return file;
  };

  for (const [name, script, flags] of [
    ["a pipeline", "ls / | sort | head -n 2", []],
    ["files and links", "mkdir /d; echo x >/d/f; ln -s f /d/l; mv /d/f /d/g; rm -r /d; echo done", []],
    ["signals and waits", "sleep 0.3 & wait $!; trap 'echo caught' USR1; kill -USR1 $$; echo done", []],
    [
      "a user, a working directory, no new privileges",
      "id -u; pwd",
      ["-u", "1000", "-w", "/tmp", "--security-opt", "no-new-privileges"],
    ],
    ["an init", "echo under init", ["--init"]],
    [
      "sockets",
      "sleep 1 | nc -l -p 5000 >/tmp/o & sleep 0.3; until echo hi | nc -w 1 127.0.0.1 5000; do sleep 0.3; done; wait; cat /tmp/o",
      [],
    ],
  ] as const)
    it(`runs again under its own profile: ${name}`, async () => {
      const file = await traced(script, ...flags);
      const plain = await inside(script, ...flags);
      const filtered = await inside(script, ...flags, "--security-opt", `seccomp=${file}`);
      expect(filtered).toEqual(plain);
      const { defaultAction, syscalls } = JSON.parse(readFileSync(file, "utf8")) as {
        defaultAction: string;
        syscalls: { names: string[]; action: string }[];
      };
      expect(defaultAction).toBe("SCMP_ACT_ERRNO");
      expect(syscalls[0]?.names.length).toBeLessThan(90);
      expect(syscalls[0]?.names).not.toContain("reboot");
    });

  it("is tight: what the workload did not do fails, and so does the workload without one of its calls", async () => {
    const file = await traced("mkdir /d && echo made");
    const other = await inside("mkdir /d && ln -s a /d/l", "--security-opt", `seccomp=${file}`);
    expect(other.stderr).toContain("Operation not permitted");
    const profile = JSON.parse(readFileSync(file, "utf8")) as { syscalls: { names: string[] }[] };
    const names = profile.syscalls[0]?.names ?? [];
    expect(names).toContain("mkdir");
    if (profile.syscalls[0]) profile.syscalls[0].names = names.filter((call) => call !== "mkdir");
    const lacking = await inside(
      "mkdir /d && echo made",
      "--security-opt",
      `seccomp=${await profileFile(profile)}`,
    );
    expect(lacking).toMatchObject({ status: 1, stdout: "" });
  });

  it("does not record what the default profile denies, and tells who has no trace", async () => {
    const { status, stdout } = await daemon.tsctl(
      "seccomp",
      "trace",
      "busybox",
      "sh",
      "-c",
      "unshare -U true || true",
    );
    expect(status).toBe(0);
    const [{ names } = { names: [] }] = (
      JSON.parse(stdout.slice(stdout.indexOf("{"))) as { syscalls: { names: string[] }[] }
    ).syscalls;
    expect(names).toContain("execve");
    expect(names).not.toContain("unshare");
    await daemon.tsctl("run", "--name", "plain", "busybox", "true");
    const none = await daemon.tsctl("seccomp", "profile", "plain");
    expect(none.stderr).toContain("was not created with SeccompTrace");
    await daemon.tsctl("run", "-d", "--seccomp-trace", "--name", "running", "busybox", "sleep", "99");
    const early = await daemon.tsctl("seccomp", "profile", "running");
    expect(early.stderr).toContain("still runs");
    await daemon.tsctl("kill", "running");
    await daemon.tsctl("wait", "running");
    expect((await daemon.tsctl("seccomp", "profile", "--calls", "running")).stdout).toMatch(
      /^execve +\d+ +x86_64/m,
    );
    await daemon.tsctl("rm", "plain", "running");
  });
});
