// Plans compared as data: what is in them, and in which order. Nothing here touches the kernel.
import { type Cgroups, type Op, parseMessages, type Step, stageOf } from "@tsd/kernel-bindings";
import { describe, expect, it } from "vitest";
import { unshaped } from "./network/shape.ts";
import { containerPlan, execPlan } from "./plan.ts";
import type { ContainerSpec, NamespaceChoice, ProcessSpec } from "./spec.ts";

const cgroups: Cgroups = {
  version: 2,
  controllers: [{ name: "", mountPoint: "/sys/fs/cgroup" }],
  create: (group) => [{ op: "directory", path: `/sys/fs/cgroup${group}`, mode: 0o755 }],
  enter: (group) => ({ op: "cgroup.enter", files: [`/sys/fs/cgroup${group}/cgroup.procs`] }),
  subtree: () => undefined,
  directories: (group) => [`/sys/fs/cgroup${group}`],
  children: () => [],
  processes: () => [],
  oomKills: () => 0,
  watchMemory: () => [],
  setDevices: () => undefined,
  changes: () => [],
  freeze: () => undefined,
  isFrozen: () => false,
  statistics: () => {
    throw new Error("not asked for");
  },
  usage: () => {
    throw new Error("not asked for");
  },
  deviceTasks: () => undefined,
  has: () => true,
  realtimeBelow: () => undefined,
};
const process: ProcessSpec = {
  arguments: ["sh", "-c", "true"],
  environment: ["PATH=/bin"],
  workingDirectory: "/work",
  user: { uid: 1000, gid: 100, groups: [24] },
  capabilities: {
    bounding: ["CHOWN"],
    effective: ["CHOWN"],
    permitted: ["CHOWN"],
    inheritable: [],
    ambient: [],
  },
  seccomp: { program: Buffer.alloc(8), flags: 0 },
  noNewPrivileges: false,
  rlimits: [],
  oomScoreAdj: undefined,
};
const own = { kind: "private" } as const;
const spec: ContainerSpec = {
  id: "c".repeat(64),
  socket: "/run/x/monitor.sock",
  exitRecord: "/run/x/exit",
  log: { path: "/data/log", maximumSize: 0, maximumFiles: 1, compressor: "" },
  streams: { terminal: false, openStdin: true, stdinOnce: true, columns: 0, rows: 0 },
  namespaces: {
    user: { kind: "host" },
    pid: own,
    ipc: own,
    uts: own,
    network: own,
    cgroup: own,
    time: undefined,
  },
  hostname: "box",
  domainname: "",
  cgroups,
  cgroup: "/tsd/c",
  limits: {},
  deviceRules: [],
  forward: undefined,
  subtree: undefined,
  interfaces: [
    {
      name: "eth0",
      index: 100,
      attachment: {
        kind: "bridge",
        hostName: "vethc",
        hostIndex: 5000,
        bridgeIndex: 3,
        isolated: false,
        shape: unshaped,
        shaper: undefined,
      },
      mtu: 1500,
      mac: "02:42:ac:1e:00:02",
      addresses: [{ address: "172.30.0.2", prefixLength: 16 }],
      gateways: ["172.30.0.1"],
    },
  ],
  nameServer: undefined,
  root: {
    staging: "/run/rootfs",
    layers: ["/l/1", "/l/0"],
    base: "/data",
    readOnly: true,
  },
  files: [{ source: "/data/hosts", target: "/etc/hosts" }],
  mounts: [],
  devices: [],
  shmSize: 65536,
  privileged: false,
  maskedPaths: ["/proc/kcore"],
  readonlyPaths: ["/proc/sys"],
  sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" },
  init: undefined,
  process,
};

const ops = (plan: readonly Step[]): Op[] => plan.map(({ op }) => op);
const find = <K extends Op>(plan: readonly Step[], op: K): Extract<Step, { op: K }> => {
  const step = plan.find((candidate) => candidate.op === op);
  if (!step) throw new Error(`no step ${op}`);
  return step as Extract<Step, { op: K }>;
};

describe("a container's plan", () => {
  const plan = containerPlan(spec);

  it("runs its stages in order around one clone", () => {
    expect(ops(plan).filter((op) => op === "clone")).toHaveLength(1);
    const clone = ops(plan).indexOf("clone");
    expect(plan.slice(0, clone).every(({ op }) => stageOf(op) === "monitor")).toBe(true);
    expect(plan.slice(clone + 1).some(({ op }) => stageOf(op) === "monitor")).toBe(false);
    expect(plan.at(-1)?.op).toBe("execute");
  });

  it("clones every namespace but cgroup's, which is unshared inside its group", () => {
    expect(Number(find(plan, "clone").flags).toString(16)).toBe("6c020000");
    const order = ops(plan);
    expect(order.indexOf("unshare")).toBeGreaterThan(order.indexOf("cgroup.enter"));
  });

  it("takes bind sources before the tree becomes private, and masks before it pivots", () => {
    const order = ops(plan);
    expect(order.indexOf("bind.open")).toBeLessThan(order.indexOf("hand-over"));
    expect(order.indexOf("hand-over")).toBeLessThan(order.indexOf("take-over"));
    expect(order.indexOf("propagation")).toBeLessThan(order.indexOf("root.attach"));
    expect(order.lastIndexOf("mask")).toBeLessThan(order.indexOf("pivot"));
    expect(find(plan, "pivot").attributes).toBe(1);
  });

  it("takes other images as a whole on the host, and parts of them where nobody sees it", () => {
    const image = { type: "image", layers: ["/top", "/bottom"], target: "/x", subpath: "" } as const;
    const whole = containerPlan({ ...spec, mounts: [image] });
    const { slot } = find(whole, "image.open");
    expect(find(whole, "image.open").lower).toEqual(["/top", "/bottom"]);
    expect(whole).toContainEqual(expect.objectContaining({ op: "bind", slot, target: "/x", attributes: 1 }));
    expect(ops(whole)).not.toContain("image.part");
    const part = containerPlan({ ...spec, mounts: [{ ...image, subpath: "a/b" }] });
    expect(find(part, "image.part")).toMatchObject({ slot, subpath: "a/b" });
    const order = ops(part);
    expect(order.indexOf("propagation")).toBeLessThan(order.indexOf("image.part"));
    expect(order.indexOf("image.part")).toBeLessThan(order.indexOf("root.attach"));
  });

  it("waits for the host with all that needs no network done, and sets parameters before their paths are read-only", () => {
    const order = ops(plan);
    expect(order.indexOf("pivot")).toBeLessThan(order.indexOf("await-host"));
    const among = "/proc/sys/net/ipv4";
    const steps = containerPlan({
      ...spec,
      readonlyPaths: ["/proc/sys", among],
      maskedPaths: [`${among}/conf`],
    });
    const place = (path: string): number => steps.findIndex((step) => "path" in step && step.path === path);
    const lastParameter = steps.findLastIndex(({ op }) => op === "sysctl");
    expect(place("/proc/sys")).toBeLessThan(lastParameter);
    expect(place(among)).toBeGreaterThan(lastParameter);
    expect(place(`${among}/conf`)).toBeGreaterThan(lastParameter);
  });

  it("loads the filter while it may, unless no_new_privs lets it come last", () => {
    const order = ops(plan);
    expect(order.indexOf("seccomp")).toBeLessThan(order.indexOf("capabilities.bounding"));
    const strict = ops(containerPlan({ ...spec, process: { ...process, noNewPrivileges: true } }));
    expect(strict.indexOf("seccomp")).toBe(strict.length - 2);
    expect(strict.indexOf("no-new-privileges")).toBeLessThan(strict.indexOf("seccomp"));
  });

  it("labels by the host's /proc, before anything of the container's is mounted, and traces above the filter", () => {
    const label = "system_u:object_r:container_file_t:s0:c1,c2";
    const labels = { selinux: "system_u:system_r:container_t:s0:c1,c2", appArmor: "tsd-default" };
    const relabel: Step = { op: "relabel", source: "/a", confined: false, subpath: "", label, forbidden: [] };
    const landlock: Step = {
      ...{ op: "landlock", fileSystem: 1, network: 0, scoped: 0 },
      ...{ paths: ["/bin"], access: [1], ports: [], portAccess: [] },
    };
    const own = { ...process, labels, traced: true, landlock };
    const plan = containerPlan({ ...spec, process: own, mountLabel: label, relabel: [relabel], trace: "/t" });
    const order = plan.map(({ op }) => op);
    const at = (op: Op): number => order.indexOf(op);
    expect(at("relabel")).toBeLessThan(at("clone"));
    expect(at("label")).toBeLessThan(at("root.attach"));
    expect(plan.filter(({ op }) => op === "label")).toEqual([
      { op: "label", attributes: ["exec"], value: labels.selinux },
      { op: "label", attributes: ["apparmor/exec", "exec"], value: "exec tsd-default" },
      { op: "label", attributes: ["keycreate"], value: labels.selinux },
    ]);
    const mounts = plan.flatMap((step) => (step.op === "mount" ? [step] : []));
    for (const target of ["/dev/pts", "/dev/shm"])
      expect(mounts.find((mount) => mount.target === target)?.options).toContain(`context=${label}`);
    expect(plan.find(({ op }) => op === "root.overlay")).toMatchObject({ options: [`context=${label}`] });
    expect(find(plan, "tmpfs.open").options).toContain(`context=${label}`);
    expect(at("landlock")).toBe(at("seccomp") - 1);
    expect(at("seccomp.trace")).toBe(at("seccomp") + 1);
    expect(at("seccomp.record")).toBeLessThan(at("clone"));
    const exec = execPlan({
      ...{
        id: "e",
        socket: "/s",
        exitRecord: "/e",
        streams: spec.streams,
        pid: 7,
        namespaces: spec.namespaces,
      },
      ...{ cgroups, cgroup: "/tsd/c", process: own },
    }).map(({ op }) => op);
    expect(exec.indexOf("label")).toBeLessThan(exec.indexOf("namespaces.join"));
  });

  it("sets the network up by messages for both sides", () => {
    // The pair of links; its end on the bridge.
    expect(parseMessages(Buffer.from(find(plan, "netlink.host").messages))).toHaveLength(2);
    // Loopback up; an address, the link up, a route.
    expect(parseMessages(Buffer.from(find(plan, "netlink").messages))).toHaveLength(4);
    const host = containerPlan({
      ...spec,
      interfaces: [],
      namespaces: { ...spec.namespaces, network: { kind: "host" } },
    });
    expect(ops(host)).not.toContain("netlink");
    expect(Number(find(host, "clone").flags) & 0x40000000).toBe(0);
  });

  it("opens the name server's sockets once the network is up, and leads port 53 to them unless they have it", () => {
    const served = containerPlan({ ...spec, nameServer: { port: 61234 } });
    const order = ops(served);
    expect(find(served, "name-server.listen").port).toBe(61234);
    expect(order.indexOf("name-server.listen")).toBeGreaterThan(order.indexOf("netlink"));
    // The frame of a batch, a table, a chain, and a rule for each protocol and direction.
    expect(parseMessages(Buffer.from(find(served, "netfilter").messages))).toHaveLength(2 + 1 + 1 + 4);
    expect(ops(containerPlan({ ...spec, nameServer: { port: 53 } }))).not.toContain("netfilter");
    const shared: NamespaceChoice = { kind: "join", path: "/proc/7/ns/net" };
    const joined = { ...spec.namespaces, network: shared };
    const inAnothers = containerPlan({ ...spec, namespaces: joined, nameServer: { port: 53 } });
    expect(ops(inAnothers)).not.toContain("name-server.listen");
  });

  it("joins another's namespaces by its paths", () => {
    const path = "/proc/7/ns/pid";
    const joined = containerPlan({
      ...spec,
      namespaces: { ...spec.namespaces, pid: { kind: "join", path } },
    });
    expect(find(joined, "pid-namespace.join").path).toBe(path);
    expect(ops(joined).indexOf("pid-namespace.join")).toBeLessThan(ops(joined).indexOf("clone"));
  });

  it("in a user namespace of its own opens trees for it on the host, and becomes its root before it touches them", () => {
    const range = [{ container: 0, host: 700_000, size: 65_536 }];
    const user = { kind: "private", maps: { uids: range, gids: range } } as const;
    const limited = { ...process, rlimits: [{ resource: 7, soft: 10n, hard: 20n, tolerated: false }] };
    const apart = containerPlan({ ...spec, process: limited, namespaces: { ...spec.namespaces, user } });
    const order = ops(apart);
    expect(Number(find(apart, "clone").flags) & 0x10000000).not.toBe(0);
    expect(find(apart, "user-namespace")).toEqual({
      op: "user-namespace",
      uidMap: "0 700000 65536\n",
      gidMap: "0 700000 65536\n",
      rootUid: 700_000,
      rootGid: 700_000,
    });
    expect(find(apart, "stdio").owner).toBe(701_000);
    expect(find(apart, "node")).toMatchObject({ path: "/null", uid: 700_000, gid: 700_000 });
    expect(find(apart, "bind.open").idmapped && find(apart, "root.overlay").idmapped).toBe(true);
    expect(order.indexOf("rlimit.raise")).toBeLessThan(order.indexOf("clone"));
    expect(order.indexOf("user-namespace")).toBeLessThan(order.indexOf("bind.open"));
    expect(order.indexOf("root.attach")).toBeLessThan(order.indexOf("user-namespace.root"));
    expect(order.indexOf("user-namespace.root")).toBeLessThan(order.indexOf("mount"));
    expect(ops(plan)).not.toContain("user-namespace.root");
    expect(find(plan, "root.overlay").idmapped).toBe(false);
    const stranger = { ...process, user: { uid: 100_000, gid: 0, groups: [] } };
    expect(() =>
      containerPlan({ ...spec, process: stranger, namespaces: { ...spec.namespaces, user } }),
    ).toThrow("user 100000 is none of the container's user namespace");
  });

  it("has clocks that are ahead only by a namespace of its own", () => {
    const time = { monotonic: 5, boottime: 7 };
    const ahead = containerPlan({ ...spec, namespaces: { ...spec.namespaces, time } });
    expect(find(ahead, "time-namespace").offsets).toBe("monotonic 5 0\nboottime 7 0\n");
    expect(ops(ahead).indexOf("time-namespace")).toBeLessThan(ops(ahead).indexOf("clone"));
  });

  it("puts the init in front of the command", () => {
    const plan = containerPlan({ ...spec, init: "/lib/init" });
    expect(find(plan, "execute").arguments).toEqual(["/sbin/docker-init", "--", "sh", "-c", "true"]);
  });
});

describe("an exec's plan", () => {
  it("joins the mount namespace last, and makes none", () => {
    const plan = execPlan({
      id: "e",
      socket: "/s",
      exitRecord: "/e",
      streams: spec.streams,
      pid: 9,
      namespaces: { user: { kind: "host" }, time: undefined },
      cgroups,
      cgroup: "/tsd/c",
      process,
    });
    expect(find(plan, "namespaces.join").paths.at(-1)).toBe("/proc/9/ns/mnt");
    expect(find(plan, "clone").flags).toBe(0);
    expect(ops(plan)).not.toContain("mount");
  });
});
