// Volumes from outside: their life, what they share, what they are filled with, and that a daemon's death takes nothing away.
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { problems } from "../api/contract.ts";
import { eventually, meanwhile } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
let scratch = "";
beforeAll(async () => {
  daemon = await TestDaemon.start("volumes");
  await daemon.importBusybox();
});
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-volumes-test-"));
});
afterEach(async () => {
  await daemon.clear();
  rmSync(scratch, { recursive: true, force: true });
});
afterAll(() => daemon.stop());

interface Volume {
  Name: string;
  Mountpoint: string;
  Labels: Record<string, string> | null;
  Options: Record<string, string> | null;
  CreatedAt: string;
}

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect([status, stderr], words.join(" ")).toEqual([0, ""]);
  return stdout.trim();
}
const run = (volume: string, script: string, ...flags: string[]): Promise<string> =>
  tsctl("run", "--rm", "--network", "none", "-v", volume, ...flags, "busybox", "sh", "-c", script);
const start = (volume: string, script = "sleep 1000", ...flags: string[]): Promise<string> =>
  tsctl("run", "-d", "--network", "none", "-v", volume, ...flags, "busybox", "sh", "-c", script);
const names = async (): Promise<string[]> =>
  (JSON.parse((await daemon.api("GET", "/volumes")).text) as { Volumes: Volume[] }).Volumes.map(
    ({ Name }) => Name,
  ).sort();
const inspect = async (name: string): Promise<Volume> =>
  JSON.parse((await daemon.api("GET", `/volumes/${name}`)).text) as Volume;
const mounts = (): string[] =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(`${daemon.dataRoot}/volumes/`));
const unmounted = (): Promise<void> => eventually("nothing is mounted", () => mounts().length === 0);
const tmpfs = ["-o", "type=tmpfs", "-o", "device=tmpfs"];

describe("their life", () => {
  it("made, looked at, in use, removed", async () => {
    expect(await tsctl("volume", "create", "--label", "a=b", "one")).toBe("one");
    const before = await inspect("one");
    await tsctl("volume", "create", "--label", "other=1", ...tmpfs, "one");
    expect(await inspect("one")).toEqual(before);
    expect(before).toMatchObject({ Labels: { a: "b" }, Options: null });
    expect(before.CreatedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const anonymous = await tsctl("volume", "create");
    expect(anonymous).toMatch(/^[0-9a-f]{64}$/);
    expect((await inspect(anonymous)).Labels).toEqual({ "com.docker.volume.anonymous": "" });
    const id = await tsctl("create", "-v", "one:/v", "busybox");
    const refused = await daemon.tsctl("volume", "rm", "one");
    expect(refused.stderr).toContain(`remove one: volume is in use - [${id}]`);
    expect(await tsctl("volume", "ls", "-q", "--filter", "dangling=true")).toBe(anonymous);
    expect(await tsctl("volume", "ls", "-q", "--filter", "label=a=b")).toBe("one");
    await tsctl("rm", "-v", id);
    expect(await names()).toEqual([anonymous, "one"].sort());
    await tsctl("volume", "rm", "one", anonymous);
    expect(await names()).toEqual([]);
  });

  it("prune takes those without a name, or all, and none that is used or has options", async () => {
    await tsctl("volume", "create", "named");
    await tsctl("volume", "create", ...tmpfs, "mounted");
    const anonymous = await tsctl("volume", "create");
    await start("used:/v");
    writeFileSync(join((await inspect(anonymous)).Mountpoint, "file"), "12345678");
    const first = await tsctl("volume", "prune", "-f");
    expect(first).toBe(`Deleted Volumes:\n${anonymous}\n\nTotal reclaimed space: 8B`);
    expect(await names()).toEqual(["mounted", "named", "used"]);
    expect(await tsctl("volume", "prune", "-af")).toContain("Deleted Volumes:\nnamed\n");
    await tsctl("volume", "create", "old");
    // Before version 1.42 every prune took all.
    expect(JSON.parse((await daemon.api("POST", "/v1.41/volumes/prune")).text)).toEqual({
      VolumesDeleted: ["old"],
      SpaceReclaimed: 0,
    });
  });

  it("events tell of them", async () => {
    const since = String(Date.now() / 1000);
    await run("told:/v", "true");
    await tsctl("volume", "rm", "told");
    await tsctl("volume", "prune", "-f");
    const until = String(Date.now() / 1000 + 0.1);
    const { text } = await daemon.api(
      "GET",
      `/events?since=${since}&until=${until}&filters=${encodeURIComponent('{"type":["volume"]}')}`,
    );
    const events = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { Action: string; Actor: { ID: string; Attributes: object } });
    expect(events.map(({ Action, Actor }) => [Action, Actor.ID])).toEqual([
      ["create", "told"],
      ["mount", "told"],
      ["unmount", "told"],
      ["destroy", "told"],
      ["prune", ""],
    ]);
    expect(events[1]?.Actor.Attributes).toMatchObject({
      driver: "local",
      destination: "/v",
      "read/write": "true",
    });
    expect(events[4]?.Actor.Attributes).toEqual({ reclaimed: "0" });
  });

  it("--rm takes what has no name, unless another container has it", async () => {
    const first = await tsctl(
      "run",
      "-d",
      "--rm",
      "--network",
      "none",
      "-v",
      "/anonymous",
      "busybox",
      "sleep",
      "1000",
    );
    const [anonymous = ""] = await names();
    const second = await tsctl("create", "--volumes-from", first, "busybox");
    await tsctl("stop", "-t", "0", first);
    await eventually(
      "it is removed",
      async () =>
        (await tsctl("ps", "-aq")) !== "" && !(await tsctl("ps", "-aq", "--no-trunc")).includes(first),
    );
    expect(await names()).toEqual([anonymous]);
    await tsctl("rm", "-v", second);
    expect(await names()).toEqual([]);
  });

  it("nothing is left of a container that can't be created", async () => {
    const answer = await daemon.api("POST", "/containers/create", {
      Image: "busybox",
      Volumes: { "/anonymous": {} },
      HostConfig: {
        Mounts: [{ Type: "bind", Source: "/nonexistent", Target: "/x" }],
        Binds: ["/anonymous2"],
      },
    });
    expect(answer.status).toBe(400);
    expect(await names()).toEqual([]);
    const overFile = { Image: "busybox", Volumes: { "/bin/busybox": {} } };
    const refused = await daemon.api("POST", "/containers/create", overFile);
    expect(refused.text).toContain("source /bin/busybox is not directory");
    expect(await names()).toEqual([]);
  });

  it("a prune never takes what a container is being created with", async () => {
    const filters = encodeURIComponent('{"all":["1"]}');
    await meanwhile(
      () => daemon.api("POST", `/volumes/prune?filters=${filters}`),
      async () => {
        for (let round = 0; round < 15; round++) {
          const made = await Promise.all(
            [1, 2, 3].map((n) =>
              daemon.api("POST", "/containers/create", {
                Image: "busybox",
                Cmd: ["touch", "/etc/x"],
                HostConfig: { Binds: [`raced-${n}:/etc`], NetworkMode: "none" },
              }),
            ),
          );
          for (const { status, text } of made) {
            expect(status, text).toBe(201);
            const { Id } = JSON.parse(text) as { Id: string };
            const started = await daemon.api("POST", `/containers/${Id}/start`);
            expect(started.status, started.text).toBe(204);
            await daemon.api("DELETE", `/containers/${Id}?force=1`);
          }
        }
      },
    );
  });
});

describe("copy-up", () => {
  it("takes owners, modes, links and attributes, of the directory itself too, and nothing later", async () => {
    const id = await start("unused:/unused");
    const script =
      "mkdir -p /data/sub && cd /data && echo one >file && ln file hard && ln -s ../etc sub/link && mkfifo pipe && chown 7:8 sub && chmod 2751 . && chown 5:6 .";
    await tsctl("exec", id, "sh", "-c", script);
    await tsctl("commit", id, "copied:latest");
    const look = "cd /data; stat -c '%a %u:%g' . sub; stat -c '%h %F' file pipe; cat hard; readlink sub/link";
    const expected = "2751 5:6\n755 7:8\n2 regular file\n1 fifo\none\n../etc";
    const words = ["run", "--rm", "--network", "none"];
    expect(await tsctl(...words, "-v", "fresh:/data", "copied", "sh", "-c", look)).toBe(expected);
    expect(await tsctl(...words, "-v", "/data", "copied", "sh", "-c", look)).toBe(expected);
    await tsctl(...words, "-v", "fresh:/data", "copied", "rm", "/data/file");
    expect(await tsctl(...words, "-v", "fresh:/data", "copied", "sh", "-c", "ls /data")).toBe(
      "hard\npipe\nsub",
    );
    expect(await tsctl(...words, "-v", "empty:/data:nocopy", "copied", "ls", "/data")).toBe("");
    // Empty, and in use: it is filled where it is.
    const live = await start("live:/v");
    await tsctl(...words, "-v", "live:/data", "copied", "true");
    expect(await tsctl("exec", live, "sh", "-c", look.replace("/data", "/v"))).toBe(expected);
    await daemon.clear();
    await tsctl("rmi", "copied");
  });

  it("a death in the middle leaves no half of it", async () => {
    for (const name of ["half", "whole", "restored"]) await tsctl("volume", "create", name);
    const place = (name: string): string => join(daemon.dataRoot, "volumes", name);
    await daemon.end("SIGKILL");
    mkdirSync(join(place("half"), "_fill"));
    writeFileSync(join(place("half"), "_fill/file"), "half");
    mkdirSync(join(place("whole"), "_full"), { mode: 0o750 });
    writeFileSync(join(place("whole"), "_full/first"), "1");
    writeFileSync(join(place("whole"), "_data/second"), "2");
    writeFileSync(join(place("restored"), "_data/old"), "old");
    mkdirSync(join(place("restored"), "_restored"));
    writeFileSync(join(place("restored"), "_restored/new"), "new");
    rmSync(join(place("half"), "_data"), { recursive: true });
    await daemon.launch();
    expect(await run("half:/v", "ls -A /v")).toBe("");
    expect(await run("whole:/v", "cat /v/first /v/second; stat -c %a /v")).toBe("12750");
    expect(await run("restored:/v", "ls -A /v")).toBe("new");
    for (const name of ["half", "whole", "restored"])
      await eventually("only the data is left", () => readdirSync(place(name)).join() === "_data");
  });
});

describe("volumes of others", () => {
  it("--volumes-from shares them, read-only if asked, and gives way to what is asked for", async () => {
    const flags = ["-v", "/b", "-v", `${scratch}:/c`];
    const first = await start("shared:/a", "echo 1 >/a/file; echo 2 >/b/file; sleep 1000", ...flags);
    await eventually(
      "it has begun",
      async () => (await daemon.tsctl("exec", first, "cat", "/b/file")).stdout === "2\n",
    );
    const look = "cat /a/file; ls /b; for d in a b c; do touch /$d/x 2>/dev/null && echo $d; done; true";
    expect(await run("own:/b", look, "--volumes-from", `${first}:ro`)).toBe("1\nb");
    expect(await run("own:/d", look, "--volumes-from", first)).toBe("1\nfile\na\nb\nc");
  });
});

describe("options", () => {
  it("one tmpfs for all who use it, until the last has ended", async () => {
    await tsctl("volume", "create", ...tmpfs, "-o", "o=size=1m,mode=1770", "memory");
    const first = await start("memory:/m", "echo here >/m/file; sleep 1000");
    await eventually(
      "it is written",
      async () => (await run("memory:/m", "cat /m/file 2>/dev/null || true")) === "here",
    );
    expect(mounts()).toHaveLength(1);
    const second = await start("memory:/m");
    await tsctl("rm", "-f", first);
    expect(
      await tsctl(
        "exec",
        second,
        "sh",
        "-c",
        "cat /m/file; stat -c %a /m; df -k /m | tail -1 | awk '{print $2}'",
      ),
    ).toBe("here\n1770\n1024");
    await tsctl("rm", "-f", second);
    await unmounted();
    expect(await run("memory:/m", "ls /m")).toBe("");
    await unmounted();
  });

  it("live on while no daemon is there, and are taken away by the next", async () => {
    await tsctl("volume", "create", ...tmpfs, "memory");
    const kept = await start("memory:/m", "echo here >/m/file; sleep 1000");
    await tsctl("volume", "create", ...tmpfs, "gone");
    const ending = await start("gone:/m", "sleep 1000");
    const { State } = JSON.parse((await daemon.api("GET", `/containers/${ending}/json`)).text) as {
      State: { Pid: number };
    };
    await daemon.end("SIGKILL");
    process.kill(State.Pid, "SIGKILL");
    expect(mounts()).toHaveLength(2);
    await daemon.launch();
    await eventually("the other is unmounted", () => mounts().length === 1);
    expect(await run("memory:/m", "cat /m/file")).toBe("here");
    expect((await daemon.tsctl("volume", "rm", "memory")).stderr).toContain(`volume is in use - [${kept}]`);
    await tsctl("rm", "-f", kept);
    await unmounted();
  });

  it("a bind, read-only, and what the kernel refuses", async () => {
    writeFileSync(join(scratch, "file"), "the host's\n");
    await tsctl("volume", "create", "-o", "type=none", "-o", `device=${scratch}`, "-o", "o=bind,ro", "bound");
    expect(await run("bound:/b", "cat /b/file; touch /b/x 2>&1 || true")).toBe(
      "the host's\ntouch: /b/x: Read-only file system",
    );
    await unmounted();
    rmSync(scratch, { recursive: true });
    const failed = await daemon.tsctl("run", "--rm", "-v", "bound:/b", "busybox", "true");
    expect(failed.stderr).toContain(
      `failed to mount local volume: mount ${scratch}:${daemon.dataRoot}/volumes/bound/_data, flags: 0x1001: no such file or directory`,
    );
    expect(mounts()).toEqual([]);
    expect(await daemon.lastingLeaks()).toEqual([]);
    mkdirSync(scratch);
  });

  it("are mounted for cp, too", async () => {
    writeFileSync(join(scratch, "file"), "copied\n");
    await tsctl("volume", "create", "-o", "type=none", "-o", `device=${scratch}`, "-o", "o=bind", "bound");
    const id = await tsctl("create", "-v", "bound:/b", "busybox");
    const into = mkdtempSync(join(tmpdir(), "tsd-volumes-cp-"));
    const { status, stderr } = await daemon.tsctl("cp", `${id}:/b/file`, into);
    expect([status, stderr.includes("rror")]).toEqual([0, false]);
    expect(readFileSync(join(into, "file"), "utf8")).toBe("copied\n");
    rmSync(into, { recursive: true });
    await unmounted();
  });

  it("by --mount", async () => {
    const mount =
      'type=volume,src=made,dst=/m,volume-driver=local,volume-label=a=b,volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=2m,mode=700"';
    expect(
      await tsctl("run", "--rm", "--network", "none", "--mount", mount, "busybox", "stat", "-c", "%a", "/m"),
    ).toBe("700");
    expect(await inspect("made")).toMatchObject({
      Labels: { a: "b" },
      Options: { type: "tmpfs", device: "tmpfs", o: "size=2m,mode=700" },
    });
  });
});

describe("removal of what is mounted", () => {
  it("waits for the unmount, and touches nothing that is somebody else's", async () => {
    const mount = "type=volume,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs";
    await tsctl("run", "--rm", "--network", "none", "--mount", mount, "busybox", "touch", "/m/x");
    await eventually("the volume is gone", async () => (await names()).length === 0);
    await unmounted();
    writeFileSync(join(scratch, "file"), "precious\n");
    await tsctl("volume", "create", "-o", "type=none", "-o", `device=${scratch}`, "-o", "o=bind", "bound");
    execFileSync("mount", ["--bind", scratch, (await inspect("bound")).Mountpoint]);
    const refused = await daemon.tsctl("volume", "rm", "-f", "bound");
    expect(refused.stderr).toContain("remove bound: something is still mounted on the volume");
    execFileSync("umount", [(await inspect("bound")).Mountpoint]);
    await tsctl("volume", "rm", "bound");
    expect(readFileSync(join(scratch, "file"), "utf8")).toBe("precious\n");
  });
});

describe("the API's description", () => {
  it("holds for every answer", async () => {
    const found: string[] = [];
    const ask = async (
      method: string,
      path: string,
      name = "",
      body?: object,
      query = "",
    ): Promise<number> => {
      const { status, text } = await daemon.api(
        method,
        path.replace("{name}", name) + (query && `?${query}`),
        body,
      );
      const parsed: unknown = text ? JSON.parse(text) : undefined;
      const words = [...new URLSearchParams(query).keys()];
      found.push(...problems({ method, path, query: words, requestBody: body, status, body: parsed }));
      return status;
    };
    const all = encodeURIComponent('{"all":["1"]}');
    const statuses = [
      await ask("POST", "/volumes/create", "", {
        Name: "described",
        Driver: "local",
        Labels: { a: "b" },
        DriverOpts: {},
      }),
      await ask("POST", "/volumes/create", "", {}),
      await ask("GET", "/volumes", "", undefined, `filters=${encodeURIComponent('{"dangling":["1"]}')}`),
      await ask("GET", "/volumes/{name}", "described"),
      await ask("GET", "/volumes/{name}", "none"),
      await ask("DELETE", "/volumes/{name}", "none"),
      await ask("POST", "/volumes/prune", "", undefined, `filters=${all}`),
      await ask("DELETE", "/volumes/{name}", "described", undefined, "force=1"),
    ];
    expect([statuses, found]).toEqual([[201, 201, 200, 200, 404, 404, 200, 204], []]);
  });
});

describe("subpaths", () => {
  it("show a part of a volume, through links that stay in it", async () => {
    await run(
      "parts:/v",
      "mkdir -p /v/a/b; echo deep >/v/a/b/file; ln -s a/b /v/in; ln -s /etc /v/out; ln -s ../../../../../../etc /v/up",
    );
    const at = (subpath: string, ...words: string[]) =>
      daemon.tsctl(
        "run",
        "--rm",
        "--network",
        "none",
        "--mount",
        `type=volume,src=parts,dst=/x,volume-subpath=${subpath}`,
        "busybox",
        ...words,
      );
    expect((await at("a/b", "cat", "/x/file")).stdout).toBe("deep\n");
    expect((await at("in", "cat", "/x/file")).stdout).toBe("deep\n");
    expect((await at("a/b/file", "cat", "/x")).stdout).toBe("deep\n");
    for (const out of ["out", "up"])
      expect((await at(out, "ls", "/x")).stderr).toContain("path concatenation escapes the base directory");
    expect((await at("none", "ls", "/x")).stderr).toContain("no such file or directory");
    expect(await daemon.lastingLeaks()).toEqual([]);
  });

  it("a link that is put there while containers start never leads out", async () => {
    await run("raced:/v", "mkdir /v/d");
    const data = (await inspect("raced")).Mountpoint;
    const swap = async (): Promise<void> => {
      rmSync(join(data, "d"), { recursive: true, force: true });
      symlinkSync("/etc", join(data, "d"));
      await new Promise((resolve) => setImmediate(resolve));
      rmSync(join(data, "d"));
      mkdirSync(join(data, "d"));
      await new Promise((resolve) => setImmediate(resolve));
    };
    const words = ["run", "--rm", "--network", "none"];
    words.push("--mount", "type=volume,src=raced,dst=/x,volume-subpath=d", "busybox", "ls", "/x");
    await meanwhile(swap, async () => {
      for (let round = 0; round < 10; round++) expect((await daemon.tsctl(...words)).stdout).toBe("");
    });
  });
});

describe("read-only", () => {
  it("holds for what is mounted below, unless that is not wanted", async () => {
    mkdirSync(join(scratch, "sub"));
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(scratch, "sub")]);
    try {
      const write = (options: string, target = "/x/sub/f"): Promise<string> =>
        tsctl(
          "run",
          "--rm",
          "--network",
          "none",
          "--mount",
          `type=bind,src=${scratch},dst=/x,ro${options}`,
          "busybox",
          "sh",
          "-c",
          `touch ${target} 2>/dev/null && echo written || echo refused`,
        );
      expect(await write("")).toBe("refused");
      expect(await write(",bind-recursive=readonly,bind-propagation=rprivate")).toBe("refused");
      expect(await write(",bind-recursive=writable")).toBe("written");
      expect(await write(",bind-recursive=writable", "/x/f")).toBe("refused");
      // Without what is mounted below there is only the directory, which is read-only.
      expect(await write(",bind-recursive=disabled")).toBe("refused");
    } finally {
      execFileSync("umount", [join(scratch, "sub")]);
    }
  });
});

it("volumes of before there were records are taken up", async () => {
  await daemon.end();
  mkdirSync(join(daemon.dataRoot, "volumes/older/_data"), { recursive: true });
  writeFileSync(join(daemon.dataRoot, "volumes/older/_data/file"), "kept\n");
  await daemon.launch();
  expect(await run("older:/v", "cat /v/file")).toBe("kept");
  expect((await inspect("older")).CreatedAt).toMatch(/^\d{4}-.*Z$/);
  expect(statSync(join(daemon.dataRoot, "volumes/older/_data")).isDirectory()).toBe(true);
});
