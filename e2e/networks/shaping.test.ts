// Shaping: rates held in both directions by TCP and UDP, classes that share, changes while it runs, and what can't be.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { expectRate } from "./expect-rate.ts";
import { Flows, hasIperf, JUMBO_PAYLOAD, JUMBO_SHARE, TCP_SHARE, UDP_SHARE } from "./flows.ts";

let daemon: TestDaemon;
let flows: Flows;
const tsctl = (...words: string[]): Promise<string> => flows.tsctl(...words);

interface Shown {
  Interface: string;
  Out: {
    Kernel: { rate: number; ceiling: number; bytes: number };
    Classes: {
      name: string;
      handle: string;
      rate: number;
      ceiling: number;
      bytes: number;
      packets: number;
    }[];
  };
}
const shapeOf = async (name: string): Promise<Shown> =>
  (JSON.parse(await tsctl("net", "shape", "-f", "json", name)) as [Shown])[0];

beforeAll(async () => {
  if (!hasIperf) return;
  daemon = await TestDaemon.start("shaping");
  flows = new Flows(daemon);
  await daemon.importBusybox();
  await flows.start("shaped", "--net-rate-out", "1mbit", "--net-rate-in", "1mbit");
  await flows.start("plain");
});
afterAll(async () => {
  if (hasIperf) await daemon.stop();
});

// A machine that is busy otherwise may need another attempt: rates are measured in seconds of its time.
describe.skipIf(!hasIperf)("a rate", () => {
  it.each([1, 10, 100])(
    "of %i Mbit is held in both directions, by TCP and UDP",
    { retry: 3 },
    async (rate) => {
      // Each after the first is a change while the container runs.
      await tsctl("update", "--net-rate-out", `${rate}mbit`, "--net-rate-in", `${rate}mbit`, "shaped");
      // A slow one takes longer to be told from its beginning.
      const seconds = rate === 1 ? 6 : 2;
      // More is sent than may arrive; each direction has a bucket of its own, whatever goes the other way.
      const datagrams = await Promise.all([
        flows.udp({ from: "shaped", to: "plain", seconds: 2 }, rate * 1.3),
        flows.udp({ from: "plain", to: "shaped", seconds: 2 }, rate * 1.3),
      ]);
      for (const measured of datagrams) expectRate(measured, rate, UDP_SHARE);
      expectRate(await flows.tcp({ from: "shaped", to: "plain", seconds }), rate, TCP_SHARE);
      expectRate(await flows.tcp({ from: "plain", to: "shaped", seconds }), rate, TCP_SHARE);
    },
  );

  it("of 1000 Mbit is held, too", { retry: 3 }, async ({ skip }) => {
    // 86,000 packets of 1,442 bytes in a second would be more than two processors send, lead through and receive.
    await tsctl("network", "create", "-o", "com.docker.network.driver.mtu=9000", "jumbo");
    try {
      await flows.start("fast", "--network", "jumbo", "--net-rate-out", "1gbit", "--net-rate-in", "1gbit");
      await flows.start("wide", "--network", "jumbo");
      for (const [from, to] of [
        ["fast", "wide"],
        ["wide", "fast"],
      ] as const) {
        expectRate(await flows.tcp({ from, to, seconds: 2 }), 1000, 8948 / 9014);
        const datagrams = (): Promise<number> => flows.udp({ from, to, seconds: 2 }, 1300, JUMBO_PAYLOAD);
        const held = await datagrams();
        if (held < 950) {
          await tsctl("update", "--net-rate-out", "none", "--net-rate-in", "none", "fast");
          const free = await datagrams();
          skip(free < 1200, `without any limit ${free.toFixed()} Mbit of datagrams arrive at present`);
        }
        expectRate(held, 1000, JUMBO_SHARE);
      }
    } finally {
      await tsctl("rm", "-f", "fast", "wide");
      await tsctl("network", "rm", "jumbo");
    }
  });

  it("has a ceiling: what a burst goes at", { retry: 3 }, async () => {
    await flows.start(
      "bursting",
      ...["--net-rate-out", "8mbit", "--net-burst-out", "2m", "--net-ceil-out", "40mbit"],
    );
    const { Kernel } = (await shapeOf("bursting")).Out;
    expect(Kernel).toMatchObject({ rate: 8e6, ceiling: 40e6 });
    // Two megabytes at 40 Mbit take half a second; what follows goes at the rate.
    const server = flows.within("plain", "timeout", "20", "iperf3", "-s", "-1", "-p", "5300");
    await eventually("iperf3 listens", async () =>
      (await flows.within("plain", "ss", "-ltn")).stdout.includes(":5300 "),
    );
    const words = ["-J", "-c", flows.peer("plain").address, "-p", "5300", "-t", "2", "-i", "0.2", "-u"];
    const { stdout } = await flows.within("bursting", "iperf3", ...words, "-l", "1400", "-b", "60m");
    const told = JSON.parse(stdout) as {
      end: { sum_received: { bits_per_second: number; seconds: number } };
    };
    await server;
    const megabits = (told.end.sum_received.bits_per_second * told.end.sum_received.seconds) / 1e6;
    // The bucket's 16.8 Mbit, and 8 for each of the seconds; not 40 for each, and not 8 alone.
    expect(megabits / UDP_SHARE).toBeGreaterThan(0.9 * (16.8 + 2 * 8));
    expect(megabits / UDP_SHARE).toBeLessThan(1.1 * (16.8 + 2.3 * 8));
    await tsctl("update", "--net-ceil-out", "none", "bursting");
    expect((await shapeOf("bursting")).Out.Kernel).toMatchObject({ rate: 8e6, ceiling: 8e6 });
  });

  it("stays as it is when something else is updated", async () => {
    await tsctl("update", "--net-rate-out", "20mbit", "--net-rate-in", "20mbit", "shaped");
    await tsctl("update", "--memory", "64m", "shaped");
    expect(await tsctl("inspect", "-f", "{{.HostConfig.NetworkShape.Out.Rate}}", "shaped")).toBe("20000000");
    await flows.fails("update", "--net-rate-out", "30mbit", "--cpuset-cpus", "4095", "shaped");
    expect(await tsctl("net", "shape", "shaped")).toContain("20 Mbit");
  });

  it("is shown as the kernel has it, and outlives the daemon", async () => {
    await flows.udp({ from: "shaped", to: "plain", seconds: 1 }, 20);
    expect(await tsctl("net", "shape", "shaped")).toMatch(
      /eth0 \(bridge\) +out +\(all\) +20 Mbit +tbf 1: +20 Mbit/,
    );
    await daemon.end("SIGKILL");
    await daemon.launch([daemonProgram]);
    const { Kernel } = (await shapeOf("shaped")).Out;
    expect(Kernel.rate).toBe(20_000_000);
    expect(Kernel.bytes).toBeGreaterThan(1_000_000);
  });

  it("is said of networks and endpoints by options, too", async () => {
    await tsctl("network", "create", "-o", "tsd.rate.out=5mbit", "-o", "tsd.ceil.out=9mbit", "slow");
    await flows.start("by-network", "--network", "slow");
    await flows.start("by-endpoint", "--network", "name=slow,driver-opt=tsd.rate.out=7mbit");
    expect(await tsctl("net", "shape", "by-network")).toMatch(/tbf 1: +5 Mbit +9 Mbit/);
    expect(await tsctl("net", "shape", "by-endpoint")).toMatch(/tbf 1: +7 Mbit +9 Mbit/);
    await tsctl("network", "connect", "slow", "plain");
    expect(await tsctl("net", "shape", "plain")).toMatch(/eth1 \(slow\) +out +\(all\) +5 Mbit +tbf/);
    await tsctl("network", "disconnect", "slow", "plain");
    await tsctl("rm", "-f", "by-network", "by-endpoint");
    await tsctl("network", "rm", "slow");
  });
});

describe.skipIf(!hasIperf)("classes", () => {
  const classes = (...all: string[]): string[] => all.flatMap((one) => ["--net-class", `${one},dir=out`]);

  it("borrow up to their ceilings, and have their shares together", { retry: 3 }, async () => {
    await flows.start(
      "services",
      ...["--net-rate-out", "100mbit"],
      ...classes(
        "name=ftp,port=5301,rate=50mbit,ceil=100mbit",
        "name=http,port=5302,rate=30mbit,ceil=100mbit",
        "name=snmp,port=5303,rate=20mbit,ceil=40mbit",
      ),
    );
    const flow = (port: number): Promise<number> => flows.tcp({ from: "services", to: "plain", port });
    expectRate(await flow(5301), 100, TCP_SHARE);
    expectRate(await flow(5303), 40, TCP_SHARE);
    const together = await Promise.all([5301, 5302, 5303].map(flow));
    for (const [index, share] of [50, 30, 20].entries())
      expectRate(together[index] ?? 0, share, TCP_SHARE, 0.1);
    const shown = await tsctl("net", "shape", "services");
    expect(shown).toMatch(/ftp +50 Mbit +htb 1:10 +50 Mbit +100 Mbit/);
    expect(shown).toContain("(the rest)");
  });

  it("change in their places: counters go on, and nobody's packet is lost", async () => {
    const before = (await shapeOf("services")).Out.Classes;
    expect(before.find(({ name }) => name === "ftp")?.packets).toBeGreaterThan(1000);
    // A ping every two milliseconds while classes change, come and go.
    const words = ["ping", "-q", "-c", "1000", "-i", "0.002", flows.peer("plain").address];
    const pinging = tsctl("exec", "services", ...words);
    await tsctl("update", ...classes("name=ftp,port=5301,rate=40mbit,ceil=60mbit,prio=2"), "services");
    await tsctl("update", ...classes("name=dns,proto=udp,port=53,rate=5mbit"), "services");
    await tsctl("update", ...classes("name=http,port=80;5302,rate=35mbit"), "services");
    expect((await shapeOf("services")).Out.Classes.map(({ name }) => name).sort()).toEqual([
      "(the rest)",
      "dns",
      "ftp",
      "http",
      "snmp",
    ]);
    await tsctl("update", ...classes("name=dns"), "services");
    expect(await pinging).toContain("1000 packets received, 0% packet loss");
    const after = (await shapeOf("services")).Out.Classes;
    for (const { name, handle, packets } of before) {
      const own = after.find((one) => one.name === name);
      expect(own?.handle).toBe(handle);
      expect(own?.packets).toBeGreaterThanOrEqual(packets);
    }
    expect(after.find(({ name }) => name === "ftp")).toMatchObject({ rate: 40e6, ceiling: 60e6 });
    expect(after.map(({ name }) => name)).not.toContain("dns");
    expect(await tsctl("verify", "services")).not.toContain("class");
  });

  it("hold for IPv6 as for IPv4, and for the whole of a datagram's first fragment only", async () => {
    await tsctl("network", "create", "--ipv6", "both");
    await flows.start("target", "--network", "both");
    await flows.start(
      "six",
      ...["--network", "both", "--net-rate-out", "50mbit"],
      ...classes("name=bulk,proto=udp,port=5310,rate=5mbit,ceil=10mbit"),
    );
    const packets = async (): Promise<number> =>
      (await shapeOf("six")).Out.Classes.find(({ name }) => name === "bulk")?.packets ?? 0;
    const send = (family: "AF_INET" | "AF_INET6", address: string, size: number, content: string) =>
      flows.within(
        "six",
        "python3",
        "-c",
        `
import socket
s = socket.socket(socket.${family}, socket.SOCK_DGRAM)
for _ in range(20): s.sendto((${content} * ${size})[:${size}], ("${address}", 5310))`,
      );
    const { address, address6 } = flows.peer("target");
    await send("AF_INET", address, 100, 'b"x"');
    expect(await packets()).toBe(20);
    await send("AF_INET6", address6, 100, 'b"x"');
    expect(await packets()).toBe(40);
    // Three fragments each, all of whose bytes look like the class's port.
    await send("AF_INET", address, 4000, "bytes([5310 >> 8, 5310 & 255])");
    expect(await packets()).toBe(60);
    await tsctl("rm", "-f", "six", "target");
    await tsctl("network", "rm", "both");
  });
});

describe.skipIf(!hasIperf)("what can't be", () => {
  it.each([
    [["--net-class", "name=a,rate=1mbit,proto=xyz"], 'NetworkShape.Classes.0: invalid protocol "xyz"'],
    [["--net-class", "name=a,port=1"], "NetworkShape.Classes.0: a class needs a rate"],
    [["--net-class", "name=a,rate=2mbit,ceil=1mbit"], "the ceiling is below the rate"],
    [["--net-rate-out", "1mbit", "--net-class", "name=a,rate=2mbit"], "together have more than its rate"],
    [["--network", "name=bridge,driver-opt=tsd.rate.out=fast"], 'tsd.rate.out: invalid rate "fast"'],
    [["--net-rate-out", "2mbit", "--net-ceil-out", "1mbit"], "the ceiling of direction out is not above"],
    [["--network", "name=bridge,driver-opt=tsd.speed=1"], "unknown option tsd.speed"],
  ])("%j is refused", async (words, message) => {
    expect(await flows.fails("run", "--rm", ...words, "busybox", "true")).toContain(message);
  });

  it("leaves nothing, as what ends does not", async () => {
    const host = (...words: string[]): Promise<string> =>
      output("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...words]);
    const noIfb = (): Promise<void> =>
      eventually("no ifb is left", async () => !(await host("ip", "-o", "link")).includes("ifb"));
    await daemon.clear();
    await noIfb();
    // A start that fails after its links were made.
    expect(await flows.fails("run", "--rm", "--net-rate-out", "1mbit", "busybox", "/nonesuch")).toContain(
      "no such file",
    );
    await noIfb();
    // A daemon that is killed leaves the ifbs of what ends while it is away to the next.
    await flows.start("orphan", "--net-rate-out", "1mbit");
    await daemon.end("SIGKILL");
    process.kill(flows.peer("orphan").pid, "SIGKILL");
    await daemon.launch([daemonProgram]);
    await noIfb();
  });
});
