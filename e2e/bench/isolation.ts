// Isolation under measurement: what it costs a start, explaining a plan, and verifying containers.
import { TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { Connection, type Engine, median, program, sleeper, times } from "./engine.ts";
import { startMany } from "./life.ts";
import { add } from "./table.ts";
import { inTurns, longestWait } from "./turns.ts";

const CONTAINERS = 200;
/** Everything that can be turned off. */
const unprotected = {
  UsernsMode: "host",
  SecurityOpt: ["seccomp=unconfined"],
  MaskedPaths: [],
  ReadonlyPaths: [],
  CapAdd: ["ALL"],
  PidsLimit: -1,
};

export async function measureIsolation(): Promise<void> {
  const daemon = await TestDaemon.start("bench-isolation");
  try {
    await daemon.importBusybox();
    const engine: Engine = { name: "tsd", socket: daemon.socket };
    const connection = new Connection(engine);
    const turns = await inTurns(connection, [{}, unprotected], 100);
    const [whole = 0, none = 0] = turns.map(({ start }) => start);
    add("start, with the default isolation", "ms", whole, undefined, "");
    add("start, with none of it", "ms", none, undefined, "");
    add("what the default isolation costs", "ms", whole - none, undefined, "< 1");
    const id = await sleeper(connection);
    const explain = async (): Promise<void> =>
      void (await connection.send("GET", `/tsd/containers/${id}/explain`));
    await times(20, explain);
    add("explain of a running container", "ms", median(await times(50, explain)), undefined, "< 20");
    const request = {
      Image: "busybox",
      Cmd: ["true"],
      HostConfig: { Memory: 64 << 20, ReadonlyRootfs: true },
    };
    const wouldBe = async (): Promise<void> => void (await connection.send("POST", "/tsd/explain", request));
    await times(20, wouldBe);
    add("explain of a would-be run", "ms", median(await times(50, wouldBe)), undefined, "< 20");
    const words = ["explain", "run", "-m", "64m", "busybox", "true"];
    const client = (): Promise<void> => program(tsctlProgram, words, { TSD_HOST: daemon.host });
    add("tsctl explain run, the program and all", "ms", median(await times(15, client)), undefined, "");

    const one = async (): Promise<void> =>
      void (await connection.send("GET", `/tsd/containers/${id}/verify`));
    await times(3, one);
    add("verify of one container", "ms", median(await times(20, one)), undefined, "");
    await startMany(engine, CONTAINERS - 1);
    const all = async (): Promise<void> => void (await connection.send("GET", "/tsd/verify"));
    await times(2, all);
    add(`verify of ${CONTAINERS} containers`, "ms", median(await times(7, all)), undefined, "< 1000");
    const waits: number[] = [];
    for (let round = 0; round < 5; round++) waits.push(await longestWait(engine, all));
    add("longest wait for a ping meanwhile", "ms", median(waits.sort((a, b) => a - b)), undefined, "a few");
    connection.close();
  } finally {
    await daemon.stop();
  }
}
