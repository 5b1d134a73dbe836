// Volumes of limited size, with each quota driver that works here.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { workingPlaces } from "../quota/working.ts";

for (const { driver, directory, remove } of await workingPlaces()) {
  describe(driver, () => {
    let daemon: TestDaemon;
    beforeAll(async () => {
      daemon = await TestDaemon.start(`volume-quota-${driver}`, [daemonProgram], {
        flags: ["--storage-opt", `quota-driver=${driver}`],
        dataRoot: join(directory, "data"),
      });
      await daemon.importBusybox();
    });
    afterAll(async () => {
      await daemon.stop();
      await remove();
    });

    const run = async (volume: string, script: string): Promise<string> =>
      (
        await daemon.tsctl("run", "--rm", "--network", "none", "-v", volume, "busybox", "sh", "-c", script)
      ).stdout.trim();
    const write = "dd if=/dev/zero of=/v/full bs=64k 2>/dev/null; stat -c %s /v/full";
    const trees = (): string[] => {
      const place = join(daemon.dataRoot, "quota", driver);
      return existsSync(place) ? readdirSync(place).filter((name) => name.includes("v-")) : [];
    };

    it("hold so much, and no more, and still after a daemon's death", async () => {
      expect((await daemon.tsctl("volume", "create", "-o", "size=24m", "small")).stderr).toBe("");
      const bytes = Number(await run("small:/v", write));
      expect(bytes).toBeGreaterThan(10 << 20);
      expect(bytes).toBeLessThanOrEqual(25 << 20);
      await daemon.end("SIGKILL");
      await daemon.launch();
      expect(Number(await run("small:/v", "stat -c %s /v/full"))).toBe(bytes);
      expect(await run("small:/v", "rm /v/full; echo fits >/v/file; cat /v/file")).toBe("fits");
      expect(Number(await run("small:/v", write))).toBeLessThanOrEqual(25 << 20);
      await run("small:/v", "rm /v/full");
      const view = JSON.parse((await daemon.api("GET", "/volumes/small")).text) as { Mountpoint: string };
      expect(readdirSync(view.Mountpoint)).toEqual(["file"]);
      expect((await daemon.tsctl("volume", "snapshot", "small", "copy")).stderr).toBe("");
      expect(await run("copy:/v", "cat /v/file")).toBe("fits");
      expect(Number(await run("copy:/v", write))).toBeLessThanOrEqual(25 << 20);
    });

    it("are filled from the image, and go without a trace", async () => {
      expect((await daemon.tsctl("volume", "create", "-o", "size=24m", "filled")).stderr).toBe("");
      expect(await run("filled:/etc", "cat /etc/passwd | head -1")).toContain("root");
      await daemon.clear();
      await eventually("the trees are gone", () => trees().length === 0);
    });
  });
}
