// Many limited containers, and a daemon that is killed while it makes and removes them: nothing is left, nothing is lost.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer } from "../harness/api.ts";
import { eventually, output } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { workingPlaces } from "./working.ts";

const KILLS = Number(process.env.TSD_QUOTA_KILLS ?? 12);
/** An ext4 for each takes its time: fewer of them, unless somebody wants to know. */
const many = (driver: string): number =>
  Number(process.env.TSD_QUOTA_MANY ?? (driver === "ext4" ? 120 : 500));
const CLIENTS = 4;

const delay = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

for (const { driver, directory, remove } of await workingPlaces()) {
  describe(driver, () => {
    const MANY = many(driver);
    let daemon: TestDaemon;
    beforeAll(async () => {
      daemon = await TestDaemon.start(`quota-churn-${driver}`, [daemonProgram], {
        flags: ["--storage-opt", `quota-driver=${driver}`],
        dataRoot: join(directory, "data"),
      });
      await daemon.importBusybox();
    });
    afterAll(async () => {
      await daemon.stop();
      await remove();
    });

    /** Undefined when the daemon died before it answered. */
    const ask = (method: string, path: string, body?: unknown): Promise<Answer | undefined> =>
      daemon.api(method, path, body).catch(() => undefined);
    const request = (Cmd: readonly string[]) => ({
      Image: "busybox",
      Cmd,
      HostConfig: { StorageOpt: { size: "8m" }, NetworkMode: "none" },
    });
    async function create(name: string, command: readonly string[]): Promise<string> {
      const made = await ask("POST", `/containers/create?name=${name}`, request(command));
      if (!made) return name;
      expect(made.status, made.text).toBe(201);
      return (JSON.parse(made.text) as { Id: string }).Id;
    }

    const quotaFiles = async (): Promise<string[]> =>
      (await output("find", [join(daemon.dataRoot, "quota"), "-type", "f"])).split("\n").filter(Boolean);

    it(`${MANY} are made and removed`, async () => {
      const ids: string[] = [];
      let left = MANY;
      const begin = performance.now();
      const worker = async (): Promise<void> => {
        while (left-- > 0) ids.push(await create(`many-${left}`, ["true"]));
      };
      await Promise.all(Array.from({ length: CLIENTS }, worker));
      const made = performance.now();
      expect(await daemon.leaks()).toHaveLength(
        MANY * 2 + (driver === "ext4" ? 2 * MANY : 0), // directories; an ext4 has a file and a mount besides
      );
      const remover = async (): Promise<void> => {
        for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
          const removed = await ask("DELETE", `/containers/${id}`);
          expect(removed?.status, removed?.text).toBe(204);
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, remover));
      const removed = performance.now();
      await eventually("nothing is left", async () => (await daemon.leaks()).length === 0, 60_000);
      console.log(
        `${driver}: ${((made - begin) / MANY).toFixed(1)} ms to make one, ${((removed - made) / MANY).toFixed(1)} to remove one, gone ${(performance.now() - removed).toFixed(0)} ms later`,
      );
    }, 240_000);

    it("a kill while the first one is made is no obstacle to the next", async () => {
      for (let round = 0; round < 6; round++) {
        // Nothing is there yet: what all of them share is made anew each time.
        await daemon.end();
        expect(await quotaFiles()).toEqual([]);
        await daemon.launch();
        void ask("POST", "/containers/create", request(["true"]));
        await delay(round * 15);
        await daemon.end("SIGKILL");
        await daemon.launch();
        const id = await create(`after-${round}`, ["true"]);
        expect((await ask("POST", `/containers/${id}/start`))?.status).toBe(204);
        await daemon.clear();
        await eventually("nothing is left", async () => (await daemon.leaks()).length === 0);
      }
    }, 240_000);

    it(`${KILLS} kills leave nothing, and lose nothing`, async () => {
      const witness = await create("witness", ["sh", "-c", "echo kept > /kept; exec sleep 100000"]);
      expect((await ask("POST", `/containers/${witness}/start`))?.status).toBe(204);
      let over = false;
      let lives = 0;
      const clients = Array.from({ length: CLIENTS }, async (_, client) => {
        for (let round = 0; !over; round++) {
          const name = `churn-${client}-${round}`;
          await create(name, ["sh", "-c", "dd if=/dev/zero of=/full bs=64k; sleep 1000"]);
          await ask("POST", `/containers/${name}/start`);
          await ask("POST", `/containers/${name}/update`, { StorageOpt: { size: "9m" } });
          const answer = await ask("DELETE", `/containers/${name}?force=1`);
          if (answer) expect([204, 404], answer.text).toContain(answer.status);
          else await delay(20);
          lives++;
        }
      });
      for (let kill = 0; kill < KILLS; kill++) {
        await delay(Math.random() * 120);
        await daemon.end("SIGKILL");
        await daemon.launch();
        expect((await daemon.tsctl("exec", "witness", "cat", "/kept")).stdout).toBe("kept\n");
      }
      over = true;
      await Promise.all(clients);
      expect(lives).toBeGreaterThan(CLIENTS);
      // Records and trees are of the same containers, as soon as what was removed is gone.
      const list = JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as { Id: string }[];
      const known = new Set(list.map(({ Id }) => Id));
      const strays = async (): Promise<string[]> =>
        (await daemon.leaks())
          .map((leak) => / tree ([0-9a-f]{64})/.exec(leak)?.[1])
          .filter((id): id is string => id !== undefined && !known.has(id));
      await eventually("no strays", async () => (await strays()).length === 0);
      for (const id of known) {
        const { status, text } = await daemon.api("GET", `/containers/${id}/archive?path=/bin`);
        expect(status, text).toBe(200);
      }
      expect(daemon.log.split("\n").filter((line) => line.includes('"level":50'))).toEqual([]);
    }, 120_000);
  });
}
