// Containers that may write only so much, with each quota driver that works here.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, run as execute } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { bytesIn, canGrowExt4, workingPlaces } from "./working.ts";

const MEBIBYTE = 1 << 20;
const LIMIT = 24 * MEBIBYTE;

interface Inspected {
  GraphDriver: { Data: Record<string, string> };
  HostConfig: { StorageOpt: Record<string, string> };
  SizeRw: number;
  State: { Pid: number; Running: boolean };
}

for (const { driver, directory, remove } of await workingPlaces()) {
  describe(driver, () => {
    let daemon: TestDaemon;
    beforeAll(async () => {
      daemon = await TestDaemon.start(`quota-${driver}`, [daemonProgram], {
        flags: ["--storage-opt", `quota-driver=${driver}`],
        dataRoot: join(directory, "data"),
      });
      await daemon.importBusybox();
    });
    afterAll(async () => {
      await daemon.stop();
      await remove();
    });

    const create = (StorageOpt: object, Cmd = ["sleep", "1000"]) =>
      daemon.api("POST", "/containers/create", { Image: "busybox", Cmd, HostConfig: { StorageOpt } });
    async function run(name: string, size = "24m"): Promise<void> {
      const made = await daemon.api("POST", `/containers/create?name=${name}`, {
        Image: "busybox",
        Cmd: ["sleep", "1000"],
        HostConfig: { StorageOpt: { size }, NetworkMode: "none" },
      });
      expect(made.status, made.text).toBe(201);
      const started = await daemon.api("POST", `/containers/${name}/start`);
      expect(started.status, started.text).toBe(204);
    }
    const inspect = async (name: string): Promise<Inspected> =>
      JSON.parse((await daemon.api("GET", `/containers/${name}/json?size=1`)).text) as Inspected;
    /** Writes until it is refused; returns how much was taken. */
    async function fill(name: string): Promise<{ bytes: number; said: string }> {
      const { stderr } = await daemon.tsctl("exec", name, "dd", "if=/dev/zero", "of=/full", "bs=64k");
      const { stdout } = await daemon.tsctl("exec", name, "stat", "-c", "%s", "/full");
      return { bytes: Number(stdout), said: stderr };
    }

    it("info tells what limits are kept by", async () => {
      const { DriverStatus } = JSON.parse((await daemon.api("GET", "/info")).text) as {
        DriverStatus: [string, string][];
      };
      expect(DriverStatus.find(([name]) => name === "Quota")?.[1]).toContain(driver);
    });

    it("refuses sizes that are none, and options that there are none of", async () => {
      for (const [options, message] of [
        [{ size: "much" }, /StorageOpt\.size: invalid size: 'much'/],
        [{ size: "1k" }, /StorageOpt\.size: 1024 bytes, must be \d+ at least/],
        [{ size: "-5m" }, /StorageOpt\.size: invalid size/],
        [{ colour: "blue" }, /StorageOpt: unknown option colour/],
      ] as const) {
        const { status, text } = await create(options);
        expect([status, text]).toEqual([400, expect.stringMatching(message)]);
      }
      expect(await daemon.leaks()).toEqual([]);
    });

    it("a full container says so, at its limit; twenty others write on", async () => {
      const first = await daemon.tsctl(
        ...["run", "-d", "--name", "full", "--storage-opt", "size=24m", "busybox", "sleep", "1000"],
      );
      expect(first.status, first.stderr).toBe(0);
      const others = Array.from({ length: 20 }, (_, index) => `other-${index}`);
      for (const name of others) await run(name, "5m");
      const { bytes, said } = await fill("full");
      expect(said).toMatch(/No space left on device|Disk quota exceeded/);
      expect(bytes / LIMIT).toBeGreaterThan(0.98);
      expect(bytes / LIMIT).toBeLessThan(1.02);
      const write = "dd if=/dev/zero of=/a bs=64k count=32 && sync";
      await Promise.all(
        others.map(async (name) => {
          const wrote = await daemon.tsctl("exec", name, "sh", "-c", write);
          expect(wrote.status, wrote.stderr).toBe(0);
        }),
      );
      const { GraphDriver, HostConfig, SizeRw } = await inspect("full");
      expect(HostConfig.StorageOpt).toEqual({ size: "24m" });
      expect(Number(GraphDriver.Data.QuotaLimit) / LIMIT).toBeCloseTo(1, 1);
      expect(Number(GraphDriver.Data.QuotaUsage) / LIMIT).toBeGreaterThan(0.97);
      expect(SizeRw).toBe(bytes);
      const { text } = await daemon.api("GET", "/containers/full/stats?stream=0&one-shot=1");
      const { storage_stats } = JSON.parse(text) as { storage_stats: { usage: number; limit: number } };
      expect(storage_stats.usage / LIMIT).toBeGreaterThan(0.97);
      expect(storage_stats.limit / LIMIT).toBeCloseTo(1, 1);
      // What is full can be changed and emptied from inside.
      const emptied = await daemon.tsctl("exec", "full", "sh", "-c", "rm /full && sync && echo room > /new");
      expect(emptied.status, emptied.stderr).toBe(0);
      for (const name of others) await daemon.api("DELETE", `/containers/${name}?force=1`);
    });

    it("grows while it runs, or says that it can't; does not shrink below what is in use", async () => {
      const { bytes } = await fill("full");
      expect(bytes).toBeGreaterThan(0.9 * LIMIT);
      const tooSmall = await daemon.tsctl("update", "--storage-opt", "size=12m", "full");
      expect(tooSmall.status).toBe(1);
      expect(tooSmall.stderr).toMatch(/StorageOpt\.size of 12582912 bytes is less than the \d+ in use/);
      const grown = await daemon.tsctl("update", "--storage-opt", "size=40m", "full");
      if (driver === "ext4" && !canGrowExt4) {
        expect(grown.stderr).toContain("CAP_SYS_RESOURCE");
        expect((await inspect("full")).HostConfig.StorageOpt).toEqual({ size: "24m" });
        return;
      }
      expect(grown.status, grown.stderr).toBe(0);
      expect((await inspect("full")).HostConfig.StorageOpt).toEqual({ size: "40m" });
      expect((await fill("full")).bytes / MEBIBYTE).toBeGreaterThan(39);
      await daemon.tsctl("exec", "full", "sh", "-c", "rm /full && sync");
      if (driver !== "ext4") {
        await eventually("room", async () => {
          const { GraphDriver } = await inspect("full");
          return Number(GraphDriver.Data.QuotaUsage) < MEBIBYTE;
        });
        expect((await daemon.tsctl("update", "--storage-opt", "size=24m", "full")).status).toBe(0);
        expect((await fill("full")).bytes / MEBIBYTE).toBeLessThan(24.5);
      }
    });

    it("one without a limit can't be given one", async () => {
      await daemon.tsctl("create", "--name", "plain", "busybox", "true");
      const { status, stderr } = await daemon.tsctl("update", "--storage-opt", "size=40m", "plain");
      expect([status, stderr]).toEqual([1, expect.stringContaining("created without StorageOpt.size")]);
      const { GraphDriver } = await inspect("plain");
      expect(GraphDriver.Data.QuotaLimit).toBeUndefined();
      expect(GraphDriver.Data.UpperDir).toContain("/containers/");
      await daemon.tsctl("rm", "plain");
    });

    it("copies, exports, commits and compares, running or not", async () => {
      await run("files");
      await daemon.tsctl(
        "exec",
        "files",
        "sh",
        "-c",
        "echo inside > /mine && rm /bin/vi && mkdir /d && echo x > /d/y",
      );
      for (const running of [true, false]) {
        if (!running) await daemon.tsctl("stop", "-t", "0", "files");
        const changes = (await daemon.tsctl("diff", "files")).stdout;
        expect(changes).toContain("A /mine");
        expect(changes).toContain("D /bin/vi");
        const exported = await daemon.api("GET", "/containers/files/export");
        expect(exported.status).toBe(200);
        expect(exported.text).toContain("inside\n");
        const copied = await daemon.api("GET", "/containers/files/archive?path=/mine");
        expect([copied.status, copied.text]).toEqual([200, expect.stringContaining("inside\n")]);
        expect((await daemon.tsctl("commit", "files", `made-${running}`)).status).toBe(0);
        const made = await daemon.tsctl("run", "--rm", `made-${running}`, "cat", "/mine");
        expect(made.stdout).toBe("inside\n");
      }
      // Into one that is full no more can be copied.
      const big = join(daemon.root, "big");
      writeFileSync(big, Buffer.alloc(30 * MEBIBYTE, "x")); // zeros would become holes
      const put = await daemon.tsctl("cp", big, "files:/big");
      expect([put.status, put.stderr]).toEqual([1, expect.stringMatching(/space|quota/i)]);
      await daemon.tsctl("rm", "files");
    });

    it("a new daemon finds everything as it was, killed or stopped, mounted or not", async () => {
      await daemon.tsctl("exec", "full", "sh", "-c", "rm -f /full; echo kept > /kept; sync");
      await run("rests");
      await daemon.tsctl("exec", "rests", "sh", "-c", "echo still > /there");
      await daemon.tsctl("stop", "-t", "0", "rests");
      const before = await inspect("full");
      for (const signal of ["SIGKILL", "SIGTERM"] as const) {
        await daemon.end(signal);
        await daemon.launch();
        const after = await inspect("full");
        expect(after.State.Pid).toBe(before.State.Pid);
        expect((await daemon.tsctl("exec", "full", "cat", "/kept")).stdout).toBe("kept\n");
        expect(after.GraphDriver.Data.QuotaLimit).toBe(before.GraphDriver.Data.QuotaLimit);
        const { bytes } = await fill("full");
        expect(bytes).toBeGreaterThan(0.9 * LIMIT);
        const { text } = await daemon.api("GET", "/containers/rests/archive?path=/there");
        expect(text).toContain("still\n");
        const mounts = readFileSync("/proc/self/mounts", "utf8")
          .split("\n")
          .filter((line) => line.includes(`${daemon.dataRoot}/`));
        expect(new Set(mounts).size).toBe(mounts.length);
      }
      // As after a restart of the machine: nothing is mounted any more.
      await daemon.tsctl("stop", "-t", "0", "full");
      await daemon.end();
      expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(`${daemon.dataRoot}/`);
      await daemon.launch();
      expect((await daemon.tsctl("start", "full")).status).toBe(0);
      expect((await daemon.tsctl("exec", "full", "cat", "/kept")).stdout).toBe("kept\n");
      expect((await daemon.tsctl("start", "rests")).status).toBe(0);
      expect((await daemon.tsctl("exec", "rests", "cat", "/there")).stdout).toBe("still\n");
      await daemon.tsctl("rm", "-f", "rests");
    });

    it.each([
      ["bytes", "dd if=/dev/zero of=/filled/0 bs=4k"],
      ["files", "i=0; while : > /filled/$i && [ $i -lt 5000 ]; do i=$((i+1)); done"],
    ])("one that is full of %s is copied from, starts again and is emptied", async (_what, fillIt) => {
      const first = `[ -e /filled ] || { mkdir /filled; (${fillIt}); }; echo full; exec sleep 1000`;
      const options = ["--name", "again", "--network", "none", "--storage-opt", "size=8m"];
      expect((await daemon.tsctl("run", "-d", ...options, "busybox", "sh", "-c", first)).status).toBe(0);
      const says = async (text: string) =>
        eventually(text, async () => (await daemon.tsctl("logs", "again")).stdout === text);
      await says("full\n");
      const { GraphDriver } = await inspect("again");
      for (let round = 2; round < 5; round++) {
        await daemon.tsctl("stop", "-t", "0", "again");
        const copied = await daemon.api("GET", "/containers/again/archive?path=/etc/passwd");
        expect([copied.status, copied.text]).toEqual([200, expect.stringContaining("root:")]);
        const started = await daemon.tsctl("start", "again");
        expect(started.status, started.stderr).toBe(0);
        await says("full\n".repeat(round));
        const { stdout } = await daemon.tsctl("exec", "again", "grep", " / overlay rw,", "/proc/mounts");
        expect(stdout).not.toBe("");
        expect((await inspect("again")).GraphDriver.Data.QuotaLimit).toBe(GraphDriver.Data.QuotaLimit);
      }
      const emptied = await daemon.tsctl("exec", "again", "sh", "-c", "rm -r /filled && echo room > /new");
      expect(emptied.status, emptied.stderr).toBe(0);
      await daemon.tsctl("rm", "-f", "again");
    });

    it("removal gives the room back to the host", async () => {
      await fill("full");
      await daemon.tsctl("exec", "full", "sync");
      const before = await bytesIn(join(directory, "data/quota"));
      expect((await daemon.tsctl("rm", "-f", "full")).status).toBe(0);
      await eventually(
        "room",
        async () => before - (await bytesIn(join(directory, "data/quota"))) > 0.7 * LIMIT,
      );
      await daemon.clear();
      await eventually("nothing is left", async () => (await daemon.leaks()).length === 0);
    });
  });
}

describe("the daemon's default", () => {
  it("limits containers that ask for nothing, and gives way to what is asked for", async () => {
    const daemon = await TestDaemon.start("quota-default", [daemonProgram], {
      flags: ["--storage-opt", "size=16m"],
    });
    try {
      await daemon.importBusybox();
      const script = "dd if=/dev/zero of=/full bs=64k; stat -c %s /full";
      const { stdout, stderr } = await daemon.tsctl("run", "--rm", "busybox", "sh", "-c", script);
      expect(stderr).toMatch(/No space left on device|Disk quota exceeded/);
      expect(Number(stdout) / (16 * MEBIBYTE)).toBeCloseTo(1, 1);
      const own = await daemon.tsctl(
        "run",
        "--rm",
        "--storage-opt",
        "size=20m",
        "busybox",
        "sh",
        "-c",
        script,
      );
      expect(Number(own.stdout) / (20 * MEBIBYTE)).toBeCloseTo(1, 1);
      await daemon.tsctl("create", "--name", "default", "busybox", "true");
      const { stdout: shown } = await daemon.tsctl(
        "inspect",
        "-f",
        "{{json .HostConfig.StorageOpt}}",
        "default",
      );
      expect(JSON.parse(shown)).toEqual({ size: "16m" });
    } finally {
      await daemon.stop();
    }
  });

  it("with options that there are none of, it does not start", async () => {
    for (const option of ["size=much", "colour=blue", "quota-driver=zfs", "size"]) {
      const { status, stderr } = await execute(daemonProgram, ["--validate", "--storage-opt", option]);
      expect([status, stderr]).toEqual([1, expect.stringContaining(`--storage-opt ${option}`)]);
    }
  });
});
