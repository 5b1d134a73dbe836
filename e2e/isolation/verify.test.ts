// tsctl verify: drifts made by hand, each found and named; and none where nobody touched anything.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, PATIENCE } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { type Sleeper, startSleeper } from "../harness/sleepers.ts";

interface Drift {
  Subject: string;
  What: string;
  Expected: string;
  Found: string;
  Severity: string;
}
interface Verification {
  Name: string;
  Running: boolean;
  Drifts: Drift[];
}

let daemon: TestDaemon;
let number = 0;
const helpers: ChildProcess[] = [];

beforeAll(async () => {
  daemon = await TestDaemon.start("verify");
  await daemon.importBusybox();
});
afterEach(async () => {
  for (const helper of helpers.splice(0)) helper.kill("SIGKILL");
  await daemon.clear();
});
afterAll(async () => {
  await daemon?.stop();
});

const start = (...flags: string[]): Promise<Sleeper> => startSleeper(daemon, `target-${++number}`, ...flags);

async function verify({ name }: { name: string }): Promise<Drift[]> {
  const answer = await daemon.api("GET", `/tsd/containers/${name}/verify`);
  expect(answer.status, answer.text).toBe(200);
  return (JSON.parse(answer.text) as Verification).Drifts;
}

/** A command in some of a container's namespaces, as a host's root runs it. */
const enter = ({ pid }: Sleeper, kinds: string, ...command: string[]): Promise<string> =>
  output("nsenter", ["-t", String(pid), ...[...kinds].map((kind) => `-${kind}`), ...command]);
const onHost = (...command: string[]): Promise<string> =>
  output("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...command]);

/** The directories of a container's group, one for each hierarchy. */
const groups = ({ id }: Sleeper): string[] =>
  ["", ...readdirSync("/sys/fs/cgroup")]
    .map((hierarchy) => join("/sys/fs/cgroup", hierarchy, daemon.cgroupParent, id))
    .filter(existsSync);
const groupFile = (target: Sleeper, ...names: string[]): string => {
  const files = groups(target).flatMap((directory) => names.map((file) => join(directory, file)));
  const found = files.find(existsSync);
  if (!found) throw new Error(`none of ${files.join(" ")}`);
  return found;
};

/** Brings a process of the host's into some of a container's namespaces, and into its control groups if wanted. */
async function bring(target: Sleeper, kinds: string, joinGroups: boolean): Promise<void> {
  const words = ["-t", String(target.pid), ...[...kinds].map((kind) => `-${kind}`), "sleep", "1000"];
  const helper = spawn("nsenter", words, { stdio: "ignore" });
  helpers.push(helper);
  const children = (): string =>
    readFileSync(`/proc/${helper.pid}/task/${helper.pid}/children`, "utf8").trim();
  await eventually("the process is inside", async () => children() !== "");
  const pid = children().split(" ")[0] ?? "";
  if (joinGroups) for (const group of groups(target)) writeFileSync(join(group, "cgroup.procs"), pid);
}

const hostLink = async (target: Sleeper): Promise<string> => {
  const links = await onHost("ip", "-o", "link");
  return (
    /^\d+: (veth[^@:]*)/m.exec(
      links.split("\n").find((line) => line.includes(`veth${target.id.slice(0, 7)}`)) ?? "",
    )?.[1] ?? ""
  );
};
const isV1 = existsSync("/sys/fs/cgroup/devices");
const everything = ["--cap-add", "ALL"];
/** So that a process of the host's that enters the other namespaces differs in one thing only. */
const hostUsers = ["--userns", "host"];
const unfiltered = ["--security-opt", "seccomp=unconfined"];

interface Case {
  what: string;
  flags?: string[];
  skip?: boolean;
  make: (target: Sleeper) => Promise<unknown>;
  /** Subject, and a part of what is said. */
  found: [subject: string, text: string];
}

const cases: Case[] = [
  {
    what: "a mask that was unmounted",
    make: (target) => enter(target, "m", "/bin/umount", "/proc/keys"),
    found: ["mount", "/proc/keys"],
  },
  {
    what: "a mount that nobody planned",
    make: async (target) => {
      await daemon.tsctl("exec", target.name, "mkdir", "/more");
      await enter(target, "m", "/bin/mount", "-t", "tmpfs", "none", "/more");
    },
    found: ["mount", "/more"],
  },
  {
    what: "a mount over one that was planned",
    make: (target) => enter(target, "m", "/bin/mount", "-t", "tmpfs", "none", "/dev/shm"),
    found: ["mount", "/dev/shm"],
  },
  {
    what: "/proc/sys made writable",
    make: (target) => enter(target, "mp", "/bin/mount", "-o", "remount,bind,rw", "/proc/sys"),
    found: ["mount", "/proc/sys"],
  },
  {
    what: "a read-only root made writable",
    flags: ["--read-only"],
    make: (target) => enter(target, "mp", "/bin/mount", "-o", "remount,bind,rw", "/"),
    found: ["mount", "/"],
  },
  {
    what: "a host name that was changed",
    make: (target) => enter(target, "u", "hostname", "somebody-else"),
    found: ["host name", "somebody-else"],
  },
  {
    what: "pids.max raised",
    flags: ["--pids-limit", "50"],
    make: async (target) => writeFileSync(groupFile(target, "pids.max"), "max"),
    found: ["control group", "pids.max"],
  },
  {
    what: "a memory limit raised",
    flags: ["-m", "64m"],
    make: async (target) => {
      // Memory and swap together are no less than memory alone.
      if (isV1) writeFileSync(groupFile(target, "memory.limit_in_bytes"), String(100 << 20));
      else writeFileSync(groupFile(target, "memory.max"), "max");
    },
    found: ["control group", "memory"],
  },
  {
    what: "a device that was allowed",
    skip: !isV1,
    make: async (target) => writeFileSync(groupFile(target, "devices.allow"), "b 7:0 rwm"),
    found: ["device rule", "b 7:0"],
  },
  {
    what: "a published port that leads elsewhere no more",
    flags: ["-p", "127.0.0.1:18080:80"],
    make: () => onHost("nft", "flush", "map", "ip", "tsd", "bound"),
    found: ["firewall", "port 18080/tcp"],
  },
  {
    what: "a source guard that lets another's address through",
    make: async (target) => {
      const index = readFileSync(await sysfs(target), "utf8").trim();
      const mac = /link\/ether (\S+)/.exec(await enter(target, "n", "ip", "-o", "link", "show", "eth0"))?.[1];
      const name = await hostLink(target);
      expect(index).toMatch(/^\d+$/);
      await onHost("nft", "add", "element", "bridge", "tsd", "sources", `{ "${name}" . ${mac} . 10.9.9.9 }`);
    },
    found: ["firewall", "10.9.9.9"],
  },
  {
    what: "a qdisc that was deleted",
    flags: ["--net-rate-in", "8mbit"],
    make: async (target) => onHost("tc", "qdisc", "del", "dev", await hostLink(target), "root"),
    found: ["traffic", "no qdisc"],
  },
  {
    what: "a link taken off its bridge",
    make: async (target) => onHost("ip", "link", "set", await hostLink(target), "nomaster"),
    found: ["network", "bridge of"],
  },
  {
    what: "an address that was added",
    make: (target) => enter(target, "n", "ip", "address", "add", "10.8.8.8/32", "dev", "eth0"),
    found: ["network", "10.8.8.8/32"],
  },
  {
    what: "a route that was added",
    make: (target) => enter(target, "n", "ip", "route", "add", "10.7.0.0/16", "dev", "eth0"),
    found: ["network", "10.7.0.0/16"],
  },
  {
    what: "a default route that was taken away",
    make: (target) => enter(target, "n", "ip", "route", "del", "default"),
    found: ["network", "default route"],
  },
  {
    what: "a link that was added",
    make: (target) => enter(target, "n", "ip", "link", "add", "more0", "type", "bridge"),
    found: ["network", "more0"],
  },
  {
    what: "a kernel parameter that was changed",
    make: (target) =>
      enter(target, "n", "sh", "-c", "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start"),
    found: ["kernel parameter", "net.ipv4.ip_unprivileged_port_start"],
  },
  {
    what: "a process with more capabilities than the container's",
    flags: [...hostUsers, ...unfiltered],
    make: (target) => bring(target, "muinpC", true),
    found: ["capability", "SYS_ADMIN"],
  },
  {
    what: "a process without a seccomp filter",
    flags: [...hostUsers, ...everything],
    make: (target) => bring(target, "muinpC", true),
    found: ["process", "seccomp"],
  },
  {
    what: "a process without no_new_privs",
    flags: [...hostUsers, ...everything, ...unfiltered, "--security-opt", "no-new-privileges"],
    make: (target) => bring(target, "muinpC", true),
    found: ["process", "no_new_privs"],
  },
  {
    what: "a process in the host's network",
    flags: [...hostUsers, ...everything, ...unfiltered],
    make: (target) => bring(target, "muipC", true),
    found: ["namespace", "net of process"],
  },
  {
    what: "a process that is root outside",
    flags: ["--userns", "auto", ...everything, ...unfiltered],
    make: (target) => bring(target, "muinpC", true),
    found: ["namespace", "user of process"],
  },
  {
    what: "a stranger among the container's processes",
    make: (target) => bring(target, "muinpC", false),
    found: ["process", "stranger"],
  },
  {
    what: "a process that left a control group",
    make: async (target) => {
      const own = groupFile(target, "pids.max").replace(/pids\.max$/, "");
      writeFileSync(join(own, "../../cgroup.procs"), String(target.pid));
    },
    found: ["process", "control group of process"],
  },
  {
    what: "an oom_score_adj that was changed",
    make: async ({ pid }) => writeFileSync(`/proc/${pid}/oom_score_adj`, "500"),
    found: ["process", "oom_score_adj"],
  },
  {
    what: "a resource limit that was changed",
    flags: ["--ulimit", "nofile=100:100"],
    make: ({ pid }) => output("prlimit", ["--pid", String(pid), "--nofile=10:10"]),
    found: ["resource limit", "nofile"],
  },
];

/** The index of a link of the daemon's namespace is in no file of ours: from inside, of the other end. */
const sysfs = async ({ pid }: Sleeper): Promise<string> => `/proc/${pid}/root/sys/class/net/eth0/iflink`;

describe("a drift made by hand is found and named, and nothing besides", () => {
  for (const { what, flags = [], skip, make, found } of cases)
    it.skipIf(skip)(what, async () => {
      const target = await start(...flags);
      expect(await verify(target)).toEqual([]);
      await make(target);
      const drifts = await verify(target);
      expect(drifts, JSON.stringify(drifts)).toHaveLength(1);
      const [drift] = drifts;
      expect(drift?.Subject).toBe(found[0]);
      expect(`${drift?.What}: ${drift?.Found}`).toContain(found[1]);
      const { status, stdout } = await daemon.tsctl("verify", target.name);
      expect(stdout).toContain(found[1]);
      expect(status).toBe(drift?.Severity === "info" ? 0 : 1);
    });

  it("a firewall rule that was removed (before the daemon puts it back)", async () => {
    const target = await start("-p", "18081:80");
    expect(await verify(target)).toEqual([]);
    const remove = async (): Promise<Drift[]> => {
      await onHost("iptables", "-D", "FORWARD", "-j", "TSD-FORWARD");
      return verify(target);
    };
    let drifts: Drift[] = [];
    // The daemon looks once a second: one of some attempts is in between.
    for (let attempt = 0; attempt < 5 && drifts.length === 0; attempt++) {
      await eventually("the rule is there", async () =>
        (await onHost("iptables-save")).includes("-A FORWARD -j TSD-FORWARD"),
      );
      drifts = await remove();
    }
    expect(drifts).toHaveLength(1);
    expect(drifts[0]).toMatchObject({ Subject: "firewall", Found: "not there" });
    expect(drifts[0]?.What).toContain("-A FORWARD -j TSD-FORWARD");
    await eventually("the daemon repairs it", async () => (await verify(target)).length === 0);
  });
});

describe("what is no drift", () => {
  it("is what was asked for since the start: updates, networks, pauses, execs, another daemon", async () => {
    await daemon.api("POST", "/networks/create", { Name: "more" });
    const target = await start("-m", "64m", "--pids-limit", "50", "--ulimit", "nofile=100:100");
    const still = async (): Promise<void> => expect(await verify(target)).toEqual([]);
    await daemon.api("POST", `/containers/${target.name}/update`, {
      Memory: 128 << 20,
      MemorySwap: -1,
      PidsLimit: 70,
      CpuShares: 200,
      NetworkShape: { Out: { Rate: "8mbit" } },
    });
    await still();
    await daemon.api("POST", "/networks/more/connect", { Container: target.name });
    await still();
    await daemon.api("POST", "/networks/bridge/disconnect", { Container: target.name });
    await still();
    for (const flags of [["-d"], ["-d", "--privileged"], ["-d", "-u", "1000"]])
      await daemon.tsctl("exec", ...flags, target.name, "sh", "-c", "ulimit -n 20; sleep 1000");
    await still();
    await daemon.api("POST", `/containers/${target.name}/pause`);
    await still();
    await daemon.end("SIGKILL");
    await daemon.launch();
    await still();
    await daemon.api("POST", `/containers/${target.name}/unpause`);
    await still();
    await daemon.clear();
    await daemon.api("DELETE", "/networks/more");
  });

  it("is what a container does within its rights", async () => {
    const target = await start(...everything, ...unfiltered);
    const inside = "mkdir /own; mount -t tmpfs none /own; hostname mine; ip link add own0 type bridge";
    await daemon.tsctl("exec", target.name, "sh", "-c", inside);
    const drifts = await verify(target);
    expect(drifts.map(({ Severity }) => Severity)).toEqual(drifts.map(() => "info"));
    expect(drifts.length).toBeGreaterThan(1);
    expect((await daemon.tsctl("verify", target.name)).status).toBe(0);
  });

  it(
    "is anything about 200 untouched containers of many kinds",
    async () => {
      await daemon.api("POST", "/networks/create", {
        Name: "closed",
        Options: { "com.docker.network.bridge.enable_icc": "false" },
      });
      await daemon.api("POST", "/networks/create", {
        Name: "six",
        EnableIPv6: true,
        IPAM: { Config: [{ Subnet: "fd00:77::/64" }] },
      });
      const partner = await start("--ipc", "shareable");
      const kinds: string[][] = [
        [],
        ["-m", "64m", "--cpus", "0.5", "--pids-limit", "20", "--cpuset-cpus", "0"],
        ["--cap-drop", "ALL", "--read-only", "--tmpfs", "/tmp", "-u", "1000:1000"],
        ["--privileged"],
        ["--net", "none", "--security-opt", "no-new-privileges"],
        ["--net", "host", "--uts", "host", "--ipc", "host", "--pid", "host"],
        [
          "--net",
          `container:${partner.name}`,
          "--pid",
          `container:${partner.name}`,
          "--ipc",
          `container:${partner.name}`,
        ],
        ["--net", "closed", "--net-rate-out", "8mbit", "--net-rate-in", "8mbit"],
        ["--net", "six"],
        ["-t", "-v", "/data", "-v", "/etc:/host-etc:ro", "--init"],
        ["-P", "--expose", "80", "--ulimit", "nofile=64:64", "--sysctl", "net.ipv4.ip_forward=1"],
        ["--type", "system", "--entrypoint", "sleep"],
        ["--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"],
        ["--cap-add", "ALL", "--device", "/dev/fuse"].slice(0, existsSync("/dev/fuse") ? 4 : 2),
        ["-v", "/tmp:/deep/er:rslave", "--shm-size", "1m", "--hostname", "own", "--domainname", "example"],
        ["--cgroupns", "host", "--oom-score-adj", "100", "--blkio-weight", "0"],
      ];
      const jobs = Array.from({ length: 200 }, (_, index) => kinds[index % kinds.length] ?? []);
      const starting = async (): Promise<void> => {
        for (let flags = jobs.pop(); flags; flags = jobs.pop()) {
          const system = flags.includes("--entrypoint");
          const command = system ? ["busybox", "1000"] : ["busybox", "sleep", "1000"];
          const { stderr, status } = await daemon.tsctl("run", "-d", ...flags, ...command);
          expect(status, `${flags.join(" ")}: ${stderr}`).toBe(0);
        }
      };
      await Promise.all([starting(), starting(), starting(), starting()]);
      const { text } = await daemon.api("GET", "/tsd/verify");
      const results = JSON.parse(text) as Verification[];
      expect(results).toHaveLength(201);
      expect(results.filter(({ Running }) => !Running)).toEqual([]);
      expect(results.flatMap(({ Drifts }) => Drifts)).toEqual([]);
      const { status, stdout } = await daemon.tsctl("verify", "--all", "--quiet");
      expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
      await daemon.clear();
      for (const name of ["closed", "six"]) await daemon.api("DELETE", `/networks/${name}`);
    },
    180_000 * PATIENCE,
  );

  it("is a container that does not run", async () => {
    await daemon.tsctl("create", "--name", "stopped", "busybox", "true");
    const { text } = await daemon.api("GET", "/tsd/containers/stopped/verify");
    expect(JSON.parse(text)).toMatchObject({ Running: false, Drifts: [] });
  });
});

describe("the daemon's own verification", () => {
  it("tells of a drift once, as an event and in the metrics, until it is gone", async () => {
    await daemon.end();
    await daemon.launch([daemonProgram, "--verify-interval", "1s"]);
    const target = await start("--pids-limit", "50");
    const told = async (): Promise<string[]> => {
      const filters = encodeURIComponent(JSON.stringify({ event: ["drift"], container: [target.id] }));
      const { text } = await daemon.api(
        "GET",
        `/events?since=0&until=${Math.ceil(Date.now() / 1000)}&filters=${filters}`,
      );
      return text.split("\n").filter(Boolean);
    };
    const metric = async (name: string): Promise<number> =>
      Number(new RegExp(`^${name} (\\d+)`, "m").exec((await daemon.api("GET", "/metrics")).text)?.[1] ?? -1);
    const rounds = async (count: number): Promise<void> => {
      const from = await metric("tsd_verification_rounds");
      await eventually(
        "more rounds",
        async () => (await metric("tsd_verification_rounds")) >= from + count,
        15_000,
      );
    };
    await rounds(2);
    expect(await told()).toEqual([]);
    writeFileSync(groupFile(target, "pids.max"), "max");
    await rounds(3);
    const [event, ...more] = await told();
    expect(more).toEqual([]);
    expect((JSON.parse(event ?? "") as { Actor: { Attributes: object } }).Actor.Attributes).toMatchObject({
      subject: "control group",
      expected: "50",
      found: "max",
      severity: "medium",
      name: target.name,
    });
    expect(await metric('tsd_drifts{severity="medium"}')).toBe(1);
    writeFileSync(groupFile(target, "pids.max"), "50");
    await rounds(2);
    expect(await metric('tsd_drifts{severity="medium"}')).toBe(0);
  }, 60_000);
});
