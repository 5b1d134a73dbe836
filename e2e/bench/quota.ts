// What a limit on what a container writes costs: create and start with one, beside one without, in turns.
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { Connection, median } from "./engine.ts";
import { add } from "./table.ts";

const ROUNDS = 60;

interface Costs {
  create: number[];
  start: number[];
  remove: number[];
}

async function once(connection: Connection, StorageOpt: object, costs: Costs): Promise<void> {
  const begin = performance.now();
  const text = await connection.send("POST", "/containers/create", {
    Image: "busybox",
    Cmd: ["sleep", "1000"],
    HostConfig: { StorageOpt },
  });
  const created = performance.now();
  const { Id } = JSON.parse(text) as { Id: string };
  await connection.send("POST", `/containers/${Id}/start`);
  const started = performance.now();
  await connection.send("DELETE", `/containers/${Id}?force=1`);
  costs.create.push(created - begin);
  costs.start.push(started - created);
  costs.remove.push(performance.now() - started);
}

/** Adds the rows of one driver. The first limited container, which makes the pool, is not counted. */
async function measureDriver(driver: string): Promise<void> {
  const flags = ["--storage-opt", `quota-driver=${driver}`];
  const daemon = await TestDaemon.start("bench-quota", [daemonProgram], { flags });
  try {
    await daemon.importBusybox();
    const connection = new Connection({ name: "tsd", socket: daemon.socket });
    const plain: Costs = { create: [], start: [], remove: [] };
    const limited: Costs = { create: [], start: [], remove: [] };
    const warmth: Costs = { create: [], start: [], remove: [] };
    for (let round = 0; round < 5; round++) await once(connection, { size: "1g" }, warmth);
    for (let round = 0; round < ROUNDS; round++) {
      await once(connection, {}, plain);
      await once(connection, { size: "1g" }, limited);
    }
    connection.close();
    const middle = (values: number[]): number => median(values.sort((a, b) => a - b));
    const whole = ({ create, start }: Costs): number[] =>
      create.map((milliseconds, index) => milliseconds + (start[index] ?? 0));
    add(
      `create and start with a quota (${driver}; peer: without one)`,
      "ms",
      middle(whole(limited)),
      middle(whole(plain)),
      "≤ 3 ms more",
    );
    add(
      `removal by force with a quota (${driver}; peer: without one)`,
      "ms",
      middle(limited.remove),
      middle(plain.remove),
      "",
    );
  } finally {
    await daemon.stop();
  }
}

/** TSD_BENCH_QUOTA_DRIVERS names the drivers. */
export async function measureQuota(): Promise<void> {
  for (const driver of (process.env.TSD_BENCH_QUOTA_DRIVERS ?? "btrfs,ext4").split(","))
    await measureDriver(driver);
}
