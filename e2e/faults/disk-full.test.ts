// A data root on a small loop device that fills up: clear errors, nothing lost, and all works again when there is room.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

const place = mkdtempSync(join(tmpdir(), "tsd-small-"));
const image = join(place, "disk.img");
const mountPoint = join(place, "mnt");
let daemon: TestDaemon;
let loop = "";

/** Without loop devices there is no small disk to fill. */
const hasLoop = spawnSync("losetup", ["--find"]).status === 0;

beforeAll(async () => {
  if (!hasLoop) return;
  await output("sh", ["-c", `truncate -s 48M ${image} && mke2fs -q -t ext4 -F ${image}`]);
  mkdirSync(mountPoint);
  loop = await output("losetup", ["--find", "--show", image]);
  await output("mount", [loop, mountPoint]);
  daemon = await TestDaemon.start("full", undefined, { dataRoot: join(mountPoint, "data") });
  await daemon.importBusybox();
});
afterAll(async () => {
  if (!hasLoop) return;
  await daemon.stop();
  await output("umount", [mountPoint]);
  await output("losetup", ["--detach", loop]);
  rmSync(place, { recursive: true, force: true });
});

const ballast = join(mountPoint, "ballast");

/** Leaves not a block. */
async function fill(): Promise<void> {
  for (const size of ["1M", "4k", "512"])
    await run("sh", ["-c", `dd if=/dev/zero bs=${size} >> ${ballast} 2>/dev/null; true`]);
  expect(statfsSync(mountPoint).bavail).toBeLessThan(4);
}

async function create(command: readonly string[]): Promise<{ status: number; id: string; message: string }> {
  const { status, text } = await daemon.api("POST", "/containers/create", { Image: "busybox", Cmd: command });
  const { Id = "", message = "" } = JSON.parse(text) as { Id?: string; message?: string };
  return { status, id: Id, message };
}

const state = async (id: string): Promise<{ Status: string; ExitCode: number }> =>
  (
    JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as {
      State: { Status: string; ExitCode: number };
    }
  ).State;

describe.skipIf(!hasLoop)("a full disk", () => {
  it("refuses what needs room, keeps what runs, and recovers", async () => {
    const running = await create(["sh", "-c", "trap 'exit 6' TERM; echo before; sleep 1000 & wait"]);
    await daemon.api("POST", `/containers/${running.id}/start`);
    const waiting = await create(["echo", "later"]);
    await eventually("its line", async () =>
      (await daemon.tsctl("logs", running.id)).stdout.includes("before"),
    );
    await fill();

    const refused: string[] = [];
    for (let attempt = 0; attempt < 30; attempt++) {
      const { status, message, id } = await create(["true"]);
      // SQLite may still have room in the file it has; in the end it has none.
      if (status === 201) await daemon.api("DELETE", `/containers/${id}`);
      else {
        expect(status).toBe(500);
        refused.push(message);
      }
    }
    expect(refused.length).toBeGreaterThan(0);
    for (const message of refused) expect(message).toMatch(/disk|space|ENOSPC/i);
    const start = await daemon.api("POST", `/containers/${waiting.id}/start`);
    if (start.status !== 204) expect(start.status).toBe(500);

    // What runs can be looked at, and its end is learnt, though it can't be written down now.
    expect((await state(running.id)).Status).toBe("running");
    expect((await daemon.api("POST", `/containers/${running.id}/stop`)).status).toBe(204);
    expect(await state(running.id)).toMatchObject({ Status: "exited", ExitCode: 6 });

    rmSync(ballast);
    await eventually("creates again", async () => {
      const { status, id } = await create(["true"]);
      if (status === 201) await daemon.api("DELETE", `/containers/${id}`);
      return status === 201;
    });
    if ((await state(waiting.id)).Status !== "running")
      await eventually("starts again", async () =>
        [204, 304].includes((await daemon.api("POST", `/containers/${waiting.id}/start`)).status),
      );
    await daemon.api("POST", `/containers/${waiting.id}/wait`);
    expect((await daemon.tsctl("logs", waiting.id)).stdout).toContain("later");

    // Everything is written by now, or will be within a moment: the next daemon knows it too.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await daemon.end("SIGKILL");
    await daemon.launch();
    expect(await state(running.id)).toMatchObject({ Status: "exited", ExitCode: 6 });
    expect(await integrity(join(mountPoint, "data/tsd.db"))).toBe("ok");
    await daemon.clear();
  }, 60_000);

  it("a log that can't be written does not stop its container, and goes on with whole lines", async () => {
    const { id } = await create([
      "sh",
      "-c",
      "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.05; done; sleep 0.2; echo last",
    ]);
    await daemon.api("POST", `/containers/${id}/start`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await fill();
    await new Promise((resolve) => setTimeout(resolve, 700));
    rmSync(ballast);
    expect(JSON.parse((await daemon.api("POST", `/containers/${id}/wait`)).text)).toEqual({ StatusCode: 0 });
    const lines = (await daemon.tsctl("logs", id)).stdout.trim().split("\n");
    expect(lines.at(-1)).toBe("last");
    const numbers = lines.slice(0, -1).map((line) => Number(/^line (\d+)$/.exec(line)?.[1]));
    // Lines may be missing in the middle; those that are there are whole, and in order.
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers.some(Number.isNaN)).toBe(false);
  }, 30_000);
});

/** SQLite's own word on a database, by the daemon's module. */
function integrity(path: string): Promise<string> {
  const script = `
    import Database from ${JSON.stringify(join(import.meta.dirname, "../../packages/daemon/node_modules/better-sqlite3/lib/index.js"))};
    const db = new Database(process.argv[1], { readonly: false });
    process.stdout.write(String(db.pragma("integrity_check", { simple: true })));
  `;
  return output(process.execPath, ["--input-type=module", "-e", script, path]);
}

describe.skipIf(!hasLoop)("the database", () => {
  it("copied while it is written to can be opened, and is whole", async () => {
    const source = join(mountPoint, "data/tsd.db");
    const copies = mkdtempSync(join(tmpdir(), "tsd-copy-"));
    let over = false;
    const writing = (async () => {
      while (!over) {
        const { id, status } = await create(["true"]);
        if (status === 201) await daemon.api("DELETE", `/containers/${id}`);
      }
    })();
    try {
      for (let round = 0; round < 20; round++) {
        const target = join(copies, `${round}.db`);
        for (const suffix of ["", "-wal"])
          if (existsSync(source + suffix)) copyFileSync(source + suffix, target + suffix);
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(await integrity(target)).toBe("ok");
      }
    } finally {
      over = true;
      await writing;
      rmSync(copies, { recursive: true, force: true });
    }
  }, 60_000);

  it("that is no database is named, and left alone", async () => {
    const broken = mkdtempSync(join(tmpdir(), "tsd-broken-"));
    mkdirSync(join(broken, "data"));
    writeFileSync(join(broken, "data/tsd.db"), "this is no database".repeat(100));
    const { status, stderr } = await run(join(import.meta.dirname, "../../packages/daemon/bin/tsd"), [
      ...["--data-root", join(broken, "data"), "--exec-root", join(broken, "run")],
      ...["-H", `unix://${join(broken, "tsd.sock")}`, "--iptables=false"],
    ]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/tsd\.db.*not a database/);
    rmSync(broken, { recursive: true, force: true });
  });
});
