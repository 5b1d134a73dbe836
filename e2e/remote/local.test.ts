// Callers of this machine: users at the unix socket, ssh; and the configuration file, read and read again.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { daemonProgram, hasDocker, TestDaemon, tsctlProgram } from "../harness/daemon.ts";

let scratch: string;
let daemon: TestDaemon;
let configuration: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-local-"));
  chmodSync(scratch, 0o755);
  const rolesFile = join(scratch, "roles.json");
  writeFileSync(
    rolesFile,
    JSON.stringify({
      version: 1,
      roles: { own: { allow: ["container:*", "image:list", "system:version"], limits: { images: ["*"] } } },
      callers: [
        { match: { uid: 4001 }, role: "own" },
        { match: { uid: 4002 }, role: "own" },
        { match: { gid: 4100 }, role: "viewer" },
      ],
    }),
  );
  configuration = join(scratch, "daemon.json");
  writeFileSync(
    configuration,
    JSON.stringify({
      "roles-file": rolesFile,
      "socket-mode": "666",
      labels: ["rack=1"],
      "live-restore": true,
    }),
  );
  daemon = await TestDaemon.start("local", [daemonProgram], { flags: ["--config-file", configuration] });
  chmodSync(daemon.root, 0o755);
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** A request of another user of this machine. */
async function as(
  uid: number,
  gid: number,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string }> {
  const words = [
    "--reuid",
    String(uid),
    "--regid",
    String(gid),
    "--clear-groups",
    "curl",
    "-sS",
    "-w",
    "\n%{http_code}",
  ];
  const data = body ? ["-H", "Content-Type: application/json", "-d", JSON.stringify(body)] : [];
  const text = await output("setpriv", [
    ...words,
    "-X",
    method,
    ...data,
    "--unix-socket",
    daemon.socket,
    `http://d${path}`,
  ]);
  const lines = text.split("\n");
  return { status: Number(lines.pop()), text: lines.join("\n") };
}

describe("users at the unix socket", () => {
  it("are who the kernel says they are, and have the roles of their ids", async () => {
    expect(statSync(daemon.socket).mode & 0o777).toBe(0o666);
    expect(JSON.parse((await as(4001, 4001, "GET", "/tsd/whoami")).text)).toMatchObject({
      Caller: "unix:4001",
      Role: "own",
      Scope: "own",
    });
    expect(JSON.parse((await as(5000, 4100, "GET", "/tsd/whoami")).text)).toMatchObject({ Role: "viewer" });
    const nobody = await as(5000, 5000, "GET", "/_ping");
    expect(nobody.status).toBe(403);
    expect(nobody.text).toContain("unix:5000 has no role");
    expect(JSON.parse((await daemon.api("GET", "/tsd/whoami")).text)).toMatchObject({
      Caller: "unix:0",
      Role: "admin",
    });
  });
  it("see what is their own", async () => {
    const body = { Image: "busybox", Cmd: ["true"] };
    const created = await as(4001, 4001, "POST", "/containers/create?name=first", body);
    expect(created.status).toBe(201);
    expect(JSON.parse((await as(4001, 4001, "GET", "/containers/json?all=1")).text)).toHaveLength(1);
    expect(JSON.parse((await as(4002, 4002, "GET", "/containers/json?all=1")).text)).toHaveLength(0);
    expect((await as(4002, 4002, "DELETE", "/containers/first")).status).toBe(404);
    expect((await as(5000, 4100, "DELETE", "/containers/first")).status).toBe(403);
    expect((await as(4001, 4001, "DELETE", "/containers/first")).status).toBe(204);
  });
  it("tsctl says what is wrong with a roles file, and who one is", async () => {
    const good = await daemon.tsctl("roles", "check", join(scratch, "roles.json"));
    expect(good).toMatchObject({ status: 0, stderr: "" });
    expect(good.stdout).toContain("4 roles, 3 callers");
    const wrong = join(scratch, "wrong.json");
    writeFileSync(wrong, JSON.stringify({ version: 1, roles: { x: { allow: ["container:fly"] } } }));
    const bad = await daemon.tsctl("roles", "check", wrong);
    expect(bad.status).toBe(1);
    expect(bad.stderr).toContain("roles.x.allow.0");
    expect((await daemon.tsctl("whoami")).stdout).toContain("unix:0");
  });
});

describe("the configuration file", () => {
  const validate = (content: unknown, ...flags: string[]) => {
    const file = join(scratch, "other.json");
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    return run(daemonProgram, ["--validate", "--config-file", file, ...flags]);
  };
  it("is checked, and conflicts with flags are refused", async () => {
    expect(await validate({ mtu: 1400 })).toMatchObject({ status: 0, stdout: "configuration OK\n" });
    const conflict = await validate({ hosts: ["unix:///a"] }, "-H", "unix:///b");
    expect(conflict.status).toBe(1);
    expect(conflict.stderr).toContain("specified both as a flag and in the configuration file: hosts");
    expect((await validate({ "no-such": 1 })).stderr).toContain("no-such");
    expect((await validate("{")).stderr).toContain("other.json");
    expect((await validate({ mtu: "x" })).stderr).toContain("mtu");
    expect((await validate({ tlsverify: true, hosts: ["tcp://0.0.0.0"] })).status).toBe(0);
    expect((await validate({ "roles-file": "/nowhere" })).stderr).toContain("--roles-file /nowhere");
  });
  it("is taken up again at SIGHUP, as far as that is possible", async () => {
    const labels = async (): Promise<string[]> =>
      (JSON.parse((await daemon.api("GET", "/info")).text) as { Labels: string[] }).Labels;
    expect(await labels()).toEqual(["rack=1"]);
    const before = daemon.log.length;
    writeFileSync(
      configuration,
      JSON.stringify({
        "roles-file": join(scratch, "roles.json"),
        "socket-mode": "666",
        labels: ["rack=2"],
        debug: true,
        mtu: 1400,
      }),
    );
    await output("kill", ["-HUP", String(daemon.pid)]);
    await eventually("the label is there", async () => (await labels()).includes("rack=2"));
    await eventually("it says so", () => daemon.log.slice(before).includes('"options":["mtu"]'));
    const since = await daemon.api(
      "GET",
      `/events?since=0&until=${Math.ceil(Date.now() / 1000)}&filters={"type":["daemon"]}`,
    );
    expect(since.text).toContain('"Action":"reload"');
    writeFileSync(configuration, "{");
    await output("kill", ["-HUP", String(daemon.pid)]);
    await eventually("it is said", () => daemon.log.slice(before).includes("SIGHUP: nothing is taken up"));
    expect(await labels()).toEqual(["rack=2"]);
  });
});

describe("figures", () => {
  it("are Prometheus's, and take their own permission", async () => {
    const { text, headers } = await daemon.api("GET", "/metrics");
    expect(headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text).toMatch(
      /^tsd_http_requests_total\{permission="system:ping",method="GET",status="200"\} \d+$/m,
    );
    expect(text).toMatch(/^tsd_connections \d+$/m);
    expect((await as(5000, 4100, "GET", "/metrics")).status).toBe(403);
  });
});

describe("over ssh", () => {
  let programs: string;
  beforeAll(() => {
    programs = join(scratch, "bin");
    mkdirSync(programs);
    // What sshd does with a command: a shell runs it, with the other machine's programs; docker is tsctl there.
    writeFileSync(
      join(programs, "ssh"),
      `#!/bin/bash
while [[ $1 == -* ]]; do case $1 in -o|-l|-p|-i) shift 2;; --) shift; break;; *) shift;; esac; done
shift; [ "$1" = -- ] && shift
export PATH=${programs}/remote:$PATH TSD_HOST=${daemon.host}
unset DOCKER_HOST
exec sh -c "$*"
`,
    );
    chmodSync(join(programs, "ssh"), 0o755);
    mkdirSync(join(programs, "remote"));
    for (const name of ["docker", "tsctl"]) symlinkSync(tsctlProgram, join(programs, "remote", name));
  });
  const over = (program: string, words: string[], input = "") =>
    run(program, words, {
      input,
      env: {
        PATH: `${programs}:${process.env.PATH}`,
        DOCKER_HOST: "ssh://somebody@elsewhere.test",
        TSD_HOST: "",
      },
    });

  for (const program of ["docker", tsctlProgram])
    it.skipIf(program === "docker" && !hasDocker)(
      `${program.split("/").at(-1)} runs, and passes stdin on`,
      async () => {
        expect(await over(program, ["run", "--rm", "busybox", "sh", "-c", "echo out; exit 4"])).toMatchObject(
          {
            status: 4,
            stdout: "out\n",
          },
        );
        expect(
          (
            await over(program, ["run", "--rm", "-i", "busybox", "wc", "-c"], "x".repeat(300_000))
          ).stdout.trim(),
        ).toBe("300000");
      },
    );
});
