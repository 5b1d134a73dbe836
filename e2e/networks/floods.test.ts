// Floods: cut off at their limits, counted, and no harm to others' round trips and bytes per second.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { expectRate } from "./expect-rate.ts";
import { Flows, hasIperf, PAYLOAD, UDP_SHARE } from "./flows.ts";

let daemon: TestDaemon;
let flows: Flows;
const tsctl = (...words: string[]): Promise<string> => flows.tsctl(...words);

beforeAll(async () => {
  if (!hasIperf) return;
  daemon = await TestDaemon.start("floods");
  flows = new Flows(daemon);
  await daemon.importBusybox();
  await flows.start("flooding", "--net-packets-out", "500");
  await flows.start("target");
  await flows.start("other");
});
afterAll(async () => {
  if (hasIperf) await daemon.stop();
});

interface Shown {
  Out: { Dropped: { packets?: number; connections?: number } };
}
const dropped = async (): Promise<Shown["Out"]["Dropped"]> =>
  (JSON.parse(await tsctl("net", "shape", "-f", "json", "flooding")) as [Shown])[0].Out.Dropped;

describe.skipIf(!hasIperf)("floods", () => {
  it("of packets are cut off, and counted", { retry: 2 }, async () => {
    // iperf3's own connection has its share of them.
    const arriving = await flows.udp({ from: "flooding", to: "target" }, 20);
    const packets = (arriving * 1e6) / 8 / PAYLOAD;
    expect(packets).toBeGreaterThan(400);
    expect(packets).toBeLessThan(600);
    expect((await dropped()).packets).toBeGreaterThan(1000);
    expect(await tsctl("net", "shape", "flooding")).toMatch(
      /out +\(packets\) +500\/s +nft limit +500\/s( +-)+ +[1-9]\d{3}/,
    );
  });

  it("of connections are cut off, and counted", async () => {
    await tsctl("update", "--net-packets-out", "none", "--net-connections-out", "10", "flooding");
    const program = `
import socket, time
reached = 0
end = time.monotonic() + 2
while time.monotonic() < end:
    s = socket.socket(); s.settimeout(0.02)
    try: s.connect(("${flows.peer("target").address}", 9)); reached += 1
    except ConnectionRefusedError: reached += 1
    except (TimeoutError, OSError): pass
    s.close()
print(reached)`;
    const reached = Number((await flows.within("flooding", "python3", "-c", program)).stdout);
    expect(reached).toBeGreaterThan(8);
    expect(reached).toBeLessThan(45);
    expect((await dropped()).connections).toBeGreaterThan(10);
    expect((await dropped()).packets).toBeUndefined();
    await tsctl("update", "--net-connections-out", "none", "flooding");
  });

  // The flood's sender runs beside the container, and would take processors from everybody without a word of its own:
  // it sends three times what it may.
  it.each([
    ["a rate", ["--net-rate-out", "30mbit"], 30 * UDP_SHARE],
    ["packets per second", ["--net-packets-out", "2000"], (2000 * PAYLOAD * 8) / 1e6],
  ])("held by %s leave others their round trips and bytes", { retry: 3 }, async (_what, words, arrives) => {
    await flows.start("flooding", ...words);
    const other = { from: "other", to: "target", seconds: 2 };
    const rate = 300;
    const quiet = { ping: await flows.ping("other", "target"), tcp: await flows.tcp(other, rate) };
    const flooding = flows.udp({ from: "flooding", to: "target", seconds: 5 }, 100);
    const ping = await flows.ping("other", "target");
    const tcp = await flows.tcp(other, rate);
    expectRate(await flooding, arrives, 1, 0.1);
    // Milliseconds; a tenth more, and what the machine's own load makes of so short a time.
    expect(ping).toBeLessThan(quiet.ping * 1.1 + 0.2);
    expectRate(tcp, quiet.tcp, 1, 0.1);
    expectRate(tcp, rate, 1, 0.1);
  });

  it("leave nothing", async () => {
    await daemon.clear();
    const nft = ["nft", "list", "table", "bridge", "tsd-flood"];
    expect(await output("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...nft])).not.toMatch(/out-|in-/);
  });
});
