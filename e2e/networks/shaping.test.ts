// Shaping: rates held in both directions, classes that share, floods that harm nobody else, changes while it runs.
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

const installed = (process.env.PATH ?? "").split(":").some((directory) => existsSync(`${directory}/iperf3`));
let daemon: TestDaemon;
interface Peer {
  pid: number;
  address: string;
}
const peers = new Map<string, Peer>();
const peer = (name: string): Peer => peers.get(name) as Peer;

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  if (status !== 0) throw new Error(stderr.trim() || stdout.trim());
  return stdout.trim();
}
const fails = async (...words: string[]): Promise<string> => (await daemon.tsctl(...words)).stderr.trim();

async function start(name: string, ...words: string[]): Promise<void> {
  await tsctl("run", "-d", "--name", name, ...words, "busybox", "sleep", "900");
  const format = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
  const [pid, address = ""] = (await tsctl("inspect", "-f", format, name)).split(" ");
  peers.set(name, { pid: Number(pid), address });
}
const within = (name: string, ...words: string[]) =>
  run("nsenter", [`--net=/proc/${peer(name).pid}/ns/net`, ...words]);

interface Flow {
  from: string;
  to: string;
  port?: number;
  seconds?: number;
}

/** Megabits per second of TCP's payload that arrive, after a second to warm up. */
async function measure({ from, to, port = 5201, seconds = 3 }: Flow): Promise<number> {
  const server = within(to, "timeout", "30", "iperf3", "-s", "-1", "-p", String(port));
  await eventually("iperf3 listens", async () =>
    (await within(to, "ss", "-ltn")).stdout.includes(`:${port} `),
  );
  const words = ["-J", "-c", peer(to).address, "-p", String(port), "-t", String(seconds), "-O", "1"];
  const { stdout } = await within(from, "iperf3", ...words);
  await server;
  const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e6;
}

const PAYLOAD = 1400;

/** Megabits per second of datagrams' payload that arrive while far more is sent, after a second to warm up. */
async function flood({ from, to, seconds = 2 }: Flow): Promise<number> {
  const receiver = within(
    to,
    "timeout",
    "30",
    "python3",
    "-c",
    `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 5400)); s.settimeout(5)
s.recv(2000)
begin = time.monotonic() + 1
while time.monotonic() < begin: s.recv(2000)
total = 0
while (now := time.monotonic()) < begin + ${seconds}: total += len(s.recv(2000))
print(total * 8 / 1e6 / (now - begin))`,
  );
  const sender = within(
    from,
    "timeout",
    "30",
    "python3",
    "-c",
    `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("${peer(to).address}", 5400))
time.sleep(0.5)
end = time.monotonic() + ${seconds + 2}
while time.monotonic() < end:
    for _ in range(10):
        try: s.send(b"x" * ${PAYLOAD})
        except OSError: pass
    time.sleep(0.001)`,
  );
  const { stdout } = await receiver;
  await sender;
  return Number(stdout);
}

/** Of a frame of 1,514 bytes, TCP carries 1,448, and UDP here 1,400 of 1,442. */
const TCP_SHARE = 1448 / 1514;
const UDP_SHARE = PAYLOAD / 1442;
function expectRate(measured: number, rate: number, share: number): void {
  expect(measured / (rate * share)).toBeGreaterThan(0.95);
  expect(measured / (rate * share)).toBeLessThan(1.05);
}

beforeAll(async () => {
  if (!installed) return;
  daemon = await TestDaemon.start("shaping");
  await daemon.importBusybox();
  await start("shaped", "--net-rate-out", "1mbit", "--net-rate-in", "1mbit");
  await start("plain");
});
afterAll(async () => {
  if (installed) await daemon.stop();
});

// A machine that is busy otherwise may need another attempt: rates are measured in seconds of its time.
describe.skipIf(!installed)("a rate", () => {
  it.each([1, 10, 100, 1000])("of %i Mbit is held in both directions", { retry: 3 }, async (rate) => {
    // Each after the first is a change while the container runs.
    await tsctl("update", "--net-rate-out", `${rate}mbit`, "--net-rate-in", `${rate}mbit`, "shaped");
    // A slow one takes longer to be told from its beginning.
    const seconds = rate === 1 ? 6 : 3;
    expectRate(await measure({ from: "shaped", to: "plain", seconds }), rate, TCP_SHARE);
    expectRate(await measure({ from: "plain", to: "shaped", seconds }), rate, TCP_SHARE);
  });

  it("holds for UDP that asks for more", { retry: 3 }, async () => {
    await tsctl("update", "--net-rate-out", "20mbit", "--net-rate-in", "20mbit", "shaped");
    expectRate(await flood({ from: "shaped", to: "plain" }), 20, UDP_SHARE);
    expectRate(await flood({ from: "plain", to: "shaped" }), 20, UDP_SHARE);
  });

  it("stays as it is when something else is updated", async () => {
    await tsctl("update", "--memory", "64m", "shaped");
    expect(await tsctl("inspect", "-f", "{{.HostConfig.NetworkShape.Out.Rate}}", "shaped")).toBe("20000000");
    expect(await fails("update", "--net-rate-out", "30mbit", "--cpuset-cpus", "4095", "shaped")).not.toBe("");
    expect(await tsctl("net", "shape", "shaped")).toContain("20 Mbit");
  });

  it("is shown as the kernel has it, and outlives the daemon", async () => {
    expect(await tsctl("net", "shape", "shaped")).toMatch(
      /eth0 \(bridge\) +out +\(all\) +20 Mbit +tbf 1: +20 Mbit/,
    );
    await daemon.end("SIGKILL");
    await daemon.launch([daemonProgram]);
    const [shown] = JSON.parse(await tsctl("net", "shape", "-f", "json", "shaped")) as [
      { Out: { Kernel: { rate: number; bytes: number } } },
    ];
    expect(shown.Out.Kernel.rate).toBe(20_000_000);
    expect(shown.Out.Kernel.bytes).toBeGreaterThan(1_000_000);
  });

  it("is said of networks and endpoints by options, too", async () => {
    await tsctl("network", "create", "-o", "tsd.rate.out=5mbit", "slow");
    await start("by-network", "--network", "slow");
    await start("by-endpoint", "--network", "name=slow,driver-opt=tsd.rate.out=7mbit");
    expect(await tsctl("net", "shape", "by-network")).toContain("tbf 1:    5 Mbit");
    expect(await tsctl("net", "shape", "by-endpoint")).toContain("tbf 1:    7 Mbit");
    await tsctl("network", "connect", "slow", "plain");
    expect(await tsctl("net", "shape", "plain")).toMatch(/eth1 \(slow\) +out +\(all\) +5 Mbit +tbf/);
    await tsctl("network", "disconnect", "slow", "plain");
    await tsctl("rm", "-f", "by-network", "by-endpoint");
    await tsctl("network", "rm", "slow");
  });
});

describe.skipIf(!installed)("classes", () => {
  it("borrow up to their ceilings, and have their shares together", { retry: 3 }, async () => {
    await tsctl("rm", "-f", "services").catch(() => "");
    const classes = [
      "name=ftp,dir=out,port=5301,rate=50mbit,ceil=100mbit",
      "name=http,dir=out,port=5302,rate=30mbit,ceil=100mbit",
      "name=snmp,dir=out,port=5303,rate=20mbit,ceil=40mbit",
    ];
    await start("services", "--net-rate-out", "100mbit", ...classes.flatMap((one) => ["--net-class", one]));
    const flow = (port: number): Promise<number> =>
      measure({ from: "services", to: "plain", port, seconds: 3 });
    expectRate(await flow(5301), 100, TCP_SHARE);
    expectRate(await flow(5303), 40, TCP_SHARE);
    const together = await Promise.all([5301, 5302, 5303].map(flow));
    for (const [index, share] of [50, 30, 20].entries()) {
      expect((together[index] ?? 0) / (share * TCP_SHARE)).toBeGreaterThan(0.9);
      expect((together[index] ?? 0) / (share * TCP_SHARE)).toBeLessThan(1.1);
    }
    const shown = await tsctl("net", "shape", "services");
    expect(shown).toMatch(/ftp +50 Mbit +htb 1:10 +50 Mbit +100 Mbit/);
    expect(shown).toContain("(the rest)");
  });
});

describe.skipIf(!installed)("floods", () => {
  it("of packets and of connections are cut off", async () => {
    await tsctl(
      "update",
      "--net-rate-out",
      "none",
      "--net-rate-in",
      "none",
      "--net-packets-out",
      "500",
      "shaped",
    );
    const arriving = await flood({ from: "shaped", to: "plain" });
    const packets = (arriving * 1e6) / 8 / PAYLOAD;
    expect(packets).toBeGreaterThan(400);
    expect(packets).toBeLessThan(600);
    await tsctl("update", "--net-packets-out", "none", "--net-connections-out", "10", "shaped");
    const program = `
import socket, time
reached = 0
end = time.monotonic() + 2
while time.monotonic() < end:
    s = socket.socket(); s.settimeout(0.02)
    try: s.connect(("${peer("plain").address}", 9)); reached += 1
    except ConnectionRefusedError: reached += 1
    except (TimeoutError, OSError): pass
    s.close()
print(reached)`;
    const reached = Number((await within("shaped", "python3", "-c", program)).stdout);
    expect(reached).toBeGreaterThan(8);
    expect(reached).toBeLessThan(45);
    await tsctl("update", "--net-connections-out", "none", "shaped");
  });

  it("from a shaped container leave others as they are", { retry: 3 }, async () => {
    await tsctl("rm", "-f", "third").catch(() => "");
    await start("third");
    const ping = async (): Promise<number> => {
      const { stdout } = await daemon.tsctl(
        "exec",
        "third",
        "ping",
        "-c",
        "20",
        "-i",
        "0.05",
        peer("plain").address,
      );
      return Number(/= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1]);
    };
    const quiet = await ping();
    await tsctl("update", "--net-rate-out", "10mbit", "shaped");
    const flooding = flood({ from: "shaped", to: "plain", seconds: 3 });
    const meanwhile = await ping();
    expectRate(await flooding, 10, UDP_SHARE);
    // Milliseconds; a tenth more, and what the machine's own load makes of so short a time.
    expect(meanwhile).toBeLessThan(quiet * 1.1 + 0.5);
  });
});

describe.skipIf(!installed)("what can't be", () => {
  it.each([
    [["--net-class", "name=a,rate=1mbit,proto=xyz"], 'NetworkShape.Classes.0: invalid protocol "xyz"'],
    [["--net-class", "name=a,port=1"], "NetworkShape.Classes.0: a class needs a rate"],
    [["--net-class", "name=a,rate=2mbit,ceil=1mbit"], "the ceiling is below the rate"],
    [["--net-rate-out", "1mbit", "--net-class", "name=a,rate=2mbit"], "together have more than its rate"],
    [["--network", "name=bridge,driver-opt=tsd.rate.out=fast"], 'tsd.rate.out: invalid rate "fast"'],
    [["--network", "name=bridge,driver-opt=tsd.speed=1"], "unknown option tsd.speed"],
  ])("%j is refused", async (words, message) => {
    expect(await fails("run", "--rm", ...words, "busybox", "true")).toContain(message);
  });

  it("leaves nothing, as what ends does not", async () => {
    await daemon.clear();
    const host = (...words: string[]): Promise<string> =>
      output("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...words]);
    expect(await host("ip", "-o", "link")).not.toContain("ifb");
    expect(await host("nft", "list", "table", "bridge", "tsd-flood")).not.toMatch(/out-|in-/);
    // A daemon that is killed leaves the ifbs of what ends while it is away to the next.
    await start("orphan", "--net-rate-out", "1mbit");
    await daemon.end("SIGKILL");
    process.kill(peer("orphan").pid, "SIGKILL");
    await daemon.launch([daemonProgram]);
    await eventually("no ifb is left", async () => !(await host("ip", "-o", "link")).includes("ifb"));
  });
});
