// Who may talk to whom: policies by labels, asked and tried; changed live; counted; shown; and gone without a trace.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run, Talk } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
const probeProgram = join(import.meta.dirname, "probe.py");

interface Peer {
  name: string;
  pid: number;
  address: string;
  labels: Record<string, string>;
}

beforeAll(async () => {
  daemon = await TestDaemon.start("policies");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  if (status !== 0) throw new Error(stderr.trim() || stdout.trim());
  return stdout.trim();
}
const json = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
  const { status, text } = await daemon.api(method, path, body);
  if (status >= 300) throw new Error(text);
  return (text ? JSON.parse(text) : undefined) as T;
};

async function makePeer(name: string, network: string, labels: Record<string, string>): Promise<Peer> {
  const { Id } = await json<{ Id: string }>("POST", `/containers/create?name=${name}`, {
    Image: "busybox",
    Cmd: ["sleep", "900"],
    Labels: labels,
    HostConfig: { NetworkMode: network },
  });
  await json("POST", `/containers/${Id}/start`);
  const shown = await json<{
    State: { Pid: number };
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  }>("GET", `/containers/${Id}/json`);
  const address = shown.NetworkSettings.Networks[network]?.IPAddress ?? "";
  return { name, pid: shown.State.Pid, address, labels };
}

type Probe = [from: Peer, to: Peer, port: number];
/** Whether each connection comes about; the ports listen for as long. */
async function attempt(probes: readonly Probe[], seconds: number): Promise<boolean[]> {
  const listening = new Map(probes.map(([, to, port]) => [`${to.pid} ${port}`, [to.pid, port]]));
  const task = {
    listen: [...listening.values()],
    probes: probes.map(([from, to, port]) => [from.pid, to.address, port]),
    seconds,
  };
  const text = await output("python3", [probeProgram], { input: JSON.stringify(task), timeout: 120_000 });
  return [...text].map((digit) => digit === "1");
}
const host = (...words: string[]): Promise<string> =>
  output("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...words]);

describe("a policy", () => {
  let web: Peer;
  let db: Peer;
  let other: Peer;
  beforeAll(async () => {
    await tsctl("network", "create", "shop");
    web = await makePeer("web", "shop", { app: "web" });
    db = await makePeer("db", "shop", { app: "db" });
    other = await makePeer("other", "shop", { app: "other" });
  });
  const apply = (
    text: string,
    ...words: string[]
  ): Promise<{ status: number; stdout: string; stderr: string }> =>
    daemon.cli(
      join(import.meta.dirname, "../../packages/client/bin/tsctl"),
      ["policy", ...words, "-n", "shop"],
      {
        input: text,
      },
    );
  const rules = "default deny\nfrom app=web to app=db allow tcp/5432 icmp # queries\n";
  const all = (): Probe[] => [
    [web, db, 5432],
    [web, db, 5433],
    [other, db, 5432],
    [db, web, 5432],
  ];

  it("is shown before it is applied, and changes nothing then", async () => {
    const shown = await apply(rules, "diff");
    expect(shown.status).toBe(1);
    expect(shown.stdout.trim().split("\n")).toEqual([
      "+ default deny",
      "+ from app=web to app=db allow tcp/5432",
      "+ from app=web to app=db allow icmp",
    ]);
    expect((await apply(rules, "apply", "--dry-run")).status).toBe(0);
    expect(await attempt(all(), 0.5)).toEqual([true, true, true, true]);
  });

  it("opens what it says, and nothing else", async () => {
    expect((await apply(rules, "apply")).status).toBe(0);
    expect(await attempt(all(), 0.5)).toEqual([true, false, false, false]);
    const ping = (from: string, to: Peer) => daemon.tsctl("exec", from, "ping", "-c1", "-W1", to.address);
    expect((await ping("web", db)).status).toBe(0);
    expect((await ping("other", db)).status).toBe(1);
    expect((await apply(rules, "diff")).status).toBe(0);
  });

  it("is asked", async () => {
    expect(await tsctl("policy", "test", "web", "db", "tcp/5432")).toBe(
      "allowed by: from app=web to app=db allow tcp/5432",
    );
    const denied = await daemon.tsctl("policy", "test", "other", "db", "tcp/5432");
    expect([denied.status, denied.stdout.trim()]).toEqual([1, "denied by: default deny"]);
  });

  it("counts, and tells what it denied", async () => {
    const shown = await tsctl("policy", "get", "--hits", "shop");
    expect(shown).toMatch(/allow tcp\/5432 +[1-9]/);
    expect(shown).toMatch(/other +db +tcp\/5432 +[1-9]/);
    await eventually("an event tells it", async () => {
      const now = Math.floor(Date.now() / 1000);
      const { text } = await daemon.api(
        "GET",
        `/events?since=${now - 60}&until=${now + 1}&filters=${encodeURIComponent('{"event":["deny"]}')}`,
      );
      return text.includes('"from":"other"') && text.includes('"traffic":"tcp/5432"');
    });
  });

  it("is drawn", async () => {
    expect(await tsctl("policy", "graph")).toContain("web\n└─ tcp/5432, icmp ─▶ db");
    expect(await tsctl("policy", "graph", "-f", "dot")).toContain('"web" -> "db"');
    const svg = await tsctl("policy", "graph", "-f", "svg");
    expect(svg).toMatch(/^<svg [\s\S]*<text[^>]*>web<\/text>[\s\S]*<\/svg>$/);
  });

  it("changes live: what stays allowed goes on, what does not ends", async () => {
    const listen = `
import socket
s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("", 5432)); s.listen(); print("up", flush=True)
while True:
    c, _ = s.accept()
    import threading
    def echo(c):
        while (data := c.recv(100)): c.send(data)
    threading.Thread(target=echo, args=(c,), daemon=True).start()`;
    const server = new Talk("nsenter", [`--net=/proc/${db.pid}/ns/net`, "python3", "-c", listen]);
    await server.line();
    const connect = `
import socket, sys
s = socket.create_connection(("${db.address}", 5432)); s.settimeout(1); print("up", flush=True)
for line in sys.stdin:
    try:
        s.send(line.encode()); print(s.recv(100).decode().strip(), flush=True)
    except TimeoutError: print("nothing", flush=True)`;
    const client = new Talk("nsenter", [`--net=/proc/${web.pid}/ns/net`, "python3", "-c", connect]);
    await client.line();
    expect(await client.answer("one")).toBe("one");
    await apply(`${rules}from app=other to app=db allow tcp/5432\n`, "apply");
    expect(await client.answer("two")).toBe("two");
    expect(
      await attempt(
        [
          [other, db, 5433],
          [other, web, 5432],
        ],
        0.3,
      ),
    ).toEqual([false, false]);
    await apply("default deny\nfrom app=other to app=db allow tcp/5432\n", "apply");
    expect(await client.answer("three")).toBe("nothing");
    await apply(rules, "apply");
    client.end();
    server.end();
  });

  it("holds for containers that come later, restart, get another name", async () => {
    const late = await makePeer("late", "shop", { app: "web" });
    expect(
      await attempt(
        [
          [late, db, 5432],
          [late, db, 80],
        ],
        0.3,
      ),
    ).toEqual([true, false]);
    await tsctl("restart", "-t", "0", "late");
    const [again] = [await json<{ State: { Pid: number } }>("GET", "/containers/late/json")];
    expect(await attempt([[{ ...late, pid: again.State.Pid }, db, 5432]], 0.3)).toEqual([true]);
    await apply("from container=late to app=db allow tcp/80\n", "apply");
    expect(await attempt([[{ ...late, pid: again.State.Pid }, db, 80]], 0.3)).toEqual([true]);
    await tsctl("rename", "late", "later");
    expect(await attempt([[{ ...late, pid: again.State.Pid }, db, 80]], 0.3)).toEqual([false]);
    await tsctl("rm", "-f", "later");
    await apply(rules, "apply");
  });

  it("outlives the daemon, and is put back when it is flushed", async () => {
    await daemon.end("SIGKILL");
    expect(await attempt(all(), 0.4)).toEqual([true, false, false, false]);
    await daemon.launch([daemonProgram]);
    expect(await attempt(all(), 0.4)).toEqual([true, false, false, false]);
    await host("nft", "flush", "ruleset");
    await eventually(
      "it is back",
      async () => (await host("nft", "list", "tables")).includes("inet tsd-policy"),
      5000,
    );
    expect(await attempt(all(), 0.4)).toEqual([true, false, false, false]);
  });

  it("a member that somebody takes away, or adds, is told of by verify and put right", async () => {
    const listed = (): Promise<string> => host("nft", "list", "table", "inet", "tsd-policy");
    const set = new RegExp(`set (s4-\\S+) {[^}]*elements = { ${db.address.replaceAll(".", "\\.")} }`).exec(
      await listed(),
    )?.[1];
    expect(set).toBeDefined();
    const drifts = async (): Promise<string> =>
      (await daemon.api("GET", `/tsd/containers/${db.name}/verify`)).text;
    for (const [change, address] of [
      ["delete", db.address],
      ["add", "10.255.255.1"],
    ] as const) {
      let seen = "";
      // The daemon looks once a second: one of some attempts is in between.
      for (let round = 0; round < 5 && !seen.includes("tsd-policy"); round++) {
        await eventually("it is right", async () => !(await drifts()).includes("tsd-policy"));
        const before = (await listed()).match(new RegExp(`set (s4-\\S+) {[^}]*${db.address}`))?.[1] ?? "";
        await host("nft", change, "element", "inet", "tsd-policy", before, `{ ${address} }`);
        seen = await drifts();
      }
      expect(seen).toContain("policies: nf_tables inet tsd-policy");
      await eventually("it is put right", async () => !(await drifts()).includes("tsd-policy"), 5000);
      expect(await attempt(all(), 0.4)).toEqual([true, false, false, false]);
    }
  });

  it.each([
    ["from app=web", 'line 1: neither "network NAME"'],
    ["from a=b to c=d allow tcp/99999", 'Rules.0: invalid traffic "tcp/99999"'],
    ["from a=b to c=d allow icmp/5", "icmp has no ports"],
    ["from !! to c=d allow any", 'invalid selector "!!"'],
    ["default perhaps", 'invalid Default "perhaps"'],
  ])("%s is refused", async (text, message) => {
    const { status, stderr } = await apply(text, "apply");
    expect(status).toBe(1);
    expect(stderr).toContain(message);
  });

  it("can't be given where it could not hold", async () => {
    const refused = async (network: string): Promise<string> =>
      (await daemon.api("PUT", `/tsd/policies/${network}`, { Rules: [] })).text;
    expect(await refused("host")).toContain("is no bridge");
    await tsctl("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "silent");
    expect(await refused("silent")).toContain("enable_icc=false");
    expect(await refused("nope")).toContain("network nope not found");
    await tsctl("network", "rm", "silent");
  });

  it("leaves nothing behind", async () => {
    await tsctl("policy", "rm", "shop");
    expect(await attempt(all(), 0.5)).toEqual([true, true, true, true]);
    await daemon.clear();
    await tsctl("network", "rm", "shop");
    expect(await host("nft", "list", "table", "inet", "tsd-policy")).not.toContain("n-");
  });
});

/** Runs an action with room for so many neighbours: the kernel keeps those of all namespaces in one table, of 1,024. */
async function withNeighbours<T>(most: number, action: () => Promise<T>): Promise<T> {
  const paths = [3, 2, 1].map((number) => `/proc/sys/net/ipv4/neigh/default/gc_thresh${number}`);
  const before = paths.map((path) => readFileSync(path, "utf8"));
  for (const path of paths) writeFileSync(path, String(most));
  try {
    return await action();
  } finally {
    paths.forEach((path, index) => {
      writeFileSync(path, before[index] ?? "");
    });
  }
}

describe("200 containers and 50 rules", () => {
  const PEERS = 200;
  const PROBES = 10_000;
  const ports = [1000, 2000, 3000, 4000, 5000];

  it("do what the policy says, in 10,000 attempts", { timeout: 180_000 }, async () => {
    await tsctl("network", "create", "large");
    // A fixed sequence of numbers, so that a failure can be repeated.
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const peers: Peer[] = [];
    for (let first = 0; first < PEERS; first += 20)
      peers.push(
        ...(await Promise.all(
          Array.from({ length: 20 }, (_, index) => {
            const number = first + index;
            return makePeer(`p${number}x`, "large", { app: `a${number % 12}`, tier: `t${number % 5}` });
          }),
        )),
      );
    const selector = (): string =>
      random(3) === 0
        ? `tier=t${random(5)}`
        : random(4) === 0
          ? `app=a${random(12)},tier=t${random(5)}`
          : `app=a${random(12)}`;
    const Rules = Array.from({ length: 50 }, () => ({
      From: selector(),
      To: selector(),
      [random(4) === 0 ? "Deny" : "Allow"]: [`tcp/${ports[random(5)]}`],
    }));
    await json("PUT", "/tsd/policies/large", { Default: "deny", Rules });
    const pick = (): Peer => peers[random(PEERS)] as Peer;
    const probes = Array.from({ length: PROBES }, (): Probe => {
      const from = pick();
      let to = pick();
      while (to === from) to = pick();
      return [from, to, ports[random(5)] as number];
    });
    const asked: boolean[] = [];
    for (let first = 0; first < PROBES; first += 50)
      asked.push(
        ...(await Promise.all(
          probes.slice(first, first + 50).map(async ([from, to, port]) => {
            const body = { From: from.name, To: to.name, Traffic: `tcp/${port}` };
            return (await json<{ Allowed: boolean }>("POST", "/tsd/policies/large/test", body)).Allowed;
          }),
        )),
      );
    const tried = await withNeighbours(50_000, () => attempt(probes, 0.6));
    const differing = probes.flatMap(([from, to, port], index) =>
      asked[index] === tried[index]
        ? []
        : [`${from.name} ${to.name} ${port}: ${asked[index]} ${tried[index]}`],
    );
    expect(differing).toEqual([]);
    expect(tried).toHaveLength(PROBES);
    expect(asked.filter(Boolean).length).toBeGreaterThan(PROBES / 20);
    await daemon.clear();
    await tsctl("network", "rm", "large");
    expect(
      (await run("nsenter", [`--net=/run/netns/${daemon.namespace}`, "nft", "list", "ruleset"])).stdout,
    ).not.toMatch(/elements/);
  });
});
