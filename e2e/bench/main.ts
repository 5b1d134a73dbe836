// The benchmark: tsd beside a real dockerd and a bare OCI runtime, in the same run on the same machine. Medians in
// milliseconds and ratios, as a table and (with --json FILE) as JSON. --only NAME,NAME measures some of its sections:
// containers, requests, audit, quota, names, networks, shaping, images, isolation, resources.
//
// TSD_PEER_RESTART: a command that kills the dockerd (which has live-restore on) and starts it again.
// TSD_PEER_DOCKER_HOST: the dockerd's socket, with an image busybox in it. TSD_PEER_RUNC: a command that starts and ends
// one bare container. Without them tsd is measured alone.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { output } from "../harness/command.ts";
import { repository, TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import type { AuditFigures } from "./audit-figures.ts";
import { Connection, type Engine, execTrue, life, median, program, sleeper, times } from "./engine.ts";
import { measureImages } from "./images.ts";
import { measureIsolation } from "./isolation.ts";
import {
  attachThroughput,
  logFollowing,
  logWriting,
  makeMany,
  removeMany,
  removeRunning,
  startMany,
  stopAndRemove,
  untilRunning,
} from "./life.ts";
import { measureNames } from "./names.ts";
import { measureNetworks } from "./networks.ts";
import { measureQuota } from "./quota.ts";
import { measureRequests } from "./requests.ts";
import { measureResources } from "./resources.ts";
import { measureShaping } from "./shaping.ts";
import { add, print } from "./table.ts";

const pss = (pid: number): number =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);

/** Medians of both engines, measured in turns so that both see the same weather. */
async function both(
  count: number,
  tsd: () => Promise<void>,
  peer: (() => Promise<void>) | undefined,
): Promise<[number, number | undefined]> {
  await times(3, tsd);
  if (peer) await times(1, peer);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < 3; round++) {
    ours.push(...(await times(count, tsd)));
    if (peer) theirs.push(...(await times(Math.ceil(count / 3), peer)));
  }
  const middle = (values: number[]): number => median(values.sort((a, b) => a - b));
  return [middle(ours), peer ? middle(theirs) : undefined];
}

/** Containers per second with 32 on their way at once. */
async function throughput(engine: Engine, total: number): Promise<number> {
  const connections = Array.from({ length: 32 }, () => new Connection(engine));
  let left = total;
  const start = performance.now();
  await Promise.all(
    connections.map(async (connection) => {
      while (left-- > 0) await life(connection);
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  for (const connection of connections) connection.close();
  return total / seconds;
}

const monitorPids = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "tsd-monitor";
      } catch {
        return false;
      }
    })
    .map(Number);

const peerHost = process.env.TSD_PEER_DOCKER_HOST;
const runc = process.env.TSD_PEER_RUNC;

async function measureContainers(): Promise<void> {
  const daemon = await TestDaemon.start("bench");
  try {
    await daemon.importBusybox();
    const tsd: Engine = { name: "tsd", socket: daemon.socket };
    const peer: Engine | undefined = peerHost
      ? { name: "dockerd", socket: peerHost.replace("unix://", "") }
      : undefined;
    const ours = new Connection(tsd);
    const theirs = peer && new Connection(peer);
    const docker = (host: string) => () =>
      program("docker", ["run", "--rm", "busybox", "true"], { DOCKER_HOST: host });

    add("idle daemon, resident (PSS)", "kB", pss(daemon.pid), undefined, "≤ 60000");

    const dockerRun = await both(15, docker(daemon.host), peerHost ? docker(peerHost) : undefined);
    add("docker run --rm busybox true", "ms", ...dockerRun, "≥ 7");
    const [tsctlRun] = await both(
      15,
      () => program(tsctlProgram, ["run", "--rm", "busybox", "true"], { TSD_HOST: daemon.host }),
      undefined,
    );
    add("tsctl run --rm busybox true (peer: docker)", "ms", tsctlRun, dockerRun[1], "≥ 4");
    const lives = await both(30, () => life(ours), theirs && (() => life(theirs)));
    add("create + start + wait + remove, one connection", "ms", ...lives, "≥ 15");
    if (runc) {
      const bare = median(await times(15, () => program("sh", ["-c", runc])));
      add("the same beside a bare runtime's run", "ms", lives[0], bare, "> 1");
    }
    add(
      "containers per second, 32 at once",
      "1/s",
      await throughput(tsd, 300),
      peer && (await throughput(peer, 48)),
      "≥ 10",
      true,
    );

    const box = await sleeper(ours);
    const theirBox = theirs && (await sleeper(theirs));
    const exec = await both(
      30,
      () => execTrue(ours, box),
      theirs && theirBox ? () => execTrue(theirs, theirBox) : undefined,
    );
    add("exec of true over the API", "ms", ...exec, "≥ 10");
    const [monitor = 0] = monitorPids();
    add("one monitor, resident (PSS)", "kB", pss(monitor), undefined, "≤ 150");
    await ours.send("DELETE", `/containers/${box}?force=1`);
    if (theirs && theirBox) await theirs.send("DELETE", `/containers/${theirBox}?force=1`);

    const rates = async (
      what: string,
      aim: string,
      measure: (engine: Engine, connection: Connection) => Promise<number>,
    ): Promise<void> => {
      const own: number[] = [];
      const others: number[] = [];
      for (let round = 0; round < 3; round++) {
        own.push(await measure(tsd, ours));
        if (peer && theirs) others.push(await measure(peer, theirs));
      }
      const middle = (values: number[]): number => median(values.sort((a, b) => a - b));
      add(what, "MB/s", middle(own), peer ? middle(others) : undefined, aim, true);
    };
    await rates("container's output into its log", "> 1", (_, connection) => logWriting(connection, 800_000));
    await rates("log to a client that follows", "> 1", (engine, connection) =>
      logFollowing(engine, connection, 800_000),
    );
    await rates("output to an attached client", "> 1", (engine, connection) =>
      attachThroughput(engine, connection, 1_600_000),
    );

    type Ending = "stop" | "remove" | "removeRunning";
    const ends: Record<Ending, [number[], number[]]> = {
      stop: [[], []],
      remove: [[], []],
      removeRunning: [[], []],
    };
    for (let round = 0; round < 15; round++)
      for (const [index, connection] of [ours, theirs].entries()) {
        if (!connection) continue;
        const { stop, remove } = await stopAndRemove(connection);
        ends.stop[index as 0 | 1].push(stop);
        ends.remove[index as 0 | 1].push(remove);
        ends.removeRunning[index as 0 | 1].push(await removeRunning(connection));
      }
    for (const [ending, what, aim] of [
      ["stop", "stop of a container", "> 1"],
      ["removeRunning", "remove of a running container, by force", "≥ 10"],
      ["remove", "remove of a stopped one (mostly the way there and back)", "≥ 10"],
    ] as const) {
      const [own, others] = ends[ending].map((values) => median(values.sort((a, b) => a - b)));
      add(what, "ms", own ?? 0, theirs ? others : undefined, aim);
    }
    const pings = await both(
      50,
      async () => void (await ours.send("GET", "/_ping")),
      theirs && (async () => void (await theirs.send("GET", "/_ping"))),
    );
    add("a ping: the way to the daemon and back", "ms", ...pings, "");

    const many = await makeMany(tsd, 1000);
    const theirMany = peer ? await makeMany(peer, 1000) : [];
    const lists = await both(
      10,
      async () => void (await ours.send("GET", "/containers/json?all=1")),
      theirs && (async () => void (await theirs.send("GET", "/containers/json?all=1"))),
    );
    add("list of 1,000 containers", "ms", ...lists, "> 1");
    await removeMany(tsd, many);
    if (peer) await removeMany(peer, theirMany);

    // A daemon that is killed and comes back to its containers. The peer needs live-restore, and a command to restart it.
    const restart = process.env.TSD_PEER_RESTART;
    const CONTAINERS = 100;
    await startMany(tsd, CONTAINERS);
    const comeBack: number[] = [];
    for (let round = 0; round < 3; round++) {
      await daemon.end("SIGKILL");
      const back = daemon.launch();
      comeBack.push(await untilRunning(tsd, CONTAINERS));
      await back;
    }
    let theirComeBack: number | undefined;
    if (peer && restart) {
      const ids = await startMany(peer, CONTAINERS);
      const back = program("sh", ["-c", restart]);
      theirComeBack = await untilRunning(peer, CONTAINERS);
      await back;
      await removeMany(peer, ids);
    }
    add(
      `${CONTAINERS} containers taken up by a new daemon`,
      "ms",
      median(comeBack.sort((a, b) => a - b)),
      theirComeBack,
      "> 1",
    );
    await daemon.clear();

    await throughput(tsd, 1000);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const first = pss(daemon.pid);
    await throughput(tsd, 1000);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const second = pss(daemon.pid);
    add("daemon after 1,000 containers (PSS)", "kB", first, undefined, "no growth");
    add("daemon after 1,000 more (PSS)", "kB", second, undefined, "no growth");
    ours.close();
    theirs?.close();
  } finally {
    await daemon.stop();
  }
}

async function measureAudit(): Promise<void> {
  const program = join(repository, "packages/daemon/dist/audit-figures.mjs");
  const figures = JSON.parse(await output(process.execPath, [program], { timeout: 300_000 })) as AuditFigures;
  add("audit record: append of one", "µs", figures.append, undefined, "");
  add(`audit record: verifying ${figures.records.toLocaleString("en")}`, "s", figures.verify, undefined, "");
}

const sections: Readonly<Record<string, () => Promise<void>>> = {
  containers: measureContainers,
  requests: () => measureRequests(peerHost),
  audit: measureAudit,
  quota: measureQuota,
  names: () => measureNames(peerHost),
  networks: () => measureNetworks(peerHost),
  shaping: measureShaping,
  images: () => measureImages(peerHost),
  isolation: measureIsolation,
  resources: measureResources,
};

const { values } = parseArgs({ options: { json: { type: "string" }, only: { type: "string" } } });
for (const name of values.only?.split(",") ?? Object.keys(sections)) {
  const section = sections[name];
  if (!section) throw new Error(`--only ${name}: not one of ${Object.keys(sections).join(", ")}`);
  await section();
}
print(values.json);
