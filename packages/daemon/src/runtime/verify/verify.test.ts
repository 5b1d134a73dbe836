// What a plan lets one expect, and how the kernel's answers are compared with it: without a kernel.
import {
  type AddressState,
  type LinkState,
  parseMountinfo,
  type RouteState,
  type TrafficState,
  vocabulary,
} from "@tsd/kernel-bindings";
import { describe, expect, it } from "vitest";
import { type ShapeDirection, unshaped } from "../network/shape.ts";
import { compareDevices, readsBack } from "./cgroups.ts";
import { unlessAllowed } from "./drift.ts";
import { type ExpectedMount, expectationOf, notVerified } from "./expectation.ts";
import { compareMounts } from "./mounts.ts";
import { compareInside, compareOutside, type ExpectedNetwork } from "./network.ts";

const mount = (target: string, more: Partial<ExpectedMount> = {}): ExpectedMount => ({
  target,
  type: undefined,
  attributes: 0,
  propagation: "private",
  ifThere: false,
  tree: false,
  ...more,
});

describe("what a plan lets one expect", () => {
  it("comes of its steps", () => {
    const expectation = expectationOf([
      { op: "write", path: "/sys/fs/cgroup/pids/x/pids.max", value: "9" },
      { op: "clone", flags: 0x20000000 | 0x20000 },
      { op: "namespaces.join", paths: ["/proc/7/ns/net"], types: [0x40000000] },
      {
        op: "user-namespace",
        uidMap: "0 100000 65536\n",
        gidMap: "0 100000 65536\n",
        rootUid: 1,
        rootGid: 1,
      },
      {
        op: "bind.open",
        slot: 0,
        source: "/a",
        recursive: true,
        confined: false,
        subpath: "",
        idmapped: true,
      },
      {
        op: "root.overlay",
        lower: ["/l"],
        base: "/b",
        upper: "u",
        work: "w",
        options: [],
        idmapped: true,
        staging: "/s",
      },
      { op: "bind", slot: 0, target: "/b", attributes: 1, recursive: false, propagation: 0x80000 },
      { op: "mask", path: "/proc/keys" },
      { op: "pivot", attributes: 1 },
      { op: "capabilities.bounding", keep: 3n },
      { op: "no-new-privileges" },
    ]);
    expect([...expectation.own].sort()).toEqual(["mnt", "pid"]);
    expect(expectation.joined.get("net")).toBe("/proc/7/ns/net");
    expect(expectation.idMaps?.uid).toContain("100000");
    expect(expectation.mounts).toEqual([
      mount("/", { type: "overlay", attributes: 1 }),
      mount("/b", { attributes: 1, propagation: "slave", tree: true }),
      mount("/proc/keys", { ifThere: true }),
    ]);
    expect(expectation).toMatchObject({ bounding: 3n, noNewPrivileges: true, seccomp: false });
  });

  it("says of each step that is not verified why", () => {
    for (const { operation, reason } of notVerified) {
      expect(vocabulary).toHaveProperty([operation]);
      expect(reason.length).toBeGreaterThan(5);
    }
    for (const operation of ["mount", "mask", "seccomp", "write", "clone", "rlimit"])
      expect(notVerified.map((one) => one.operation)).not.toContain(operation);
  });
});

describe("mounts", () => {
  const planned = [
    mount("/", { type: "overlay" }),
    mount("/proc", { type: "proc", attributes: 14 }),
    mount("/proc/keys", { ifThere: true }),
    mount("/var/run/x", { attributes: 1, tree: true }),
  ];
  const there = (...lines: string[]) => parseMountinfo(`${lines.join("\n")}\n`);
  const root = "1 0 0:1 / / rw - overlay overlay rw";
  const proc = "2 1 0:2 / /proc rw,nosuid,nodev,noexec - proc proc rw";
  const keys = "3 2 0:3 /null /proc/keys rw - devtmpfs devtmpfs rw";
  const bind = "4 1 0:4 /src /run/x ro - ext4 /dev/vda rw";
  /** /var/run is a link. */
  const where = (path: string): string => path.replace("/var/run", "/run");
  const compare = (...lines: string[]) =>
    compareMounts(planned, there(...lines), where).map(({ what, found }) => `${what}: ${found}`);

  it("are as planned, also behind a link of the image's and below a tree", () => {
    expect(compare(root, proc, keys, bind, "5 4 0:5 / /run/x/sub rw - tmpfs none rw")).toEqual([]);
  });
  it("are missing", () => {
    expect(compare(root, keys, bind)).toEqual(["/proc: not mounted"]);
    expect(compare(root, proc, bind)).toEqual(["/proc/keys: in sight as it is"]);
  });
  it("need not hide what is not there", () => {
    expect(compareMounts(planned.slice(0, 3), there(root, proc), () => undefined)).toEqual([]);
  });
  it("are more, or on top of planned ones", () => {
    expect(compare(root, proc, keys, bind, "9 1 0:9 / /mnt rw - tmpfs none rw")).toEqual([
      "/mnt: tmpfs none /",
    ]);
    expect(compare(root, proc, keys, bind, "9 2 0:9 / /proc rw - tmpfs none rw")).toEqual([
      "/proc: tmpfs none /",
    ]);
  });
  it("have lost attributes, or have another type or propagation", () => {
    const writable = "4 1 0:4 /src /run/x rw - ext4 /dev/vda rw";
    expect(compare(root, proc, keys, writable)).toEqual(["/var/run/x: rw"]);
    expect(compare(root, "2 1 0:2 / /proc rw,nosuid,nodev,noexec - tmpfs x rw", keys, bind)).toEqual([
      "/proc: tmpfs",
    ]);
    expect(compare(`${root.replace(" - ", " shared:3 - ")}`, proc, keys, bind)).toEqual(["/: shared:3"]);
  });
});

describe("control group files", () => {
  it.each([
    ["pids.max", "50", "50", true],
    ["pids.max", "50", "max", false],
    ["pids.max", "max", "max", true],
    ["memory.limit_in_bytes", "67108865", "67108864", true],
    ["memory.limit_in_bytes", "67108864", "104857600", false],
    ["memory.memsw.limit_in_bytes", "-1", "9223372036854771712", true],
    ["cpuset.cpus", "0,1,2", "0-2", true],
    ["cpuset.cpus", "0", "0-1", false],
    ["cpu.cfs_quota_us", "-1", "-1", true],
    ["memory.oom_control", "1", "oom_kill_disable 1\nunder_oom 0", true],
    ["memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0", false],
    ["cgroup.subtree_control", "+cpu +pids", "cpu io pids", true],
    ["blkio.throttle.read_bps_device", "8:0 1000", "7:0 5\n8:0 1000", true],
    ["blkio.throttle.read_bps_device", "8:0 1000", "8:0 2000", false],
    ["blkio.throttle.read_bps_device", "8:0 0", "", true],
    ["io.max", "8:0 rbps=1000", "8:0 rbps=1000 wbps=max", true],
    ["cpu.max", "50000 100000", "50000 100000", true],
    ["cpu.max", "50000 100000", "max 100000", false],
  ])("%s: %j reads back as %j: %s", (name, wanted, found, same) => {
    expect(readsBack(`/sys/fs/cgroup/x/${name}`, wanted, found)).toBe(same);
  });

  it("know devices that were allowed or taken away", () => {
    const allowed = ["c *:* m", "c 1:3 rwm"];
    expect(compareDevices(allowed, ["c 1:3 rwm", "c *:* m"])).toEqual([]);
    expect(compareDevices(allowed, ["c 1:3 rwm", "c *:* m", "b 8:0 r"])[0]).toMatchObject({
      what: "b 8:0",
      severity: "high",
    });
    expect(compareDevices(allowed, ["c *:* rwm", "c 1:3 rwm"])[0]).toMatchObject({
      what: "c *:*",
      found: "rwm",
    });
    expect(compareDevices(allowed, ["c *:* m"])[0]).toMatchObject({ what: "c 1:3", severity: "low" });
    expect(compareDevices(allowed, ["a *:* rwm"]).map(({ severity }) => severity)).toEqual(["high"]);
  });
});

describe("networks", () => {
  const link = (more: Partial<LinkState> = {}): LinkState => ({
    index: 100,
    name: "eth0",
    mac: "02:42:00:00:00:02",
    mtu: 1500,
    up: true,
    kind: "veth",
    master: 0,
    isolated: false,
    ...more,
  });
  const address: AddressState = { index: 100, address: "10.0.0.2", prefixLength: 24, scope: 0 };
  const route: RouteState = {
    family: 4,
    destination: "",
    prefixLength: 0,
    gateway: "10.0.0.1",
    index: 100,
    protocol: 3,
    table: 254,
    type: 1,
  };
  const expected: ExpectedNetwork = {
    links: [
      {
        name: "eth0",
        mac: "02:42:00:00:00:02",
        addresses: ["10.0.0.2/24"],
        host: { name: "veth0", index: 7, bridgeIndex: 3, isolated: true, shape: unshaped, shaper: undefined },
      },
    ],
    gateways: { 4: "10.0.0.1", 6: "" },
  };
  const inside = (links: LinkState[], addresses: AddressState[], routes: RouteState[]) =>
    compareInside(expected, { links, addresses, routes }).map(({ what, found }) => `${what}: ${found}`);
  const lo = link({ index: 1, name: "lo", kind: "" });

  it("are as planned, with what the kernel adds by itself", () => {
    const local: AddressState = { index: 100, address: "fe80::1", prefixLength: 64, scope: 253 };
    const byKernel: RouteState = {
      ...route,
      destination: "10.0.0.0",
      prefixLength: 24,
      gateway: "",
      protocol: 2,
    };
    const tunnel = link({ index: 2, name: "sit0", kind: "sit" });
    expect(inside([lo, link(), tunnel], [address, local], [route, byKernel])).toEqual([]);
  });
  it("have lost or gained something", () => {
    expect(inside([lo], [], [])).toEqual(["link eth0: not there", "IPv4 default route: none"]);
    expect(inside([lo, link({ up: false })], [address], [route])).toEqual(["link eth0: down"]);
    expect(inside([link(), link({ index: 9, name: "eth9" })], [address], [route])).toEqual([
      "link eth9: veth",
    ]);
    expect(inside([link()], [address, { ...address, address: "10.0.0.9" }], [route])).toEqual([
      "address of eth0: 10.0.0.9/24",
    ]);
    expect(inside([link({ mac: "02:00:00:00:00:01" })], [address], [route])).toEqual([
      "MAC address of eth0: 02:00:00:00:00:01",
    ]);
    expect(
      inside([link()], [address], [route, { ...route, destination: "10.9.0.0", prefixLength: 16 }]),
    ).toEqual(["route: IPv4 10.9.0.0/16 by 10.0.0.1 through eth0"]);
  });
  it("hang on their bridge, isolated where they ought to be", () => {
    const outside = (one: LinkState | undefined) =>
      compareOutside(expected, {
        links: new Map(one ? [[7, one]] : []),
        qdiscs: new Map(),
        classesOf: () => [],
      }).map(({ found }) => found);
    const port = link({ index: 7, name: "veth0", master: 3, isolated: true });
    expect(outside(port)).toEqual([]);
    expect(outside(undefined)).toEqual(["not there"]);
    expect(outside({ ...port, master: 0 })).toEqual(["none"]);
    expect(outside({ ...port, isolated: false })).toEqual(["not isolated"]);
  });
  it("are shaped as was asked for: rates, ceilings, classes", () => {
    const state = (kind: string, handle: string, rate: number, ceiling = rate): TrafficState => ({
      ...{ kind, handle, rate, ceiling },
      ...{ bytes: 0, packets: 0, dropped: 0, overlimits: 0, backlog: 0 },
    });
    const shaped = (direction: Partial<ShapeDirection>, qdisc: TrafficState, classes: TrafficState[] = []) =>
      compareOutside(
        {
          ...expected,
          links: expected.links.map((one) => ({
            ...one,
            host: one.host && { ...one.host, shape: { ...unshaped, in: { ...unshaped.in, ...direction } } },
          })),
        },
        {
          links: new Map([[7, link({ index: 7, name: "veth0", master: 3, isolated: true })]]),
          qdiscs: new Map([[7, [qdisc]]]),
          classesOf: () => classes,
        },
      ).map(({ what, found }) => `${what.split(" ", 2).join(" ")}: ${found}`);
    expect(shaped({ rate: 8e6 }, state("tbf", "1:", 8e6))).toEqual([]);
    expect(shaped({ rate: 8e6 }, state("tbf", "1:", 9e6))).toEqual([
      "to the: 9000000 bit/s, at most 9000000",
    ]);
    expect(shaped({ rate: 8e6, ceiling: 9e6 }, state("tbf", "1:", 8e6))).toEqual([
      "to the: 8000000 bit/s, at most 8000000",
    ]);
    const web = { name: "web", protocol: "tcp" as const, ports: [], rate: 3e6, ceiling: 0, priority: 0 };
    const tree = [state("htb", "1:1", 8e6), state("htb", "1:10", 3e6, 8e6), state("htb", "1:ff", 5e6, 8e6)];
    const classes = (found: TrafficState[]) =>
      shaped({ rate: 8e6, classes: [web] }, state("htb", "1:", 0), found);
    expect(classes(tree)).toEqual([]);
    expect(classes([...tree.slice(0, 1), ...tree.slice(2), state("htb", "1:11", 1e6)])).toEqual([
      "class 1:10: not there",
      "class 1:11: 1000000 bit/s, at most 1000000",
    ]);
    expect(classes(tree.with(1, state("htb", "1:10", 3e6)))).toEqual([
      "class 1:10: 3000000 bit/s, at most 3000000",
    ]);
  });
});

it("what a container may do itself is information", () => {
  const [drift] = compareDevices([], ["b 8:0 r"]);
  if (!drift) throw new Error("no drift");
  expect(unlessAllowed([drift], "SYS_ADMIN", 0n)[0]).toMatchObject({ severity: "high", byContainer: false });
  expect(unlessAllowed([drift], "SYS_ADMIN", 1n << 21n)[0]).toMatchObject({
    severity: "info",
    byContainer: true,
  });
});
