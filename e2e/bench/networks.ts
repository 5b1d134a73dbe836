// Networks: what a published port or three networks add to a start, the 200th container with a port, bytes per second
// between containers and through a published port, and a change of policy among 200 containers.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { Connection, type Engine, median } from "./engine.ts";
import { add } from "./table.ts";

const MANY = 200;
const SECONDS = 2;
const ROUNDS = 15;
const BANDWIDTH_ROUNDS = 7;

type Host = Record<string, unknown>;

const middle = (values: number[]): number => median(values.sort((a, b) => a - b));

async function create(connection: Connection, host: Host, networks: readonly string[] = []): Promise<string> {
  const text = await connection.send("POST", "/containers/create", {
    Image: "busybox",
    Cmd: ["sleep", "600"],
    ExposedPorts: { "80/tcp": {}, "5201/tcp": {} },
    HostConfig: host,
    ...(networks.length > 0
      ? { NetworkingConfig: { EndpointsConfig: Object.fromEntries(networks.map((name) => [name, {}])) } }
      : {}),
  });
  return (JSON.parse(text) as { Id: string }).Id;
}

/** Milliseconds of a start alone. */
async function startTime(connection: Connection, id: string): Promise<number> {
  const begin = performance.now();
  await connection.send("POST", `/containers/${id}/start`);
  return performance.now() - begin;
}

const remove = (connection: Connection, id: string): Promise<string> =>
  connection.send("DELETE", `/containers/${id}?force=1`);

interface Shown {
  State: { Pid: number };
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> };
}
const inspect = async (connection: Connection, id: string): Promise<Shown> =>
  JSON.parse(await connection.send("GET", `/containers/${id}/json`)) as Shown;

/** A row of starts, both engines in turns. */
async function starts(
  what: string,
  connections: readonly Connection[],
  make: (connection: Connection) => Promise<string>,
): Promise<void> {
  const figures: number[][] = connections.map(() => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, connection] of connections.entries()) {
      const id = await make(connection);
      figures[index]?.push(await startTime(connection, id));
      await remove(connection, id);
    }
  const [ours = [], theirs] = figures;
  add(what, "ms", middle(ours), theirs ? middle(theirs) : undefined, "> 1");
}

interface Bandwidth {
  /** Gigabits per second. */
  rate: number;
  /** Seconds of processor time that both ends take for a gigabyte: what other work on the machine changes little of. */
  processor: number;
}

/** From a client in one network namespace to a server in another. */
async function bandwidth(
  server: readonly string[],
  client: readonly string[],
  address: string,
  port: number,
): Promise<Bandwidth> {
  const serving: ChildProcess = spawn("nsenter", [...server, "iperf3", "-s", "-1", "-p", "5201"], {
    stdio: "ignore",
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  try {
    const words = ["iperf3", "-J", "-c", address, "-p", String(port), "-t", String(SECONDS)];
    const { end } = JSON.parse(await output("nsenter", [...client, ...words])) as {
      end: {
        sum_received: { bits_per_second: number; bytes: number };
        cpu_utilization_percent: { host_total: number; remote_total: number };
      };
    };
    const { host_total, remote_total } = end.cpu_utilization_percent;
    return {
      rate: end.sum_received.bits_per_second / 1e9,
      processor: (((host_total + remote_total) / 100) * SECONDS * 1e9) / end.sum_received.bytes,
    };
  } finally {
    serving.kill();
  }
}

const namespaceOf = (pid: number): string[] => [`--net=/proc/${pid}/ns/net`];

/** The dockerd's own network namespace, found by its process. */
export function peerNamespace(): string[] {
  const pid = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .find((name) => {
      try {
        return readFileSync(`/proc/${name}/comm`, "utf8").trim() === "dockerd";
      } catch {
        return false;
      }
    });
  if (!pid) throw new Error("the peer's dockerd is not running here");
  return namespaceOf(Number(pid));
}

async function bandwidths(connections: readonly Connection[], hosts: readonly string[][]): Promise<void> {
  const pairs = await Promise.all(
    connections.map(async (connection) => {
      const server = await create(connection, {
        NetworkMode: "bench-net",
        PortBindings: { "5201/tcp": [{ HostPort: "15201" }] },
      });
      const client = await create(connection, { NetworkMode: "bench-net" });
      for (const id of [server, client]) await connection.send("POST", `/containers/${id}/start`);
      const [there, here] = [await inspect(connection, server), await inspect(connection, client)];
      const endpoint = there.NetworkSettings.Networks["bench-net"];
      return {
        ids: [server, client],
        server: namespaceOf(there.State.Pid),
        client: namespaceOf(here.State.Pid),
        address: endpoint?.IPAddress ?? "",
        gateway: endpoint?.Gateway ?? "",
      };
    }),
  );
  const between: Bandwidth[][] = pairs.map(() => []);
  const published: Bandwidth[][] = pairs.map(() => []);
  // In turns, like everything else: both see the same weather.
  for (let round = 0; round < BANDWIDTH_ROUNDS; round++)
    for (const [index, { server, client, address, gateway }] of pairs.entries()) {
      between[index]?.push(await bandwidth(server, client, address, 5201));
      // From the host, by an address of its own.
      published[index]?.push(await bandwidth(server, hosts[index] ?? [], gateway, 15201));
    }
  for (const [index, { ids }] of pairs.entries())
    for (const id of ids) await remove(connections[index] as Connection, id);
  const row = (what: string, figures: Bandwidth[][]): void => {
    const [ours = 0, theirs] = figures.map((list) => middle(list.map(({ rate }) => rate)));
    add(what, "Gbit/s", ours, theirs, "≥ 1", true);
    const [own = 0, others] = figures.map((list) => middle(list.map(({ processor }) => processor)));
    add(`${what}: processor time for a GB`, "s", own, others, "≥ 1");
  };
  row("TCP between two containers", between);
  row("TCP through a published port", published);
}

/** Starts with a port where so many containers have one already, in turns with starts where nobody has. */
async function manyPorts(crowded: Connection): Promise<void> {
  const daemon = await TestDaemon.start("bench-first-port");
  const empty = new Connection({ name: "tsd", socket: daemon.socket });
  try {
    await daemon.importBusybox();
    const make = (connection: Connection, port: number): Promise<string> =>
      create(connection, { PortBindings: { "80/tcp": [{ HostPort: String(port) }] } });
    const ids: string[] = [];
    for (let number = 1; number < MANY; number++) {
      const id = await make(crowded, 20_000 + number);
      await startTime(crowded, id);
      ids.push(id);
    }
    const connections = [crowded, empty];
    const figures: [number[], number[]] = [[], []];
    for (let round = 0; round < 4 * ROUNDS; round++)
      for (const [index, connection] of connections.entries()) {
        const id = await make(connection, 19_000);
        const time = await startTime(connection, id);
        // The new daemon's code is cold at first.
        if (round >= ROUNDS) figures[index]?.push(time);
        await remove(connection, id);
      }
    const [last, first] = figures.map(middle);
    add(`start with a port, the ${MANY}th (peer: tsd's first)`, "ms", last ?? 0, first, "≥ 0.67");
    for (const id of ids) await remove(crowded, id);
  } finally {
    empty.close();
    await daemon.stop();
  }
}

async function policyChange(connection: Connection): Promise<void> {
  await connection.send("POST", "/networks/create", { Name: "bench-policy" });
  const ids: string[] = [];
  for (let number = 0; number < MANY; number++) {
    const text = await connection.send("POST", "/containers/create", {
      Image: "busybox",
      Cmd: ["sleep", "600"],
      Labels: { app: `a${number % 12}` },
      HostConfig: { NetworkMode: "bench-policy" },
    });
    const { Id } = JSON.parse(text) as { Id: string };
    await connection.send("POST", `/containers/${Id}/start`);
    ids.push(Id);
  }
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const Rules = Array.from({ length: 50 }, (_, number) => ({
      From: `app=a${number % 12}`,
      To: `app=a${(number + round) % 12}`,
      Allow: [`tcp/${1000 + number}`],
    }));
    const begin = performance.now();
    await connection.send("PUT", "/tsd/policies/bench-policy", { Default: "deny", Rules });
    times.push(performance.now() - begin);
  }
  add(`a change of a policy of 50 rules, ${MANY} containers`, "ms", middle(times), undefined, "≤ 50");
  for (const id of ids) await remove(connection, id);
  await connection.send("DELETE", "/networks/bench-policy");
}

/** Adds the rows, both engines in turns. */
export async function measureNetworks(peerHost: string | undefined): Promise<void> {
  const daemon = await TestDaemon.start("bench-networks");
  const engines: Engine[] = [{ name: "tsd", socket: daemon.socket }];
  if (peerHost) engines.push({ name: "dockerd", socket: peerHost.replace("unix://", "") });
  const connections = engines.map((engine) => new Connection(engine));
  const names = ["bench-net", "bench-net2", "bench-net3"];
  try {
    await daemon.importBusybox();
    for (const connection of connections)
      for (const Name of names) await connection.send("POST", "/networks/create", { Name });
    await starts("start, default network", connections, (connection) => create(connection, {}));
    const ports = { PortBindings: { "80/tcp": [{ HostPort: "18080" }] } };
    await starts("start with one published port", connections, (connection) => create(connection, ports));
    await starts("start in a user's network", connections, (connection) =>
      create(connection, { NetworkMode: "bench-net" }),
    );
    await starts("start in three networks", connections, (connection) =>
      create(connection, { NetworkMode: "bench-net" }, names),
    );
    const making: number[][] = connections.map(() => []);
    for (let round = 0; round < ROUNDS; round++)
      for (const [index, connection] of connections.entries()) {
        const begin = performance.now();
        await connection.send("POST", "/networks/create", { Name: "bench-made" });
        await connection.send("DELETE", "/networks/bench-made");
        making[index]?.push(performance.now() - begin);
      }
    add("a network made and removed", "ms", middle(making[0] ?? []), making[1] && middle(making[1]), "> 1");
    const hosts = [[`--net=/run/netns/${daemon.namespace}`], ...(peerHost ? [peerNamespace()] : [])];
    await bandwidths(connections, hosts);
    await manyPorts(connections[0] as Connection);
    await policyChange(connections[0] as Connection);
  } finally {
    for (const connection of connections) {
      for (const name of names) await connection.send("DELETE", `/networks/${name}`).catch(() => undefined);
      connection.close();
    }
    await daemon.stop();
  }
}
