// Rotated logs that are compressed: read as if they were not, and no line lost to whoever is killed meanwhile.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("log-compression");
  await daemon.importBusybox();
});
afterEach(() => daemon.clear());
afterAll(() => daemon.stop());

const options = (size: string, files: number): string[] =>
  [`max-size=${size}`, `max-file=${files}`, "compress=true"].flatMap((option) => ["--log-opt", option]);

async function run(words: readonly string[], command: string): Promise<string> {
  const { stdout, stderr } = await daemon.tsctl("run", "-d", ...words, "busybox", "sh", "-c", command);
  expect(stderr).toBe("");
  return stdout.trim();
}

async function inspect(id: string): Promise<{ LogPath: string; State: { Pid: number } }> {
  return JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as {
    LogPath: string;
    State: { Pid: number };
  };
}

/** The endings of a log's files: "" for the present one, "1.gz", "2" and so on. */
async function files(id: string): Promise<string[]> {
  const { LogPath } = await inspect(id);
  const own = readdirSync(dirname(LogPath)).filter((name) => name.startsWith(basename(LogPath)));
  return own.map((name) => name.slice(basename(LogPath).length + 1)).sort();
}
const allCompressed = (id: string): Promise<void> =>
  eventually("compression", async () => (await files(id)).every((name) => !name || name.endsWith(".gz")));

const parentOf = (pid: number): number => Number(/^PPid:\s+(\d+)/m.exec(statusOf(pid))?.[1]);
function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, "utf8");
}

/** Halts the process by which a monitor compresses now, if it does. */
function haltCompressor(monitor: number): number | undefined {
  const children = readFileSync(`/proc/${monitor}/task/${monitor}/children`, "utf8").trim().split(" ");
  for (const child of children.filter((pid) => pid !== "").map(Number))
    try {
      if (!readFileSync(`/proc/${child}/cmdline`, "utf8").endsWith("tsd-archive\0gzip\0")) continue;
      process.kill(child, "SIGSTOP");
      return child;
    } catch {
      // It has ended.
    }
  return undefined;
}

async function lines(id: string, ...words: string[]): Promise<string[]> {
  return (await daemon.cli("sh", ["-c", `docker logs ${words.join(" ")} ${id}`])).stdout.trim().split("\n");
}
const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, at) => String(from + at));

describe("compressed logs", () => {
  it("are read whole, from the tail on, since a time, and followed", async () => {
    const id = await run(
      options("20k", 50),
      "i=1; while [ $i -le 3000 ]; do echo $i; i=$((i+1)); [ $((i % 200)) = 0 ] && sleep 0.05; done",
    );
    const followed = lines(id, "--follow");
    await daemon.api("POST", `/containers/${id}/wait`);
    expect(await followed).toEqual(range(1, 3000));
    await allCompressed(id);
    expect((await files(id)).filter((name) => name).length).toBeGreaterThan(5);
    expect(await lines(id)).toEqual(range(1, 3000));
    expect(await lines(id, "--follow")).toEqual(range(1, 3000));
    for (const tail of [1, 500, 2999])
      expect(await lines(id, `--tail=${tail}`)).toEqual(range(3001 - tail, 3000));
    const stamped = (await lines(id, "--timestamps")).map((line) => line.split(" ")[0] ?? "");
    const kept = await lines(id, `--since=${stamped[999]}`, `--until=${stamped[1999]}`);
    expect(kept).toEqual(range(1000, 2000));
    expect((await lines(id, "--details")).length).toBe(3000);
  });

  it("keep no more than they may, however fast the container writes", async () => {
    const id = await run(options("1m", 3), "seq 1 1000000");
    await daemon.api("POST", `/containers/${id}/wait`);
    await allCompressed(id);
    expect(await files(id)).toEqual(["", "1.gz", "2.gz"]);
    const kept = await lines(id);
    expect(kept.length).toBeGreaterThan(20_000);
    expect(kept).toEqual(range(1_000_001 - kept.length, 1_000_000));
  });

  it.each(["the monitor", "the daemon", "both"])(
    "lose nothing when %s is killed meanwhile",
    async (victim) => {
      const last = 50_000;
      const id = await run(options("512k", 20), `sleep 0.5; seq 1 ${last}; exec sleep 1000`);
      const monitor = parentOf((await inspect(id)).State.Pid);
      let compressor: number | undefined;
      await eventually("compression", () => {
        compressor = haltCompressor(monitor);
        return compressor !== undefined;
      });
      await eventually("the last line", async () => (await lines(id, "--tail=1"))[0] === String(last));
      if (victim !== "the monitor") await daemon.end("SIGKILL");
      if (victim !== "the daemon") process.kill(monitor, "SIGKILL");
      if (victim !== "the monitor") await daemon.launch();
      expect(await lines(id)).toEqual(range(1, last));
      if (victim === "the daemon") {
        process.kill(compressor ?? 0, "SIGCONT");
        await allCompressed(id);
      } else {
        await eventually("the compressor's end", () => !existsSync(`/proc/${compressor}`));
        await eventually("its end", async () => (await inspect(id)).State.Pid === 0);
        expect((await files(id)).some((name) => /^\d+$/.test(name))).toBe(true);
        // The next life's monitor takes that up.
        expect((await daemon.tsctl("start", id)).stderr).toBe("");
        await eventually("the second life", async () => (await lines(id)).length >= 2 * last);
        await allCompressed(id);
        expect(await lines(id)).toEqual([...range(1, last), ...range(1, last)]);
      }
      expect((await lines(id, "--tail=20000")).length).toBe(20_000);
    },
  );

  it("of a container that is started again at once are compressed by both of its monitors", async () => {
    const id = await run([...options("2m", 100), "--restart", "on-failure:3"], "seq 1 100000; exit 1");
    await eventually("its last end", async () => {
      const { text } = await daemon.api("GET", `/containers/${id}/json`);
      const { RestartCount, State } = JSON.parse(text) as { RestartCount: number; State: { Status: string } };
      return RestartCount === 3 && State.Status === "exited";
    });
    await allCompressed(id);
    expect(await lines(id)).toEqual([1, 2, 3, 4].flatMap(() => range(1, 100_000)));
  });

  it("are local's without asking", async () => {
    const id = await run(["--log-driver", "local", "--log-opt", "max-size=20k"], "seq 1 1000");
    await daemon.api("POST", `/containers/${id}/wait`);
    expect(await lines(id)).toEqual(range(1, 1000));
  });

  it("can't be where nothing is rotated", async () => {
    for (const [words, message] of [
      [["compress=true"], "compress cannot be true when max-file is less than 2 or max-size is not set"],
      [["compress=maybe"], 'strconv.ParseBool: parsing "maybe": invalid syntax'],
    ] as const) {
      const Config = Object.fromEntries(words.map((word) => word.split("=")));
      const body = { Image: "busybox", HostConfig: { LogConfig: { Type: "json-file", Config } } };
      const { status, text } = await daemon.api("POST", "/containers/create", body);
      expect([status, text]).toEqual([400, expect.stringContaining(JSON.stringify(message).slice(1, -1))]);
    }
  });
});
