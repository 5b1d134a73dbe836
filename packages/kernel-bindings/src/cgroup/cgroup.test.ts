// Control groups without a kernel: statistics from files as both versions write them, limits all or none.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyLimits } from "./changes.ts";
import { KeptFiles } from "./kept-files.ts";
import {
  type CgroupStatistics,
  type CgroupUsage,
  statisticsV1,
  statisticsV2,
  usageV1,
  usageV2,
} from "./statistics.ts";
import { CgroupsV1 } from "./v1.ts";
import { CgroupsV2 } from "./v2.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-cgroup-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function files(name: string, contents: Readonly<Record<string, string>>): string {
  const directory = join(root, name);
  mkdirSync(directory);
  for (const [file, text] of Object.entries(contents)) writeFileSync(join(directory, file), text);
  return directory;
}

describe("statistics", () => {
  it("of version 1", () => {
    const directory = files("v1", {
      "cpuacct.usage": "123456\n",
      "cpuacct.usage_percpu": "100000 23456 \n",
      "cpuacct.stat": "user 3\nsystem 2\n",
      "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 99\n",
      "memory.usage_in_bytes": "4096\n",
      "memory.max_usage_in_bytes": "8192\n",
      "memory.failcnt": "2\n",
      "memory.limit_in_bytes": "9223372036854771712\n",
      "memory.stat": "cache 1\nrss 2\n",
      "pids.current": "3\n",
      "pids.max": "max\n",
      "blkio.throttle.io_service_bytes_recursive": "8:0 Read 512\n8:0 Write 0\nTotal 512\n",
      "blkio.throttle.io_serviced_recursive": "",
    });
    expect(statisticsV1(() => directory)).toEqual({
      cpu: {
        total: 123456,
        user: 30_000_000,
        system: 20_000_000,
        perProcessor: [100000, 23456],
        throttling: { periods: 10, throttledPeriods: 4, throttledTime: 99 },
      },
      memory: {
        usage: 4096,
        maximumUsage: 8192,
        failures: 2,
        limit: undefined,
        details: { cache: 1, rss: 2 },
      },
      pids: { current: 3, limit: undefined },
      block: {
        bytes: [
          { major: 8, minor: 0, operation: "read", value: 512 },
          { major: 8, minor: 0, operation: "write", value: 0 },
        ],
        operations: [],
      },
    });
  });
  it("of version 2", () => {
    const directory = files("v2", {
      "cpu.stat":
        "usage_usec 10\nuser_usec 7\nsystem_usec 3\nnr_periods 1\nnr_throttled 1\nthrottled_usec 5\n",
      "memory.current": "4096\n",
      "memory.max": "65536\n",
      "memory.stat": "anon 5\n",
      "pids.current": "2\n",
      "pids.max": "7\n",
      "io.stat": "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
    });
    const found = statisticsV2(directory);
    expect(found.cpu).toMatchObject({ total: 10_000, user: 7000, system: 3000, perProcessor: undefined });
    expect(found.memory).toMatchObject({ usage: 4096, limit: 65536, details: { anon: 5 } });
    expect(found.pids).toEqual({ current: 2, limit: 7 });
    expect(found.block.operations).toEqual([
      { major: 8, minor: 16, operation: "read", value: 3 },
      { major: 8, minor: 16, operation: "write", value: 4 },
    ]);
  });
});

describe("a group that has used no processor time since", () => {
  const versions = [
    ["1", "cpuacct.usage_percpu", "cpuacct.usage", "memory.usage_in_bytes", "5 6\n", "11\n"],
    ["2", "cpu.stat", "cpu.stat", "memory.current", "usage_usec 5\n", "usage_usec 5\n"],
  ] as const;
  it.each(versions)(
    "has done nothing else, by version %s",
    (version, times, time, memory, asTimes, asTime) => {
      const directory = files(`idle${version}`, { [times]: asTimes, [time]: asTime, [memory]: "4096\n" });
      const group = () => directory;
      const look = (before?: CgroupStatistics) =>
        version === "1" ? statisticsV1(group, undefined, before) : statisticsV2(directory, undefined, before);
      const glance = (before?: CgroupUsage) =>
        version === "1" ? usageV1(group, undefined, before) : usageV2(directory, undefined, before);
      const [statistics, usage] = [look(), glance()];
      expect([statistics.memory.usage, usage.memory]).toEqual([4096, 4096]);
      writeFileSync(join(directory, memory), "8192\n");
      expect(look(statistics)).toBe(statistics);
      expect(glance(usage)).toBe(usage);
      for (const [file, text] of [
        [times, asTimes],
        [time, asTime],
      ] as const)
        writeFileSync(join(directory, file), text.replace("5", "7").replace("11", "13"));
      expect([look(statistics).memory.usage, glance(usage).memory]).toEqual([8192, 8192]);
    },
  );
});

describe("limits of a group in use", () => {
  it("are all written, or none", () => {
    const directory = files("limits", { a: "1\n", b: "2\n" });
    applyLimits([{ path: join(directory, "a"), value: "10" }]);
    expect(readFileSync(join(directory, "a"), "utf8")).toBe("10");
    chmodSync(join(directory, "b"), 0o444);
    expect(() =>
      applyLimits([
        { path: join(directory, "a"), value: "20" },
        { path: join(directory, "missing"), value: "x" },
      ]),
    ).toThrow();
    expect(readFileSync(join(directory, "a"), "utf8")).toBe("10");
  });
});

/** Values by the names of the files that steps write them to. */
const written = (steps: readonly { op: string }[]): Record<string, string> =>
  Object.fromEntries(
    steps
      .filter((step): step is { op: "write"; path: string; value: string } => step.op === "write")
      .map(({ path, value }) => [path.slice(root.length), value]),
  );

describe("limits that few hosts have controllers for", () => {
  const limits = {
    hugePages: [{ size: "2MB", limit: 4 << 20 }],
    networkClass: 0x100001,
    networkPriorities: [
      { name: "lo", priority: 5 },
      { name: "eth0", priority: 6 },
    ],
  };
  it("of version 1", () => {
    const hierarchies = ["hugetlb", "net_cls", "net_prio"].map((name) => ({
      path: join(root, name),
      options: ["rw", name],
    }));
    const cgroups = new CgroupsV1(hierarchies, undefined);
    expect(written(cgroups.create("/g", { ...limits, networkPriorities: [] }, "all"))).toEqual({
      "/hugetlb/g/hugetlb.2MB.rsvd.limit_in_bytes": "4194304",
      "/hugetlb/g/hugetlb.2MB.limit_in_bytes": "4194304",
      "/net_cls/g/net_cls.classid": "1048577",
    });
    mkdirSync(join(root, "net_prio/g"), { recursive: true });
    writeFileSync(join(root, "net_prio/g/net_prio.ifpriomap"), "lo 3\n");
    expect(cgroups.changes("/g", { networkPriorities: limits.networkPriorities })).toEqual([
      { path: join(root, "net_prio/g/net_prio.ifpriomap"), value: "lo 5", undo: "lo 3" },
      { path: join(root, "net_prio/g/net_prio.ifpriomap"), value: "eth0 6", undo: "eth0 0" },
    ]);
  });
  it("of version 2, which has but huge pages", () => {
    const directory = files("unified", { "cgroup.controllers": "cpu hugetlb memory pids\n" });
    const cgroups = new CgroupsV2(directory);
    expect(cgroups.has("net_cls")).toBe(false);
    expect(written(cgroups.create("/g", limits, "all"))).toEqual({
      "/unified/cgroup.subtree_control": "+cpu +hugetlb +memory +pids",
      "/unified/g/hugetlb.2MB.rsvd.max": "4194304",
      "/unified/g/hugetlb.2MB.max": "4194304",
    });
  });
});

describe("real-time scheduling", () => {
  const root = { "cpu.rt_runtime_us": "950000\n", "cpu.rt_period_us": "1000000\n" };
  let directory = "";
  beforeAll(() => {
    directory = files("cpu", root);
  });
  const hierarchies = () => [{ path: directory, options: ["rw", "cpu", "cpuacct"] }];
  const share = { runtime: 300_000, period: 1_000_000 };
  it("is given to the groups above one that asks for it, and to no others", () => {
    const cgroups = new CgroupsV1(hierarchies(), undefined, share);
    expect(written(cgroups.create("/a/b/c", {}, "all"))).toEqual({});
    const asked = { realtimePeriod: 100_000, realtimeRuntime: 20_000 };
    expect(
      cgroups.changes("/a/b/c", asked).map(({ path, value }) => [path.slice(directory.length), value]),
    ).toEqual([
      ["/a/cpu.rt_period_us", "1000000"],
      ["/a/cpu.rt_runtime_us", "300000"],
      ["/a/b/cpu.rt_period_us", "1000000"],
      ["/a/b/cpu.rt_runtime_us", "300000"],
      ["/a/b/c/cpu.rt_period_us", "100000"],
      ["/a/b/c/cpu.rt_runtime_us", "20000"],
    ]);
    expect(cgroups.realtimeBelow("/a")).toEqual(share);
  });
  it("is what the groups above have, where the daemon gives none", () => {
    const cgroups = new CgroupsV1(hierarchies(), undefined);
    expect(written(cgroups.create("/a/b", { realtimeRuntime: 1000 }, "all"))).toEqual({
      "/cpu/a/b/cpu.rt_runtime_us": "1000",
    });
    expect(cgroups.realtimeBelow("/")).toEqual({ runtime: 950_000, period: 1_000_000 });
    expect(cgroups.realtimeBelow("/none")).toEqual({ runtime: 0, period: 1_000_000 });
    const other = files("cpu-without", { "cpu.shares": "1024\n" });
    const without = new CgroupsV1([{ path: other, options: ["rw", "cpu"] }], undefined, share);
    expect(without.realtimeBelow("/")).toBeUndefined();
  });
});

describe("files that stay open", () => {
  const lines = (text: string): string[] => text.split("\n");
  it("say what is in them now, and are found again when they were made anew", () => {
    const directory = files("kept", { a: "1\n" });
    const kept = new KeptFiles();
    const file = join(directory, "a");
    expect(kept.parsed(file, lines)).toEqual(["1", ""]);
    writeFileSync(file, "2\n");
    expect(kept.parsed(file, lines)).toEqual(["2", ""]);
    expect(kept.parsed(join(directory, "none"), lines)).toEqual([""]);
    const long = Array.from({ length: 9000 }, (_, index) => `line ${index}`).join("\n");
    writeFileSync(join(directory, "long"), long.slice(0, 60_000));
    expect(kept.parsed(join(directory, "long"), lines).join("\n")).toBe(long.slice(0, 60_000));
    kept.close();
    expect(kept.parsed(file, lines)).toEqual(["2", ""]);
    kept.close();
  });

  it("are taken apart again only if they say something else", () => {
    const directory = files("parsed", { a: "1 2\n" });
    const kept = new KeptFiles();
    const file = join(directory, "a");
    const first = kept.parsed(file, lines);
    expect(kept.parsed(file, lines)).toBe(first);
    for (const text of ["1 3\n", "1 2\n3", "1", ""]) {
      writeFileSync(file, text);
      expect(kept.parsed(file, lines)).toEqual(text.split("\n"));
    }
    rmSync(file);
    kept.close();
    expect(kept.parsed(file, lines)).toEqual([""]);
    kept.close();
  });

  it("give a number without a text in between, and none of other words", () => {
    const directory = files("numbers", { a: "1234567890123\n", max: "max\n", empty: "" });
    const kept = new KeptFiles();
    expect(["a", "max", "empty", "none"].map((name) => kept.number(join(directory, name)))).toEqual([
      1234567890123,
      undefined,
      undefined,
      undefined,
    ]);
    writeFileSync(join(directory, "a"), "7\n");
    expect(kept.number(join(directory, "a"))).toBe(7);
    kept.close();
  });
});
