// Control groups without a kernel: statistics from files as both versions write them, limits all or none.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyLimits } from "./changes.ts";
import { statisticsV1, statisticsV2 } from "./statistics.ts";

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
