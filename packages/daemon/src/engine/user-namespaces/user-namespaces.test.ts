// Whose ids containers get: modes as they are read, what is decided without one, ranges that no two share.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { containerCreateSchema, type HostConfig } from "../../api/schemas/container-create.ts";
import { Caller } from "../access/caller.ts";
import type { Role } from "../access/role.ts";
import { needsHost, parseMode, parseRanges, partners } from "./mode.ts";
import { IdPool, RANGE_SIZE } from "./pool.ts";
import { UserNamespaces } from "./service.ts";
import { defaultMode, idPoolOf, readSubordinateIds } from "./subordinate-ids.ts";

const host = (given: Record<string, unknown>): HostConfig =>
  containerCreateSchema.parse({ Image: "x", HostConfig: given }).HostConfig;
const admin = new Caller("unix:0", "1", undefined);
const limited = (hostNamespaces: string[]): Caller =>
  new Caller("unix:1000", "1", { limits: { privileged: false, hostNamespaces } } as unknown as Role);
const ids = { uids: [0], gids: [0] };
const pool = (): IdPool => new IdPool([{ first: 1_000_000, size: 4 * RANGE_SIZE }], []);

describe("a mode", () => {
  it("is read", () => {
    expect(parseMode("host", undefined)).toEqual({ kind: "host" });
    expect(parseMode("auto", undefined)).toEqual({ kind: "auto" });
    expect(parseMode("container:abc", undefined)).toEqual({ kind: "container", id: "abc" });
    expect(parseMode("keep-id", { uid: 7, gid: 8 })).toEqual({ kind: "keep-id", uid: 7, gid: 8 });
    expect(parseRanges("0:100000:10,20:200000:5")).toEqual([
      { container: 0, host: 100_000, size: 10 },
      { container: 20, host: 200_000, size: 5 },
    ]);
  });

  it.each([
    ["keep-id", undefined, "no user of this machine"],
    ["keep-id", { uid: 0, gid: 0 }, "the client is root"],
    ["other", undefined, "neither host"],
    ["0:1:0", undefined, "at least one is mapped"],
    ["5:100:1", undefined, "root (0) is not mapped"],
    ["0:100:10,9:300:2", undefined, "id 9 of the container is mapped twice"],
    ["0:100:10,10:105:2", undefined, "id 105 of the host is mapped twice"],
  ])("%s is refused", (mode, caller, words) => {
    expect(() => parseMode(mode, caller)).toThrow(words);
  });
});

describe("without a mode", () => {
  it.each([
    [{ Privileged: true }, "Privileged"],
    [{ NetworkMode: "host" }, "NetworkMode host"],
    [{ PidMode: "host" }, "PidMode host"],
    [{ CapAdd: ["sys_time"] }, "CapAdd SYS_TIME"],
    [{ CapAdd: ["NET_ADMIN", "SYS_ADMIN"] }, ""],
    [{ CapAdd: ["ALL"] }, ""],
    [{ UTSMode: "host" }, ""],
    [{}, ""],
  ])("%o needs the host's for %j", (given, reason) => {
    expect(needsHost(host(given))).toBe(reason);
  });

  it("gets its own, or that of whom it shares with, or the host's; who may not have the host's never does", () => {
    const service = new UserNamespaces(pool(), { kind: "auto" });
    expect(service.decide(host({}), admin).mode).toEqual({ kind: "auto" });
    expect(service.decide(host({ NetworkMode: "container:a" }), admin).mode).toEqual({
      kind: "container",
      id: "a",
    });
    expect(service.decide(host({ NetworkMode: "host" }), admin).mode).toEqual({ kind: "host" });
    expect(service.decide(host({ NetworkMode: "host" }), limited(["network"])).mode).toEqual({
      kind: "auto",
    });
    expect(service.decide(host({ NetworkMode: "host" }), limited(["network", "user"])).mode).toEqual({
      kind: "host",
    });
    expect(service.decide(host({ CapAdd: ["SYS_TIME"] }), admin).warnings).toHaveLength(1);
    expect(() => service.decide(host({ UsernsMode: "auto", PidMode: "container:a" }), admin)).toThrow(
      "shares its user namespace",
    );
    service.found({ obstacle: "no such thing" });
    expect(service.decide(host({}), admin).mode).toEqual({ kind: "host" });
    expect(() => service.decide(host({ UsernsMode: "auto" }), admin)).toThrow("no such thing");
  });

  it("shares with one user namespace only", () => {
    expect(partners(host({ NetworkMode: "container:a", IpcMode: "container:b" }))).toEqual(["a", "b"]);
    const service = new UserNamespaces(pool(), { kind: "auto" });
    const maps = (start: number) => ({ uids: [{ container: 0, host: start, size: 10 }], gids: [] });
    const mode = { kind: "container", id: "a" } as const;
    const one = { id: "a", pid: 7, maps: maps(1) };
    expect(service.choose("x", mode, ids, [one])).toEqual({
      kind: "join",
      path: "/proc/7/ns/user",
      maps: maps(1),
    });
    expect(service.choose("x", mode, ids, [{ ...one, maps: undefined }])).toEqual({ kind: "host" });
    expect(() => service.choose("x", mode, ids, [one, { id: "b", pid: 8, maps: maps(99) }])).toThrow(
      "different user namespaces",
    );
  });
});

describe("ranges", () => {
  it("are one container's at a time, and not the next one's at once", () => {
    const ranges = pool();
    expect(ranges.size).toBe(4);
    const first = ranges.take("a");
    expect(ranges.take("b")).not.toBe(first);
    ranges.release("a");
    expect(ranges.take("c")).not.toBe(first);
    ranges.take("d");
    expect(ranges.take("e")).toBe(first);
    expect(() => ranges.take("f")).toThrow("all 4 are in use");
  });

  it("leave out what is somebody else's, and what was named", () => {
    const reserved = new IdPool([{ first: 0, size: 3 * RANGE_SIZE }], [{ first: RANGE_SIZE + 5, size: 1 }]);
    expect([reserved.take("a"), reserved.take("b")]).toEqual([0, 2 * RANGE_SIZE]);
    const ranges = pool();
    const named = (start: number) => ({ uids: [{ container: 0, host: start, size: 10 }], gids: [] });
    ranges.hold("named", named(1_000_000));
    expect(ranges.take("a")).toBe(1_000_000 + RANGE_SIZE);
    expect(() => ranges.hold("other", named(1_000_005))).toThrow("in use by container named");
    expect(() => ranges.hold("other", named(1_000_000 + RANGE_SIZE))).toThrow("in use by container a");
    ranges.release("named");
    ranges.hold("other", named(1_000_005));
  });

  it("have ids beyond them that a container needs, and keep one user who is the same on both sides", () => {
    const service = new UserNamespaces(pool(), { kind: "auto" });
    const needed = { uids: [100_000], gids: [0, 70_000, 80_000] };
    const choice = service.choose("a", { kind: "auto" }, needed, []);
    expect(choice.kind === "private" && choice.maps.uids).toEqual([
      { container: 0, host: 1_000_000, size: RANGE_SIZE },
      { container: 100_000, host: 1_000_000 + RANGE_SIZE, size: 1 },
    ]);
    expect(choice.kind === "private" && choice.maps.gids).toHaveLength(3);
    const kept = new UserNamespaces(pool(), { kind: "auto" }).choose(
      "b",
      { kind: "keep-id", uid: 1000, gid: 100 },
      ids,
      [],
    );
    expect(kept.kind === "private" && kept.maps.uids).toEqual([
      { container: 0, host: 1_000_000, size: 1000 },
      { container: 1001, host: 1_001_001, size: RANGE_SIZE - 1001 },
      { container: 1000, host: 1000, size: 1 },
    ]);
  });
});

describe("subordinate ids", () => {
  const directory = mkdtempSync(join(tmpdir(), "tsd-subids-"));
  writeFileSync(
    join(directory, "subuid"),
    "alice:100000:65536\ncontainers:600000:131072\n# no:1:1\nbroken\n",
  );
  writeFileSync(join(directory, "subgid"), "alice:100000:65536\ncontainers:600000:65536\n1000:900000:1\n");
  const found = readSubordinateIds(directory);
  rmSync(directory, { recursive: true });

  it("are read, and respected", () => {
    expect(found.uids).toHaveLength(2);
    expect(idPoolOf("", found)).toEqual({
      available: [{ first: 600_000, size: 65_536 }],
      reserved: expect.arrayContaining([expect.objectContaining({ owner: "alice" })]),
    });
    expect(idPoolOf("5000:70000", found).available).toEqual([{ first: 5000, size: 70_000 }]);
    expect(() => idPoolOf("bob", found)).toThrow("no ids in common");
    const usual = idPoolOf("", { uids: found.uids.slice(0, 1), gids: [] });
    expect(usual.available[0]?.first).toBe(0x70000000);
  });

  it("are all containers' for dockerd's --userns-remap", () => {
    expect(defaultMode("alice", found)).toEqual({
      kind: "maps",
      shared: true,
      maps: {
        uids: [{ container: 0, host: 100_000, size: 65_536 }],
        gids: [{ container: 0, host: 100_000, size: 65_536 }],
      },
    });
    expect(defaultMode("auto", found)).toEqual({ kind: "auto" });
    expect(() => defaultMode("default", found)).toThrow("no subordinate ids for user dockremap");
  });
});
