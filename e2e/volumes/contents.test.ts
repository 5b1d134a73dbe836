// Snapshots, backups and restores: whole, consistent, and nothing lost when they fail.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
let scratch = "";
beforeAll(async () => {
  daemon = await TestDaemon.start("contents");
  await daemon.importBusybox();
});
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-contents-test-"));
});
afterEach(async () => {
  await daemon.clear();
  rmSync(scratch, { recursive: true, force: true });
});
afterAll(() => daemon.stop());

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect([status, stderr], words.join(" ")).toEqual([0, ""]);
  return stdout.trim();
}
const run = (volume: string, script: string): Promise<string> =>
  tsctl("run", "--rm", "--network", "none", "-v", volume, "busybox", "sh", "-c", script);
const start = (volume: string, script: string): Promise<string> =>
  tsctl("run", "-d", "--network", "none", "-v", volume, "busybox", "sh", "-c", script);
const data = (name: string): string => join(daemon.dataRoot, "volumes", name, "_data");

const make =
  "cd /v && mkdir d && echo one >d/file && ln d/file hard && ln -s d/file link && mkfifo pipe && chown 7:8 d && chmod 4711 d/file && chmod 1750 . && chown 5:6 .";
const look =
  "cd /v; stat -c '%n %a %u:%g %h %F' . d d/file hard pipe; readlink link; cat hard; stat -c '%n %s' sparse; du -k sparse | cut -f1";

async function sample(name: string): Promise<string> {
  await run(`${name}:/v`, make);
  writeFileSync(join(data(name), "sparse"), "");
  truncateSync(join(data(name), "sparse"), 50 << 20);
  execFileSync("python3", [
    "-c",
    `import os; os.setxattr(${JSON.stringify(join(data(name), "hard"))}, "user.note", b"kept")`,
  ]);
  return run(`${name}:/v`, look);
}
const note = (name: string): string =>
  execFileSync("python3", [
    "-c",
    `import os; print(os.getxattr(${JSON.stringify(join(data(name), "hard"))}, "user.note").decode())`,
  ])
    .toString()
    .trim();

describe("snapshots", () => {
  it("are volumes of their own, alike in everything", async () => {
    await tsctl("volume", "create", "--label", "a=b", "first");
    const expected = await sample("first");
    expect(expected).toContain("d/file 4711 0:0 2 regular file");
    expect(await tsctl("volume", "snapshot", "first", "second")).toBe("second");
    expect(await run("second:/v", look)).toBe(expected);
    expect(note("second")).toBe("kept");
    expect(statSync(join(data("second"), "d/file")).mtimeMs).toBe(
      statSync(join(data("first"), "d/file")).mtimeMs,
    );
    await run("second:/v", "echo two >/v/d/file");
    expect(await run("first:/v", "cat /v/d/file")).toBe("one");
    const [view] = JSON.parse(await tsctl("volume", "inspect", "second")) as {
      Labels: object;
      Owner: string;
    }[];
    expect(view?.Labels).toEqual({ a: "b" });
    const refused = await daemon.tsctl("volume", "snapshot", "first", "second");
    expect(refused.stderr).toContain("volume second is already there");
    expect(await tsctl("volume", "snapshot", "--label", "c=d", "first")).toMatch(/^[0-9a-f]{64}$/);
    expect((await daemon.tsctl("volume", "snapshot", "none")).stderr).toContain("get none: no such volume");
  });

  it("are of one moment, whatever is written", async () => {
    const id = await start("busy:/v", "i=0; while :; do i=$((i+1)); echo $i >/v/a; echo $i >/v/b; done");
    await delay(200);
    for (let round = 0; round < 8; round++) {
      const copy = await tsctl("volume", "snapshot", "busy");
      const [a, b] = ["a", "b"].map((name) => readFileSync(join(data(copy), name), "utf8").trim());
      // A file that is being written may be empty; otherwise b is a's, or the one before.
      if (a !== "" && b !== "") expect([0, 1]).toContain(Number(a) - Number(b));
    }
    const before = readFileSync(join(data("busy"), "a"), "utf8");
    await eventually("it goes on", () => readFileSync(join(data("busy"), "a"), "utf8") !== before);
    await tsctl("pause", id);
    await tsctl("volume", "snapshot", "busy");
    expect(await tsctl("ps", "--format", "{{.State}}")).toBe("paused");
  });

  it("a container that a dead daemon left frozen goes on", async () => {
    const id = await start("busy:/v", "while :; do date +%N >/v/a; sleep 0.01; done");
    const { State } = JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as {
      State: { Pid: number };
    };
    const groups = readFileSync(`/proc/${State.Pid}/cgroup`, "utf8");
    const v1 = /^\d+:freezer:(.*)$/m.exec(groups)?.[1];
    const v2 = /^0::(.*)$/m.exec(groups)?.[1];
    await daemon.end("SIGKILL");
    if (v1 !== undefined) writeFileSync(`/sys/fs/cgroup/freezer${v1}/freezer.state`, "FROZEN");
    else writeFileSync(`/sys/fs/cgroup${v2}/cgroup.freeze`, "1");
    await delay(50);
    const before = readFileSync(join(data("busy"), "a"), "utf8");
    await delay(50);
    expect(readFileSync(join(data("busy"), "a"), "utf8")).toBe(before);
    await daemon.launch();
    await eventually("it goes on", () => readFileSync(join(data("busy"), "a"), "utf8") !== before);
  });

  it("of what is mounted are directories", async () => {
    await tsctl("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory");
    await start("memory:/v", "echo in memory >/v/file; sleep 1000");
    await eventually(
      "it is written",
      async () => (await run("memory:/v", "cat /v/file 2>/dev/null; true")) !== "",
    );
    await tsctl("volume", "snapshot", "memory", "kept");
    expect(await run("kept:/v", "cat /v/file")).toBe("in memory");
  });
});

describe("backup and restore", () => {
  it("there and back, into what is there and what is not", async () => {
    const expected = (await sample("first")).split("\n").slice(0, -1);
    const file = join(scratch, "backup.tar");
    await tsctl("volume", "backup", "-o", file, "first");
    await run("other:/v", "echo old >/v/old");
    for (const name of ["other", "fresh"]) {
      expect(await tsctl("volume", "restore", "-i", file, name)).toBe(name);
      expect((await run(`${name}:/v`, look)).split("\n").slice(0, -1)).toEqual(expected);
      expect(note(name)).toBe("kept");
      expect(await run(`${name}:/v`, "ls /v | tr '\\n' ' '")).toBe("d hard link pipe sparse");
    }
  });

  it("refused while a container runs with it; the old contents stay when an archive is not whole", async () => {
    const id = await start("held:/v", "echo old >/v/old; sleep 1000");
    const file = join(scratch, "backup.tar");
    await tsctl("volume", "backup", "-o", file, "held");
    const refused = await daemon.tsctl("volume", "restore", "-i", file, "held");
    expect(refused.stderr).toContain(`restore held: volume is in use by running containers - [${id}]`);
    await tsctl("rm", "-f", id);
    writeFileSync(join(data("held"), "big"), Buffer.alloc(1 << 20, 1));
    await tsctl("volume", "backup", "-o", file, "held");
    truncateSync(file, 300_000);
    for (const name of ["held", "none"]) {
      const { status, stderr } = await daemon.tsctl("volume", "restore", "-i", file, name);
      expect([status, stderr]).toEqual([1, expect.stringContaining("Error response from daemon: ")]);
    }
    expect(await run("held:/v", "cat /v/old; ls /v | wc -l")).toBe("old\n2");
    expect((await daemon.api("GET", "/volumes/none")).status).toBe(404);
    await tsctl("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory");
    expect((await daemon.tsctl("volume", "restore", "-i", file, "memory")).stderr).toContain(
      "volume memory has mount options",
    );
  });

  it("an archive can't climb out", async () => {
    const file = join(scratch, "evil.tar");
    execFileSync("python3", [
      "-c",
      `import tarfile, io
with tarfile.open(${JSON.stringify(file)}, "w") as tar:
    link = tarfile.TarInfo("out"); link.type = tarfile.SYMTYPE; link.linkname = ${JSON.stringify(scratch)}; tar.addfile(link)
    for name in ("out/planted", "../../planted"):
        one = tarfile.TarInfo(name); one.size = 1; tar.addfile(one, io.BytesIO(b"x"))`,
    ]);
    await daemon.tsctl("volume", "restore", "-i", file, "evil");
    for (const place of [scratch, join(daemon.dataRoot, "volumes"), daemon.dataRoot])
      expect(() => statSync(join(place, "planted"))).toThrow("ENOENT");
  });
});
