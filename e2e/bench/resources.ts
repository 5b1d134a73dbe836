// Resources under measurement: what limits cost a start, and what watching many containers costs the daemon.
import { readFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { diskOf } from "../harness/disk.ts";
import { Connection, type Engine, median } from "./engine.ts";
import { startMany } from "./life.ts";
import { add } from "./table.ts";
import { inTurns, longestWait } from "./turns.ts";

const CONTAINERS = 500;
const ROUNDS = 100;
const MEBIBYTE = 1 << 20;
const TICKS_PER_SECOND = 100;
/** Milliseconds until a daemon that has started many containers does only what it does always. */
const SETTLING = 45_000;

/** A value for every limit that there is, but a quota. */
function everyLimit(disk: string | undefined): object {
  const throttle = disk ? [{ Path: disk, Rate: 100 * MEBIBYTE }] : [];
  const operations = disk ? [{ Path: disk, Rate: 10_000 }] : [];
  return {
    CpuShares: 512,
    CpuPeriod: 100_000,
    CpuQuota: 150_000,
    CpusetCpus: "0-1",
    CpusetMems: "0",
    Memory: 256 * MEBIBYTE,
    MemorySwap: 512 * MEBIBYTE,
    MemoryReservation: 128 * MEBIBYTE,
    MemorySwappiness: 10,
    KernelMemoryTCP: 16 * MEBIBYTE,
    PidsLimit: 100,
    OomScoreAdj: 100,
    BlkioWeight: 300,
    BlkioDeviceReadBps: throttle,
    BlkioDeviceWriteBps: throttle,
    BlkioDeviceReadIOps: operations,
    BlkioDeviceWriteIOps: operations,
    ShmSize: 32 * MEBIBYTE,
    Tmpfs: { "/tmp": "size=16m" },
    Sysctls: { "net.core.somaxconn": "1024" },
    Ulimits: [
      { Name: "nofile", Soft: 1024, Hard: 2048 },
      { Name: "core", Soft: 0, Hard: 0 },
    ],
    Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/nothing", CgroupPermissions: "r" }],
    DeviceCgroupRules: ["c 10:200 rwm"],
  };
}

async function measureLimits(driver: string): Promise<void> {
  const flags = ["--storage-opt", `quota-driver=${driver}`];
  const daemon = await TestDaemon.start("bench-resources", [daemonProgram], { flags });
  try {
    await daemon.importBusybox();
    const limits = everyLimit(await diskOf(daemon.root));
    const StorageOpt = { size: "1g" };
    const connection = new Connection({ name: "tsd", socket: daemon.socket });
    const settings = [{}, limits, { StorageOpt }, { ...limits, StorageOpt }];
    await inTurns(connection, settings, 5); // the first one makes the pool
    const [plain, limited, quota, both] = await inTurns(connection, settings, ROUNDS);
    connection.close();
    if (!plain || !limited || !quota || !both) throw new Error("not every setting was measured");
    const what = (text: string): string => `${text} (${driver}; peer: without)`;
    add(what("start with all limits and a quota"), "ms", both.start, plain.start, "< 3 ms more");
    add(what("create and start with all limits and a quota"), "ms", both.made, plain.made, "< 3 ms more");
    add(what("create and start with all limits, no quota"), "ms", limited.made, plain.made, "");
    add(what("create and start with a quota alone"), "ms", quota.made, plain.made, "");
    add(what("removal with all limits and a quota"), "ms", both.remove, plain.remove, "");
  } finally {
    await daemon.stop();
  }
}

/** Milliseconds of processor time that a process has used. */
function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** Processor time of a process in each of several rounds of some work. */
async function costOf(pid: number, rounds: number, work: () => Promise<unknown>): Promise<number> {
  const before = processorTime(pid);
  for (let round = 0; round < rounds; round++) await work();
  return (processorTime(pid) - before) / rounds;
}

/** Opens a stream of statistics for each of many containers, as `docker stats` does; returns what ends them all. */
async function watchAll(engine: Engine, ids: readonly string[]): Promise<() => void> {
  const agent = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });
  const streams = ids.map(
    (id) =>
      new Promise<() => void>((resolve, reject) => {
        const sending = get(
          { socketPath: engine.socket, path: `/containers/${id}/stats?stream=1`, agent },
          (response) => {
            response.on("error", () => undefined); // it is we who end it
            response.resume();
            resolve(() => response.destroy());
          },
        );
        sending.on("error", reject);
      }),
  );
  const ends = await Promise.all(streams);
  return () => {
    for (const end of ends) end();
    agent.destroy();
  };
}

async function measureStatistics(): Promise<void> {
  const daemon = await TestDaemon.start("bench-stats");
  try {
    await daemon.importBusybox();
    const engine: Engine = { name: "tsd", socket: daemon.socket };
    const ids = await startMany(engine, CONTAINERS);
    await delay(SETTLING); // starting them leaves things to do, and code to compile that runs often
    const ROUND = 5000;
    const idle = await costOf(daemon.pid, 6, () => delay(ROUND));
    add(`the daemon's own look at ${CONTAINERS} containers`, "ms CPU", idle, undefined, "< 50");
    const waits: number[] = [];
    for (let round = 0; round < 3; round++) waits.push(await longestWait(engine, () => delay(ROUND)));
    add("longest wait for a ping meanwhile", "ms", median(waits.sort((a, b) => a - b)), undefined, "");

    const end = await watchAll(engine, ids);
    await delay(SETTLING / 3);
    const second = await costOf(daemon.pid, 20, () => delay(1000));
    add(`streams of statistics of ${CONTAINERS}, each second`, "ms CPU", second, undefined, "< 50");
    const longest = await longestWait(engine, () => delay(ROUND));
    add("longest wait for a ping meanwhile", "ms", longest, undefined, "");
    end();
    await delay(1000);

    const connection = new Connection(engine);
    const asked = await costOf(daemon.pid, 5, async () => {
      for (const id of ids) await connection.send("GET", `/containers/${id}/stats?stream=0&one-shot=1`);
    });
    add(`one request for each of ${CONTAINERS}, one after the other`, "ms CPU", asked, undefined, "");
    connection.close();
  } finally {
    await daemon.stop();
  }
}

/** TSD_BENCH_QUOTA_DRIVERS names the drivers. */
export async function measureResources(): Promise<void> {
  for (const driver of (process.env.TSD_BENCH_QUOTA_DRIVERS ?? "btrfs,ext4").split(","))
    await measureLimits(driver);
  await measureStatistics();
}
