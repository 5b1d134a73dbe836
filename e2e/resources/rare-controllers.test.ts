// Limits whose controllers few hosts have mounted: huge pages, and classes and priorities of packets. A host of version 1 that has
// them not mounted gets them for this suite alone, in a mount namespace of the daemon's.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

const version = readFileSync("/proc/self/mounts", "utf8").includes(" cgroup ") ? 1 : 2;
const known = readFileSync("/proc/cgroups", "utf8");
const names = ["hugetlb", "net_cls", "net_prio"].filter(
  (name) => version === 1 && new RegExp(`^${name}\\t.*\\t1$`, "m").test(known),
);
const PAGES = "/proc/sys/vm/nr_hugepages";
const POOL = 8;

const place = mkdtempSync(join(tmpdir(), "tsd-controllers-"));
const mounted = (name: string): string => join(place, name);
/** Shell words that mount what the suite needs in a namespace of its own. */
const mounts = [
  ...names.map((name) => `mount -t cgroup -o ${name} ${name} ${mounted(name)}`),
  `mount -t hugetlbfs -o pagesize=2M none ${mounted("huge")}`,
].join(" && ");
const inNamespace = (script: string): string[] => ["unshare", "-m", "sh", "-c", `${mounts} && ${script}`];

/** Its number, 0 for one that is nowhere mounted. */
const hierarchyOf = (name: string): string =>
  new RegExp(`^${name}\\t(\\d+)`, "m").exec(readFileSync("/proc/cgroups", "utf8"))?.[1] ?? "0";
const hierarchiesBefore = new Map(names.map((name) => [name, hierarchyOf(name)]));

let daemon: TestDaemon | undefined;
let obstacle = "";
let pagesBefore = "0";

beforeAll(async () => {
  for (const name of [...names, "huge"]) mkdirSync(mounted(name));
  const trial = await run("unshare", inNamespace("true").slice(1));
  if (trial.status !== 0) {
    obstacle = `what it needs can't be mounted: ${trial.stderr.trim()}`;
    return;
  }
  pagesBefore = readFileSync(PAGES, "utf8").trim();
  writeFileSync(PAGES, String(POOL));
  daemon = await TestDaemon.start("controllers", [...inNamespace('exec "$0" "$@"'), daemonProgram]);
  await daemon.importBusybox();
});
afterAll(async () => {
  writeFileSync(PAGES, pagesBefore);
  const group = daemon?.cgroupParent;
  await daemon?.stop();
  // Hierarchies go with their last mount, once the last group in them is gone altogether; until then a later mount finds them
  // again. The containers' groups are the daemon's to remove: were one left, its parent could not be removed here.
  const removal = names.map((name) => `rmdir ${mounted(name)}${group} 2>/dev/null`).join("; ");
  const left = `for d in ${names.map(mounted).join(" ")}; do find $d/* -type d; done`;
  let found = "";
  await eventually(
    "no hierarchy is left",
    async () => {
      if (names.every((name) => hierarchyOf(name) === hierarchiesBefore.get(name))) return true;
      const { stdout, stderr } = await run("unshare", inNamespace(`${removal}; ${left}`).slice(1));
      found = stdout + stderr;
      return false;
    },
    60_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; in them: ${found}`);
  });
  rmSync(place, { recursive: true, force: true });
});

function ready(context: { skip(note: string): never }, controller: string): TestDaemon {
  const there =
    version === 1
      ? names.includes(controller)
      : /\bhugetlb\b/.test(readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8")) &&
        controller === "hugetlb";
  if (!daemon) return context.skip(obstacle);
  if (!there) return context.skip(`this kernel has no controller ${controller}`);
  return daemon;
}
/** What `tsctl cgroup` shows of a container's file. */
async function shown(on: TestDaemon, container: string, file: RegExp): Promise<string | undefined> {
  const { Hierarchies } = JSON.parse((await on.api("GET", `/tsd/containers/${container}/cgroup`)).text) as {
    Hierarchies: { Files: { Name: string; Value: string; Meaning: string }[] }[];
  };
  const found = Hierarchies.flatMap(({ Files }) => Files).find(({ Name }) => file.test(Name));
  expect(found?.Meaning).not.toBe("");
  return found?.Value;
}
async function verified(on: TestDaemon, container: string): Promise<void> {
  const { stdout, status } = await on.tsctl("verify", container);
  expect(status, stdout).toBe(0);
}

describe("huge pages", () => {
  it("are limited, shown, and the limit is changed live", async (context) => {
    const on = ready(context, "hugetlb");
    if (Number(readFileSync(PAGES, "utf8")) < POOL) return context.skip("there is no room for huge pages");
    const words = ["--userns", "host", "-v", `${mounted("huge")}:/huge`, "--hugetlb-limit", "2MB=4m"];
    const started = await on.tsctl("run", "-d", "--name", "huge", ...words, "busybox", "sleep", "1000");
    expect(started.status, started.stderr).toBe(0);
    const take = (size: string) =>
      on.tsctl("exec", "huge", "sh", "-c", `fallocate -l ${size} /huge/a; s=$?; rm -f /huge/a; exit $s`);
    expect((await take("4M")).status).toBe(0);
    expect((await take("6M")).status).not.toBe(0);
    const limit = /^hugetlb\.2MB\.(max|limit_in_bytes)$/;
    expect(await shown(on, "huge", limit)).toBe(String(4 << 20));
    const inspected = await on.tsctl("inspect", "-f", "{{json .HostConfig.HugetlbLimits}}", "huge");
    expect(JSON.parse(inspected.stdout)).toEqual([{ PageSize: "2MB", Limit: 4 << 20 }]);
    await verified(on, "huge");
    const updated = await on.tsctl("update", "--hugetlb-limit", "2MB=8m", "huge");
    expect(updated.status, updated.stderr).toBe(0);
    expect((await take("6M")).status).toBe(0);
    expect(await shown(on, "huge", limit)).toBe(String(8 << 20));
    await verified(on, "huge");
  });

  it("of sizes that there are none of are refused", async (context) => {
    const on = ready(context, "hugetlb");
    const create = (HugetlbLimits: object[]) =>
      on.api("POST", "/containers/create", { Image: "busybox", HostConfig: { HugetlbLimits } });
    for (const [limit, message] of [
      [
        { PageSize: "3MB", Limit: 0 },
        /HugetlbLimits 3MB: this machine has no huge pages of that size \(but .*2MB/,
      ],
      [
        { PageSize: "2MB", Limit: 3 << 20 },
        /HugetlbLimits 2MB: 3145728 bytes are not a number of whole pages/,
      ],
    ] as const) {
      const { status, text } = await create([limit]);
      expect([status, text]).toEqual([400, expect.stringMatching(message)]);
    }
  });
});

describe("packets", () => {
  it("are of the class that was asked for, which changes live", async (context) => {
    const on = ready(context, "net_cls");
    const inNetwork = (...words: string[]) =>
      output("nsenter", [`--net=/run/netns/${on.namespace}`, ...words]);
    const rule = ["OUTPUT", "-m", "cgroup", "--cgroup", "0x100001", "-j", "ACCEPT"];
    const counting = await inNetwork("iptables", "-w", "-A", ...rule).then(
      () => true,
      () => false,
    );
    const counted = async (): Promise<number> => {
      const rules = (await inNetwork("iptables", "-w", "-nvxL", "OUTPUT")).split("\n");
      return Number(
        rules
          .find((line) => line.includes("cgroup"))
          ?.trim()
          .split(/\s+/)[0],
      );
    };
    const words = ["--network", "host", "--net-cls-id", "0x100001"];
    const started = await on.tsctl("run", "-d", "--name", "class", ...words, "busybox", "sleep", "1000");
    expect(started.status, started.stderr).toBe(0);
    expect(await shown(on, "class", /^net_cls\.classid$/)).toBe("1048577");
    const knock = () => on.tsctl("exec", "class", "sh", "-c", "echo x | nc -w 1 127.0.0.1 9; true");
    await knock();
    if (counting) expect(await counted()).toBeGreaterThan(0);
    await verified(on, "class");
    expect((await on.tsctl("update", "--net-cls-id", "0x100002", "class")).status).toBe(0);
    expect(await shown(on, "class", /^net_cls\.classid$/)).toBe("1048578");
    const before = counting ? await counted() : 0;
    await knock();
    if (counting) expect(await counted()).toBe(before);
    await verified(on, "class");
  });

  it("have the priority that was asked for, on the host's interfaces", async (context) => {
    const on = ready(context, "net_prio");
    const words = ["--network", "host", "--net-prio", "lo=5"];
    const started = await on.tsctl("run", "-d", "--name", "prio", ...words, "busybox", "sleep", "1000");
    expect(started.status, started.stderr).toBe(0);
    expect(await shown(on, "prio", /^net_prio\.ifpriomap$/)).toMatch(/^lo 5$/m);
    await verified(on, "prio");
    expect((await on.tsctl("update", "--net-prio", "lo=7", "prio")).status).toBe(0);
    expect(await shown(on, "prio", /^net_prio\.ifpriomap$/)).toMatch(/^lo 7$/m);
    await verified(on, "prio");
    const own = await on.tsctl("run", "--rm", "--net-prio", "eth0=5", "busybox", "true");
    expect([own.status, own.stderr]).toEqual([125, expect.stringContaining("they need NetworkMode host")]);
    const missing = await on.tsctl(
      "run",
      "--rm",
      "--network",
      "host",
      "--net-prio",
      "nosuch0=5",
      "busybox",
      "true",
    );
    expect([missing.status, missing.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining("net_prio.ifpriomap"),
    ]);
    expect(missing.status).not.toBe(0);
  });
});

describe("a host without a controller", () => {
  it("refuses its limits by name, at create and at update", async (context) => {
    const bare = await TestDaemon.start("no-controllers");
    try {
      await bare.importBusybox();
      await bare.tsctl("create", "--name", "plain", "busybox", "true");
      const mountsNow = readFileSync("/proc/self/mounts", "utf8");
      for (const [words, controller] of [
        [["--net-cls-id", "1"], "net_cls"],
        [["--net-prio", "lo=1"], "net_prio"],
        [["--hugetlb-limit", "2MB=2m"], "hugetlb"],
      ] as const) {
        if (controller === "hugetlb" && version === 2) continue;
        if (new RegExp(`^\\S+ \\S+ cgroup \\S*\\b${controller}\\b`, "m").test(mountsNow))
          return context.skip(`${controller} is mounted here`);
        const created = await bare.tsctl("create", "--network", "host", ...words, "busybox", "true");
        const updated = await bare.tsctl("update", ...words, "plain");
        for (const { status, stderr } of [created, updated])
          expect([status, stderr]).toEqual([
            expect.any(Number),
            expect.stringContaining(`this host has no control group controller ${controller}`),
          ]);
        expect([created.status, updated.status]).toEqual([1, 1]);
      }
    } finally {
      await bare.stop();
    }
  });
});
