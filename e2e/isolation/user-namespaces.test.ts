// User namespaces: a range of ids for each container, files with their real owners, and what is shared and refused.
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { TestDaemon, tsctlProgram } from "../harness/daemon.ts";

let daemon: TestDaemon;
let place: string;

beforeAll(async () => {
  daemon = await TestDaemon.start("userns", undefined, { flags: ["--socket-mode", "666"] });
  await daemon.importBusybox();
  place = join(daemon.root, "place");
  mkdirSync(place);
});
afterAll(async () => {
  await daemon.clear();
  const leaks = await daemon.lastingLeaks();
  await daemon.stop();
  expect(leaks).toEqual([]);
});

interface Inspected {
  Id: string;
  State: { Pid: number };
  HostConfig: { UsernsMode: string };
  UserNamespace: { Mode: string; UidMap: string[] | null; GidMap: string[] | null };
}
const inspect = async (id: string): Promise<Inspected> =>
  JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as Inspected;

async function box(...flags: string[]): Promise<string> {
  const { stdout, stderr, status } = await daemon.tsctl("run", "-d", ...flags, "busybox", "sleep", "1000");
  expect([stderr.replace(/^WARNING: Privileged.*\n/, ""), status]).toEqual(["", 0]);
  return stdout.trim();
}
async function inside(script: string, ...flags: string[]): Promise<string> {
  const { stdout, stderr } = await daemon.tsctl("run", "--rm", ...flags, "busybox", "sh", "-c", script);
  return (stdout + stderr).trim();
}
const exec = async (id: string, ...words: string[]): Promise<string> =>
  (await daemon.tsctl("exec", id, ...words)).stdout.trim();
const namespace = async (pid: number, kind: string): Promise<string> =>
  output("readlink", [`/proc/${pid}/ns/${kind}`]);
const mapOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/uid_map`, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).join(":"));
const ownerOf = (pid: number): number => statSync(`/proc/${pid}`).uid;

describe("a container that asks for nothing", () => {
  it("is root inside and nobody outside, by ranges that no two share", async () => {
    const [one, other] = await Promise.all([box(), box()]);
    const both = await Promise.all([inspect(one), inspect(other)]);
    for (const { State, UserNamespace } of both) {
      expect(mapOf(State.Pid)).toEqual(UserNamespace.UidMap);
      const [, host = "0", size] = (UserNamespace.UidMap?.[0] ?? "").split(":");
      expect(ownerOf(State.Pid)).toBe(Number(host));
      expect(Number(host)).toBeGreaterThan(100_000);
      expect(size).toBe("65536");
      expect(await namespace(State.Pid, "user")).not.toBe(await namespace(process.pid, "user"));
    }
    expect(both[0].UserNamespace.UidMap).not.toEqual(both[1].UserNamespace.UidMap);
    expect(await exec(one, "id", "-u")).toBe("0");
    // What it executes later is nobody outside too.
    const { Pid } = (await inspect(one)).State;
    const executing = daemon.tsctl("exec", one, "sleep", "2");
    const sleepers = async (): Promise<number[]> =>
      (await output("pgrep", ["--ns", String(Pid), "-x", "sleep"])).split("\n").map(Number);
    await eventually("the command", async () => (await sleepers()).length === 2);
    for (const pid of await sleepers()) expect(ownerOf(pid)).toBe(ownerOf(Pid));
    await executing;
    await daemon.tsctl("rm", "-f", one, other);
  });

  it("shows its processes as its own users'", async () => {
    const id = await box("-u", "33");
    const top = async (...words: string[]): Promise<string> =>
      (await daemon.tsctl("top", id, ...words)).stdout;
    expect(await top()).toMatch(/^www-data /m);
    expect(await top("-o", "uid,pid,user,args")).toMatch(/^33 +\d+ +www-data +sleep/m);
    await daemon.tsctl("rm", "-f", id);
  });

  it("owns its namespaces: its capabilities count in them", async () => {
    const script =
      "ip address add 10.9.9.9/32 dev lo && ip -o address show lo; mount -t tmpfs x /tmp && echo mounted";
    const flags = [
      "--cap-add",
      "NET_ADMIN",
      "--cap-add",
      "SYS_ADMIN",
      "--security-opt",
      "seccomp=unconfined",
    ];
    expect(await inside(script, ...flags)).toMatch(/10\.9\.9\.9(?:.|\n)*mounted/);
    expect(await inside("hostname other; hostname", "--cap-add", "SYS_ADMIN")).toBe("other");
  });

  it("has files with their real owners in binds and volumes", async () => {
    writeFileSync(join(place, "mine"), "x");
    await output("chown", ["1234:4321", join(place, "mine")]);
    const script =
      "stat -c %u:%g /b/mine; touch /b/root; cp /b/mine /b/given; chown 1000:100 /b/given; touch /v/x; chown 33:33 /v/x";
    expect(await inside(script, "-v", `${place}:/b`, "-v", "data:/v")).toBe("1234:4321");
    const owner = (path: string): string => {
      const { uid, gid } = statSync(path);
      return `${uid}:${gid}`;
    };
    expect(owner(join(place, "root"))).toBe("0:0");
    expect(owner(join(place, "given"))).toBe("1000:100");
    const { Mountpoint } = JSON.parse((await daemon.api("GET", "/volumes/data")).text) as {
      Mountpoint: string;
    };
    expect(owner(join(Mountpoint, "x"))).toBe("33:33");
    expect(await inside("stat -c %u:%g /v/x", "-v", "data:/v")).toBe("33:33");
    // Somebody who is not root writes where it may, and nowhere else.
    await output("chmod", ["755", place]);
    expect(await inside("touch /b/no", "-v", `${place}:/b`, "-u", "1000")).toContain("Permission denied");
  });

  it("maps what is mounted below a bind, and shows what can't be mapped as nobody's", async () => {
    const below = join(place, "below");
    mkdirSync(below);
    await output("mount", ["-t", "tmpfs", "-o", "uid=77", "tmpfs", below]);
    try {
      expect(await inside("stat -c %u /b/below /b", "-v", `${place}:/b`)).toBe("77\n0");
      expect(await inside("stat -c %u /h/proc/1; stat -c %u /h", "-v", `/:/h:ro`)).toBe("65534\n0");
    } finally {
      await output("umount", [below]);
    }
  });

  it("has the host's where a bind's file system can't map ids, and is told so, unless it insists", async () => {
    const plain = join(place, "plain");
    mkdirSync(plain);
    await output("mount", ["-t", "ramfs", "ramfs", plain]);
    try {
      const words = ["run", "--rm", "-v", `${plain}:/b`];
      const script = ["busybox", "sh", "-c", "touch /b/x && stat -c %u /b/x; cat /proc/self/uid_map"];
      const usual = await daemon.tsctl(...words, ...script);
      expect(usual.stderr).toContain(`the file system of ${plain} can't show its files with other ids`);
      expect(usual.stdout).toMatch(/^0\n +0 +0 +4294967295$/m);
      const apart = await daemon.tsctl(...words, "--userns", "auto", ...script);
      expect(apart.stderr).toContain("Permission denied");
      expect(apart.stdout).toMatch(/^ +0 +\d{6,} +65536$/m);
    } finally {
      await output("umount", [plain]);
    }
  });

  it("leaves files on the disk with the container's ids: commit, diff and cp know no shift", async () => {
    const id = await box();
    await exec(id, "sh", "-c", "echo a > /a; chown 5:6 /a");
    expect((await daemon.tsctl("cp", `${id}:/a`, "-")).status).toBe(0);
    const listing = await output("sh", [
      "-c",
      `'${tsctlProgram}' -H '${daemon.host}' cp ${id}:/a - | tar -tvf - --numeric-owner`,
    ]);
    expect(listing).toContain("5/6");
    writeFileSync(join(place, "in"), "x");
    await daemon.tsctl("cp", join(place, "in"), `${id}:/in`);
    expect(await exec(id, "stat", "-c", "%u:%g", "/in")).toBe("0:0");
    expect((await daemon.tsctl("diff", id)).stdout.trim().split("\n").sort()).toEqual(["A /a", "A /in"]);
    await daemon.tsctl("commit", id, "owned");
    const seen = await daemon.tsctl("run", "--rm", "--userns", "host", "owned", "stat", "-c", "%u:%g", "/a");
    expect(seen.stdout.trim()).toBe("5:6");
    await daemon.tsctl("rm", "-f", id);
  });

  it("opens its own standard output again, whoever it is", async () => {
    expect(await inside("echo again > /dev/stdout; echo error > /dev/stderr", "-u", "1000")).toBe(
      "again\nerror",
    );
    const id = await box("-u", "1000:1000");
    expect((await daemon.tsctl("exec", id, "sh", "-c", "echo again > /dev/stdout")).stdout).toBe("again\n");
    await daemon.tsctl("rm", "-f", id);
  });

  it("has ids beyond its range where it asks for a user or group there", async () => {
    expect(
      await inside("id -u; id -g; touch /t/x && stat -c %u /t/x", "-u", "1000620000:70000", "--tmpfs", "/t"),
    ).toBe("1000620000\n70000\n1000620000");
  });

  it("may not make devices, nor undo what was done to its files", async () => {
    expect(await inside("mknod /d b 8 0 2>&1 || true")).toContain("Operation not permitted");
    expect(await inside("mount -o remount,rw /proc/sys 2>&1; echo 1 > /proc/sys/kernel/panic")).not.toBe("");
  });
});

describe("who shares", () => {
  it("another's namespaces has its user namespace, and its rights there", async () => {
    const id = await box("--cap-add", "NET_ADMIN", "--ipc", "shareable");
    const other = await box(
      "--network",
      `container:${id}`,
      "--pid",
      `container:${id}`,
      "--ipc",
      `container:${id}`,
      "--cap-add",
      "NET_ADMIN",
    );
    const [one, two] = await Promise.all([inspect(id), inspect(other)]);
    for (const kind of ["user", "net", "pid", "ipc"])
      expect(await namespace(two.State.Pid, kind)).toBe(await namespace(one.State.Pid, kind));
    for (const kind of ["mnt", "cgroup"])
      expect(await namespace(two.State.Pid, kind)).not.toBe(await namespace(one.State.Pid, kind));
    expect(two.UserNamespace).toEqual({ ...one.UserNamespace, Mode: "container" });
    expect(await exec(other, "ip", "address", "add", "10.9.9.8/32", "dev", "lo")).toBe("");
    expect(await exec(id, "ip", "-o", "address", "show", "lo")).toContain("10.9.9.8");
    expect(await exec(other, "sh", "-c", "ps | grep -c sleep")).not.toBe("0");
    expect((await daemon.tsctl("exec", other, "kill", "-0", "1")).status).toBe(0);
    const third = await box();
    const refused = await daemon.tsctl(
      "run",
      "--network",
      `container:${id}`,
      "--pid",
      `container:${third}`,
      "busybox",
      "true",
    );
    expect(refused.stderr).toContain("have different user namespaces");
    const own = await daemon.tsctl(
      "run",
      "--userns",
      "auto",
      "--network",
      `container:${id}`,
      "busybox",
      "true",
    );
    expect(own.stderr).toContain("shares its user namespace");
    await daemon.tsctl("rm", "-f", other, id, third);
  });

  it("the host's namespaces, or is privileged, has the host's user namespace unless it asks for its own", async () => {
    const host = await namespace(process.pid, "user");
    for (const flags of [
      ["--network", "host"],
      ["--pid", "host"],
      ["--ipc", "host"],
      ["--privileged"],
      ["--userns", "host"],
    ]) {
      const id = await box(...flags);
      const { State, UserNamespace } = await inspect(id);
      expect([flags, await namespace(State.Pid, "user")]).toEqual([flags, host]);
      expect(UserNamespace).toEqual({ Mode: "host", UidMap: null, GidMap: null });
      await daemon.tsctl("rm", "-f", id);
    }
    const id = await box("--userns", "auto", "--network", "host", "--pid", "host", "--ipc", "host");
    const { State } = await inspect(id);
    expect(await namespace(State.Pid, "user")).not.toBe(host);
    expect(await namespace(State.Pid, "net")).toBe(await namespace(daemon.pid, "net"));
    expect((await daemon.tsctl("exec", id, "kill", "-0", String(process.pid))).stderr).toMatch(/permitted/);
    await daemon.tsctl("rm", "-f", id);
  });

  it("is told of capabilities that take the host's user namespace", async () => {
    const { stdout, stderr } = await daemon.tsctl(
      "run",
      "--rm",
      "--cap-add",
      "SYS_TIME",
      "busybox",
      "cat",
      "/proc/self/uid_map",
    );
    expect(stderr).toContain("CapAdd SYS_TIME");
    expect(stdout).toMatch(/0\s+0\s+4294967295/);
  });
});

describe("a mode", () => {
  it("may name the ids", async () => {
    expect(await inside("cat /proc/self/uid_map", "--userns", "0:600000000:1000,5000:700000000:10")).toMatch(
      /0\s+600000000\s+1000\n\s*5000\s+700000000\s+10/,
    );
    const held = await box("--userns", "0:600000000:1000");
    const twice = await daemon.tsctl("run", "--rm", "--userns", "0:600000999:10", "busybox", "true");
    expect(twice.stderr).toContain("are in use by container");
    await daemon.tsctl("rm", "-f", held);
  });

  it("keeps a user who calls", async () => {
    chmodSync(daemon.root, 0o755);
    const asNobody = (...words: string[]) =>
      run(
        "setpriv",
        ["--reuid=65534", "--regid=65534", "--clear-groups", tsctlProgram, "-H", daemon.host, ...words],
        { env: { HOME: "/" } },
      );
    const { stdout, stderr } = await asNobody(
      "run",
      "--rm",
      "--userns",
      "keep-id",
      "busybox",
      "sh",
      "-c",
      "id -u; cat /proc/self/uid_map",
    );
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^65534\n(?:.|\n)*65534\s+65534\s+1$/m);
    expect((await daemon.tsctl("run", "--rm", "--userns", "keep-id", "busybox", "true")).stderr).toContain(
      "the client is root",
    );
  });

  it.each([
    ["nonsense", "neither host"],
    ["0:1", "is not CONTAINER-ID:HOST-ID:LENGTH"],
    ["1:100000:10", "root (0) is not mapped"],
    ["0:100000:10,5:200000:10", "id 5 of the container is mapped twice"],
    ["0:4294967290:100", "ids are in the range"],
    ["container:nosuch", "No such container: nosuch"],
  ])("%s is refused", async (mode, words) => {
    const { status, text } = await daemon.api("POST", "/containers/create", {
      Image: "busybox",
      Cmd: ["true"],
      HostConfig: { UsernsMode: mode },
    });
    expect(status).toBe(400);
    expect(text).toContain(words);
  });
});

it("ranges are known to the next daemon, and free again after the end", async () => {
  const id = await box();
  const before = (await inspect(id)).UserNamespace;
  await daemon.end();
  await daemon.launch();
  expect((await inspect(id)).UserNamespace).toEqual(before);
  expect(await exec(id, "id", "-u")).toBe("0");
  const [, host = ""] = (before.UidMap?.[0] ?? "").split(":");
  const clash = await daemon.tsctl("run", "--rm", "--userns", `0:${host}:100`, "busybox", "true");
  expect(clash.stderr).toContain("are in use by container");
  await daemon.tsctl("rm", "-f", id);
  expect((await daemon.tsctl("run", "--rm", "--userns", `0:${host}:100`, "busybox", "true")).stderr).toBe("");
  expect((await daemon.tsctl("run", "--rm", "busybox", "true")).stderr).toBe("");
});

it("clocks may be ahead of the host's", async () => {
  const host = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  const id = await box("--time-offset", "86400");
  for (const uptime of [await exec(id, "cat", "/proc/uptime"), await exec(id, "cat", "/proc/uptime")])
    expect(Number(uptime.split(" ")[0]) - host).toBeGreaterThan(86_000);
  const { State } = await inspect(id);
  expect(await namespace(State.Pid, "time")).not.toBe(await namespace(process.pid, "time"));
  await daemon.tsctl("rm", "-f", id);
  const back = await daemon.tsctl("run", "--rm", "--time-offset", "boottime=-999999999", "busybox", "true");
  expect(back.stderr).toContain("invalid TimeOffset.Boottime");
});

it("capabilities may be ambient", async () => {
  const shown = await inside(
    "grep ^CapEff /proc/self/status",
    "-u",
    "1000",
    "--cap-ambient",
    "NET_BIND_SERVICE",
  );
  expect(shown).toBe("CapEff:\t0000000000000400");
  const refused = await daemon.tsctl("run", "--rm", "--cap-ambient", "SYS_ADMIN", "busybox", "true");
  expect(refused.stderr).toContain('"CAP_SYS_ADMIN" is none that the container has');
});
