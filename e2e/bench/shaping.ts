// Shaping: how near rates are held, what shaped starts and ends cost, and what is left to others while one container floods.
import { TestDaemon } from "../harness/daemon.ts";
import { Flows, hasIperf, JUMBO_PAYLOAD, JUMBO_SHARE, TCP_SHARE, UDP_SHARE } from "../networks/flows.ts";
import { Connection, median } from "./engine.ts";
import { add } from "./table.ts";

const LIVES = 40;
const ROUNDS = 3;

const middle = (values: number[]): number => median(values.sort((a, b) => a - b));

async function repeat(measure: () => Promise<number>): Promise<number> {
  const figures: number[] = [];
  for (let round = 0; round < ROUNDS; round++) figures.push(await measure());
  return middle(figures);
}

/** Starts and ends with and without shapes, in turns. */
async function lives(daemon: TestDaemon): Promise<void> {
  const connection = new Connection({ name: "tsd", socket: daemon.socket });
  const kinds = {
    plain: {},
    shaped: { NetworkShape: { Out: { Rate: 10e6 }, In: { Rate: 10e6 } } },
  };
  const figures = { plain: [[], []] as [number[], number[]], shaped: [[], []] as [number[], number[]] };
  for (let round = 0; round < LIVES; round++)
    for (const kind of ["plain", "shaped"] as const) {
      const HostConfig = kinds[kind];
      const asked = { Image: "busybox", Cmd: ["sleep", "100"], HostConfig };
      const { Id } = JSON.parse(await connection.send("POST", "/containers/create", asked)) as { Id: string };
      const begin = performance.now();
      await connection.send("POST", `/containers/${Id}/start`);
      const started = performance.now();
      await connection.send("POST", `/containers/${Id}/kill`);
      await connection.send("POST", `/containers/${Id}/wait`);
      figures[kind][0].push(started - begin);
      figures[kind][1].push(performance.now() - started);
      await connection.send("DELETE", `/containers/${Id}?force=1`);
    }
  connection.close();
  const [start, end] = figures.shaped.map(middle);
  const [plainStart, plainEnd] = figures.plain.map(middle);
  add("start with a rate in both directions (peer: without)", "ms", start ?? 0, plainStart, "≈ 1");
  add("kill and end of it (peer: without)", "ms", end ?? 0, plainEnd, "≈ 1");
}

/** Of what a rate lets through, as a part of the rate; 1 is exact. */
async function rates(flows: Flows): Promise<void> {
  await flows.tsctl("network", "create", "-o", "com.docker.network.driver.mtu=9000", "jumbo");
  await flows.start("shaped");
  await flows.start("plain");
  await flows.start("fast", "--network", "jumbo");
  await flows.start("wide", "--network", "jumbo");
  const ways = [
    ["out", 0, 1],
    ["in", 1, 0],
  ] as const;
  for (const rate of [1, 10, 100, 1000]) {
    // Two processors do not send, lead through and receive 86,000 small packets per second.
    const pair = rate === 1000 ? ["fast", "wide"] : ["shaped", "plain"];
    const [tcpShare, udpShare, payload] =
      rate === 1000 ? [8948 / 9014, JUMBO_SHARE, JUMBO_PAYLOAD] : [TCP_SHARE, UDP_SHARE, undefined];
    await flows.tsctl("update", "--net-rate-out", `${rate}m`, "--net-rate-in", `${rate}m`, pair[0] ?? "");
    for (const [way, from, to] of ways) {
      const flow = { from: pair[from] ?? "", to: pair[to] ?? "", seconds: rate === 1 ? 6 : 3 };
      const tcp = await repeat(() => flows.tcp(flow));
      const udp = await repeat(() => flows.udp(flow, rate * 1.3, payload));
      add(`TCP ${way}, held to ${rate} Mbit (whole frames)`, "Mbit/s", tcp / tcpShare, undefined, "± 5 %");
      add(`UDP ${way}, held to ${rate} Mbit (whole frames)`, "Mbit/s", udp / udpShare, undefined, "± 5 %");
    }
  }
}

/** One container's bytes and round trips while another floods the same receiver, beside when nobody does. */
async function floods(flows: Flows): Promise<void> {
  await flows.start("flooding");
  await flows.start("other", "--net-rate-out", "500mbit");
  await flows.start("target");
  const other = { from: "other", to: "target" };
  const quiet = {
    tcp: await repeat(() => flows.tcp(other)),
    ping: await repeat(() => flows.ping("other", "target")),
  };
  for (const [what, words] of [
    ["without a limit", ["--net-rate-out", "none"]],
    ["at 100 Mbit", ["--net-rate-out", "100mbit"]],
    ["at 5,000 packets/s", ["--net-rate-out", "none", "--net-packets-out", "5000"]],
  ] as const) {
    await flows.tsctl("update", ...words, "flooding");
    const flooding = flows.udp(
      { from: "flooding", to: "target", seconds: 24 },
      what.startsWith("w") ? 0 : 300,
    );
    const tcp = await repeat(() => flows.tcp(other));
    const ping = await repeat(() => flows.ping("other", "target"));
    await flooding.catch(() => 0);
    add(`another's TCP at 500 Mbit, a flood ${what} (peer: none)`, "Mbit/s", tcp, quiet.tcp, "≥ 0.9", true);
    add(`another's ping, a flood ${what} (peer: none)`, "ms", ping, quiet.ping, "≥ 0.9");
  }
}

export async function measureShaping(): Promise<void> {
  if (!hasIperf) {
    console.error("shaping: iperf3 is not installed; left out");
    return;
  }
  const daemon = await TestDaemon.start("bench-shaping");
  try {
    await daemon.importBusybox();
    await lives(daemon);
    const flows = new Flows(daemon);
    await rates(flows);
    await floods(flows);
    await daemon.clear();
  } finally {
    await daemon.stop();
  }
}
