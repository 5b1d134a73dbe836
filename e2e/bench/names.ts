// Names of containers: questions per second that the engine's name server answers in a container of a user-defined network,
// asked by dnsperf, where that is installed.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { Connection, type Engine, median } from "./engine.ts";
import { add } from "./table.ts";

const NETWORK = "bench-names";
const MEMBERS = 3;
const SECONDS = 3;
const ROUNDS = 3;
/** Questions on their way at once. */
const AT_ONCE = [10, 100];

export interface NameFigures {
  perSecond: number;
  /** Milliseconds. */
  p99: number;
}

/** One run in the network namespace of a process. dnsperf writes a line for each answer into a file: a reader would take its
 * share of the processors from the engine. */
export async function askNames(pid: number, questions: string, atOnce: number): Promise<NameFigures> {
  const told = `${questions}.told`;
  const words = `-v -s 127.0.0.11 -d ${questions} -l ${SECONDS} -c 10 -T 1 -q ${atOnce}`;
  await output("nsenter", [`--net=/proc/${pid}/ns/net`, "sh", "-c", `dnsperf ${words} >${told} 2>&1`], {
    timeout: 60_000,
  });
  const text = readFileSync(told, "utf8");
  const times = [...text.matchAll(/^> NOERROR \S+ \S+ ([0-9.]+)$/gm)].map((match) => Number(match[1]) * 1000);
  if (times.length === 0) throw new Error(`no name was found: ${text.slice(0, 500)}`);
  times.sort((a, b) => a - b);
  return {
    perSecond: Number(/per second:\s+([0-9.]+)/.exec(text)?.[1]),
    p99: times[Math.floor(times.length * 0.99)] ?? Number.NaN,
  };
}

/** Members of a service on a network of their own; returns the first one's process. */
async function startMembers(connection: Connection): Promise<number> {
  await connection.send("POST", "/networks/create", { Name: NETWORK });
  for (let member = 0; member < MEMBERS; member++) {
    const name = `${NETWORK}-${member}`;
    await connection.send("POST", `/containers/create?name=${name}`, {
      Image: "busybox",
      Cmd: ["sleep", "600"],
      HostConfig: { NetworkMode: NETWORK },
      NetworkingConfig: { EndpointsConfig: { [NETWORK]: { Aliases: ["service"] } } },
    });
    await connection.send("POST", `/containers/${name}/start`);
  }
  const text = await connection.send("GET", `/containers/${NETWORK}-0/json`);
  return (JSON.parse(text) as { State: { Pid: number } }).State.Pid;
}

async function removeMembers(connection: Connection): Promise<void> {
  for (let member = 0; member < MEMBERS; member++)
    await connection.send("DELETE", `/containers/${NETWORK}-${member}?force=1`).catch(() => undefined);
  await connection.send("DELETE", `/networks/${NETWORK}`).catch(() => undefined);
}

/** Adds the rows, both engines in turns. */
export async function measureNames(peerHost: string | undefined): Promise<void> {
  const installed = await output("dnsperf", ["-h"]).then(
    () => true,
    () => false,
  );
  if (!installed) {
    console.error("names: dnsperf is not installed; left out");
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), "tsd-bench-names-"));
  const questions = join(directory, "questions");
  writeFileSync(questions, `${NETWORK}-1 A\nservice A\n${NETWORK}-1 AAAA\n`);
  const daemon = await TestDaemon.start("bench-names");
  const engines: Engine[] = [{ name: "tsd", socket: daemon.socket }];
  if (peerHost) engines.push({ name: "dockerd", socket: peerHost.replace("unix://", "") });
  const connections = engines.map((engine) => new Connection(engine));
  try {
    await daemon.importBusybox();
    const pids: number[] = [];
    for (const connection of connections) pids.push(await startMembers(connection));
    for (const atOnce of AT_ONCE) {
      const figures: NameFigures[][] = pids.map(() => []);
      for (let round = 0; round < ROUNDS; round++)
        for (const [index, pid] of pids.entries())
          figures[index]?.push(await askNames(pid, questions, atOnce));
      const middle = (index: number, pick: (figure: NameFigures) => number): number =>
        median((figures[index] ?? []).map(pick).sort((a, b) => a - b));
      const row = (
        what: string,
        unit: string,
        pick: (figure: NameFigures) => number,
        higher: boolean,
      ): void =>
        add(what, unit, middle(0, pick), pids.length > 1 ? middle(1, pick) : undefined, "> 1", higher);
      row(`names, ${atOnce} at once: answers per second`, "1/s", ({ perSecond }) => perSecond, true);
      row(`names, ${atOnce} at once: 99th percentile`, "ms", ({ p99 }) => p99, false);
    }
  } finally {
    for (const connection of connections) {
      await removeMembers(connection);
      connection.close();
    }
    await daemon.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
