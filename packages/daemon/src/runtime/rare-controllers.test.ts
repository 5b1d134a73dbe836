// Limits of rare controllers, refused or taken, without a kernel.
import type { Cgroups, RealtimeShare } from "@tsd/kernel-bindings";
import { describe, expect, it } from "vitest";
import { checkRareLimits, checkRealtimeShare, overlaid, type RareLimits } from "./rare-controllers.ts";

const host = (more: Partial<RareLimits>): RareLimits => ({
  HugetlbLimits: null,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  NetClassId: 0,
  NetPriorities: null,
  NetworkMode: "host",
  ...more,
});
const groups = (version: 1 | 2, names: string[], realtime?: RealtimeShare): Cgroups =>
  ({
    version,
    has: (name: string) => names.includes(name),
    realtimeBelow: () => realtime,
  }) as Partial<Cgroups> as Cgroups;
const nothing = groups(2, []);
const everything = groups(1, ["hugetlb", "net_cls", "net_prio"]);

describe("limits by rare controllers", () => {
  it("name the controller that is not there", () => {
    for (const [asked, message] of [
      [
        { HugetlbLimits: [{ PageSize: "2MB", Limit: 0 }] },
        /HugetlbLimits: .* no control group controller hugetlb$/,
      ],
      [{ NetClassId: 5 }, /NetClassId: .* no control group controller net_cls \(version 2 has none\)$/],
      [{ NetPriorities: [{ Name: "lo", Priority: 1 }] }, /NetPriorities: .* controller net_prio/],
    ] as const)
      expect(() => checkRareLimits(host(asked as Partial<RareLimits>), nothing)).toThrow(message);
    expect(() => checkRareLimits(host({}), nothing)).not.toThrow();
  });
  it("are refused when they can't be", () => {
    for (const [asked, message] of [
      [{ NetClassId: -1 }, /NetClassId: -1 is not from 0 to 4294967295/],
      [{ NetClassId: 2 ** 32 }, /NetClassId: 4294967296 is not/],
      [{ NetPriorities: [{ Name: "a b", Priority: 1 }] }, /no interface's name: a b/],
      [{ NetPriorities: [{ Name: "lo", Priority: -1 }] }, /NetPriorities lo: -1 is not/],
      [{ NetPriorities: [{ Name: "lo", Priority: 1 }], NetworkMode: "bridge" }, /they need NetworkMode host/],
      [{ HugetlbLimits: [{ PageSize: "3MB", Limit: 0 }] }, /no huge pages of that size/],
    ] as const)
      expect(() => checkRareLimits(host(asked as Partial<RareLimits>), everything)).toThrow(message);
    const fine = { NetClassId: 2 ** 32 - 1, NetPriorities: [{ Name: "eth0.7", Priority: 0 }] };
    expect(() => checkRareLimits(host(fine), everything)).not.toThrow();
  });
  it("of real-time scheduling are no more than there is for containers, once they start", () => {
    const half = { runtime: 500_000, period: 1_000_000 };
    const start = (more: Partial<RareLimits>, share?: RealtimeShare) => () =>
      checkRealtimeShare(host(more), share);
    expect(start({ CpuRealtimeRuntime: 500_000 }, half)).not.toThrow();
    expect(start({ CpuRealtimePeriod: 100_000, CpuRealtimeRuntime: 50_000 }, half)).not.toThrow();
    expect(start({})).not.toThrow();
    for (const [asked, share, message] of [
      [{ CpuRealtimeRuntime: 500_001 }, half, /500001 of 1000000 .* 500000 of 1000000 \(--cpu-rt-runtime\)$/],
      [
        { CpuRealtimePeriod: 100_000, CpuRealtimeRuntime: 50_001 },
        half,
        /CpuRealtimeRuntime: 50001 of 100000/,
      ],
      [{ CpuRealtimeRuntime: 1 }, undefined, /CpuRealtimeRuntime: 1 of 1000000 .* 0 of 1000000/],
    ] as const)
      expect(start(asked, share)).toThrow(message);
  });
  it("of real-time scheduling are refused where there is none, and beyond what can be counted", () => {
    const there = groups(1, [], { runtime: 0, period: 1_000_000 });
    expect(() => checkRareLimits(host({ CpuRealtimeRuntime: 5000 }), there)).not.toThrow();
    for (const asked of [{ CpuRealtimeRuntime: 5000 }, { CpuRealtimePeriod: 1000 }])
      expect(() => checkRareLimits(host(asked), nothing)).toThrow(
        /^Your kernel does not support CPU real-time scheduler$/,
      );
    expect(() => checkRareLimits(host({ CpuRealtimePeriod: 2 ** 60 }), there)).toThrow(
      /CpuRealtimePeriod: .* is more than/,
    );
  });
  it("of an update replace those of the same name", () => {
    const key = ({ name }: { name: string }): string => name;
    expect(
      overlaid(
        [{ name: "a", value: 1 }],
        [
          { name: "a", value: 2 },
          { name: "b", value: 3 },
        ],
        key,
      ),
    ).toEqual([
      { name: "a", value: 2 },
      { name: "b", value: 3 },
    ]);
    expect(overlaid(null, undefined, key)).toEqual([]);
  });
});
