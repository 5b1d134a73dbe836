// Every quota driver that works here keeps the same promises: limits, usage, growing and shrinking, nothing left behind.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type QuotaDriver, QuotaError, quotaDrivers } from "@tsd/kernel-bindings";
import { afterAll, describe, expect, it } from "vitest";
import { eventually, run } from "../harness/command.ts";
import { bytesIn, canGrowExt4, workingPlaces } from "./working.ts";

const MEBIBYTE = 1 << 20;

for (const place of await workingPlaces()) {
  const { driver: name, directory: root } = place;
  const problems: unknown[] = [];
  const make = (): QuotaDriver => {
    const found = quotaDrivers(root, (problem) => problems.push(problem)).find(
      (driver) => driver.name === name,
    );
    if (!found) throw new Error(name);
    return found;
  };

  const mounts = (): string[] =>
    readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(root));
  const loops = (): string[] =>
    readdirSync("/sys/block").filter((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").startsWith(root);
      } catch {
        return false;
      }
    });

  /** Writes until it is refused; returns the bytes that were taken. */
  async function fill(path: string): Promise<{ bytes: number; said: string }> {
    // Some file systems' limits are not for who has CAP_SYS_RESOURCE; and no broken limit is to fill the machine.
    const { stderr } = await run("setpriv", [
      ...["--bounding-set", "-sys_resource", "dd"],
      ...["if=/dev/zero", `of=${path}`, "bs=64k", "count=4096", "conv=fsync"],
    ]);
    return { bytes: Number(/(\d+) bytes/.exec(stderr)?.[1]), said: stderr };
  }

  describe(name, () => {
    afterAll(() => place.remove());
    let driver = make();

    it("limits what is written, tells how much that is, and lets others be", async () => {
      await driver.open();
      await driver.make("one", 32 * MEBIBYTE);
      await driver.make("two", 32 * MEBIBYTE);
      expect(driver.names().sort()).toEqual(["one", "two"]);
      const { bytes, said } = await fill(join(driver.directory("one"), "file"));
      expect(said).toMatch(/No space left on device|Disk quota exceeded/);
      expect(bytes / (32 * MEBIBYTE)).toBeGreaterThan(0.98);
      expect(bytes / (32 * MEBIBYTE)).toBeLessThan(1.02);
      const { usage, limit } = await driver.usage("one");
      expect(usage / bytes).toBeGreaterThan(0.98);
      expect(limit / (32 * MEBIBYTE)).toBeGreaterThan(0.98);
      expect(limit / (32 * MEBIBYTE)).toBeLessThan(1.02);
      expect((await driver.usage("two")).usage).toBeLessThan(MEBIBYTE);
      const other = await run("dd", [
        "if=/dev/zero",
        `of=${driver.directory("two")}/file`,
        "bs=1M",
        "count=20",
        "conv=fsync",
      ]);
      expect(other.status, other.stderr).toBe(0);
      // What is full can be emptied.
      rmSync(join(driver.directory("one"), "file"));
      await eventually("room again", async () => (await driver.usage("one")).usage < MEBIBYTE);
    }, 30_000);

    it("limits the number of files", async () => {
      const script = `i=0; while [ $i -lt 400000 ] && echo > ${driver.directory("one")}/$i; do i=$((i+1)); done 2>/dev/null; echo $i`;
      const { stdout } = await run("setpriv", [
        "--bounding-set",
        "-sys_resource",
        "busybox",
        "sh",
        "-c",
        script,
      ]);
      expect(Number(stdout)).toBeGreaterThan(2000);
      expect(Number(stdout)).toBeLessThan(400_000);
      const { status } = await run("sh", ["-c", `rm -rf ${driver.directory("one")}/*`]);
      expect(status).toBe(0);
    });

    it.skipIf(name === "ext4" && !canGrowExt4)(
      "grows while it is written to, and shrinks or says that it can't",
      async () => {
        await fill(join(driver.directory("one"), "file"));
        await driver.limit("one", 64 * MEBIBYTE);
        const { bytes } = await fill(join(driver.directory("one"), "file"));
        expect(bytes / (64 * MEBIBYTE)).toBeGreaterThan(0.98);
        expect(bytes / (64 * MEBIBYTE)).toBeLessThan(1.02);
        await driver.limit("one", 64 * MEBIBYTE);
        rmSync(join(driver.directory("one"), "file"));
        if (name === "ext4") await expect(driver.limit("one", 16 * MEBIBYTE)).rejects.toThrow(QuotaError);
        else {
          await driver.limit("one", 16 * MEBIBYTE);
          const shrunk = await fill(join(driver.directory("one"), "file"));
          expect(shrunk.bytes / (16 * MEBIBYTE)).toBeGreaterThan(0.95);
          expect(shrunk.bytes / (16 * MEBIBYTE)).toBeLessThan(1.02);
        }
      },
    );

    it("is taken up by another process, mounted or not", async () => {
      execFileSync("sh", ["-c", `echo kept > ${driver.directory("two")}/kept`]);
      const before = loops();
      driver = make();
      await driver.recover();
      expect(readFileSync(join(driver.directory("two"), "kept"), "utf8")).toBe("kept\n");
      expect(loops()).toEqual(before);
      await driver.close(() => false);
      if (name !== "project") expect(mounts()).toEqual([]);
      await eventually("no loop device", () => loops().length === 0);
      driver = make();
      await driver.recover();
      expect(driver.names().sort()).toEqual(["one", "two"]);
      expect(readFileSync(join(driver.directory("two"), "kept"), "utf8")).toBe("kept\n");
      expect((await driver.usage("two")).usage).toBeGreaterThan(19 * MEBIBYTE);
    });

    it("lends a tree without room what a mount takes, and takes it back", async () => {
      await driver.make("tight", Math.max(driver.minimum, 2 * MEBIBYTE));
      expect(await driver.makeRoom("tight")).toBeUndefined();
      const { limit } = await driver.usage("tight");
      const inside = (script: string) =>
        run("setpriv", [
          ...["--bounding-set", "-sys_resource", "busybox", "sh", "-c"],
          `cd ${driver.directory("tight")} && ${script}`,
        ]);
      await inside("i=0; while [ $i -lt 20000 ] && : > $i; do i=$((i+1)); done");
      for (let time = 0; time < 2; time++) {
        const takeBack = await driver.makeRoom("tight");
        const made = await inside("mkdir work && touch work/1 work/2 && rm -r work");
        expect(made.status, made.stderr).toBe(0);
        await takeBack?.();
        expect((await driver.usage("tight")).limit).toBe(limit);
        expect((await inside("touch more")).stderr).toMatch(/No space left on device|Disk quota exceeded/);
      }
      await driver.remove("tight");
    });

    it.skipIf(name !== "ext4")("makes the second of a size by copying, and it is whole", async () => {
      for (const tree of ["first", "second"]) {
        await driver.make(tree, 12 * MEBIBYTE);
        execFileSync("sh", ["-c", `echo ${tree} > ${driver.directory(tree)}/file && sync`]);
      }
      await driver.close(() => false);
      const shown = (tree: string): string =>
        execFileSync("e2fsck", ["-fn", `${driver.directory(tree)}.img`], { encoding: "utf8" }).replaceAll(
          tree,
          "",
        );
      await eventually("no loop device", () => loops().length === 0);
      expect(shown("second")).toBe(shown("first"));
      driver = make();
      await driver.recover();
      expect(readFileSync(join(driver.directory("second"), "file"), "utf8")).toBe("second\n");
      for (const tree of ["first", "second"]) await driver.remove(tree);
    });

    it("finds the device of a file that is still in use out of sight", async () => {
      if (name === "project") return;
      // A process that still sees what is unmounted here, as a running container does.
      const directory = driver.directory("two");
      const holder = run("unshare", [
        "-m",
        "sh",
        "-c",
        `cd ${directory} && echo in >in && sleep 2; cat late`,
      ]);
      await eventually("the holder is in", () => readdirSync(directory).includes("in"));
      const before = loops();
      await driver.close(() => false);
      expect(mounts()).toEqual([]);
      driver = make();
      await driver.recover();
      expect(loops()).toEqual(before);
      execFileSync("sh", ["-c", `echo same > ${driver.directory("two")}/late`]);
      expect((await holder).stdout).toBe("same\n");
    });

    it("gives everything back", async () => {
      mkdirSync(join(driver.directory("two"), "a/b"), { recursive: true });
      const before = await bytesIn(root);
      await driver.remove("one");
      await driver.remove("two");
      await driver.remove("two");
      expect(driver.names()).toEqual([]);
      await eventually("room on the host", async () => before - (await bytesIn(root)) > 19 * MEBIBYTE);
      await driver.close(() => false);
      if (name !== "project") expect(mounts()).toEqual([]);
      await eventually("no loop device", () => loops().length === 0);
      const files = execFileSync("find", [root, "-type", "f"], { encoding: "utf8" });
      expect(files).toBe("");
      expect(problems).toEqual([]);
    });
  });
}
