// Seeing what containers use: their control groups file by file, and the last minutes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("seeing");
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
});

interface Place {
  Group: string;
  Hierarchies: {
    Path: string;
    Controllers: string[];
    Files: { Name: string; Value: string; Meaning: string }[];
  }[];
}

describe("control groups", () => {
  it("are shown with every file, as the kernel has it, and what it means", async () => {
    const words = ["-d", "--name", "seen", "-m", "64m", "--pids-limit", "33", "--cpu-shares", "300"];
    await daemon.tsctl("run", ...words, "busybox", "sleep", "600");
    const place = JSON.parse((await daemon.api("GET", "/tsd/containers/seen/cgroup")).text) as Place;
    expect(place.Group).toMatch(new RegExp(`^${daemon.cgroupParent}/[0-9a-f]{64}$`));
    const files = place.Hierarchies.flatMap(({ Path, Files }) =>
      Files.map((file) => ({ ...file, path: join(Path, file.Name) })),
    );
    const fixed = files.filter(({ Name }) => /max$|limit_in_bytes$|shares$|weight$/.test(Name));
    expect(fixed.length).toBeGreaterThan(4);
    for (const { path, Value } of fixed) expect(readFileSync(path, "utf8").trim(), path).toBe(Value);
    expect(files.filter(({ Meaning }) => Meaning === "").map(({ Name }) => Name)).toEqual([]);
    const shown = await daemon.tsctl("cgroup", "seen", "pids.max");
    expect(shown.stdout).toMatch(/pids\.max +33 +processes and threads there may be/);
    expect((await daemon.tsctl("cgroup", "nosuch")).status).toBe(1);
  });
});

describe("the last minutes", () => {
  it("are kept while a container runs, and plotted", async () => {
    await daemon.tsctl("run", "-d", "--name", "busy", "busybox", "sh", "-c", "while :; do :; done");
    const history = async () =>
      JSON.parse((await daemon.api("GET", "/tsd/containers/busy/stats/history")).text) as {
        Interval: number;
        Samples: { Cpu: number; Memory: number; Processes: number; Received: number; Sent: number }[];
      };
    const gateway = (
      await daemon.tsctl("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge")
    ).stdout;
    // 20 packets of 1,000 bytes and their headers, and as many back.
    await daemon.tsctl("exec", "busy", "ping", "-q", "-c", "20", "-A", "-s", "1000", gateway.trim());
    await eventually("there are samples", async () => (await history()).Samples.length >= 2, 15_000);
    const [first, second] = (await history()).Samples;
    expect((second?.Cpu ?? 0) - (first?.Cpu ?? 0)).toBeGreaterThan(1e8);
    expect(first?.Processes).toBe(1);
    for (const bytes of [second?.Received, second?.Sent]) {
      expect(bytes).toBeGreaterThan(20 * 1042 - 1);
      expect(bytes).toBeLessThan(20 * 1042 + 10_000);
    }
    const plotted = await daemon.tsctl("stats", "--history", "busy");
    expect(plotted.stdout).toMatch(
      /^busy: the last [\d.]+ minutes, every 5 seconds\n {2}cpu +[▁-█]+ {2}[\d.]+% \(most/,
    );
    await daemon.tsctl("rm", "-f", "busy");
    expect((await daemon.api("GET", "/tsd/containers/busy/stats/history")).status).toBe(404);
  });
});
