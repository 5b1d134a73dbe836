// Service chains: traffic through security containers in their order, seen by packet capture; a filter that filters; what
// becomes of it when a member dies; copies for a tap.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run, Talk } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
interface Peer {
  pid: number;
  address: string;
  address6: string;
}
const peers = new Map<string, Peer>();
const peer = (name: string): Peer => peers.get(name) as Peer;

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  if (status !== 0) throw new Error(stderr.trim() || stdout.trim());
  return stdout.trim();
}
async function start(name: string): Promise<void> {
  await tsctl(
    "run",
    "-d",
    "--name",
    name,
    "--label",
    `app=${name}`,
    "--network",
    "net",
    "busybox",
    "httpd",
    "-f",
    "-p",
    "80",
    "-h",
    "/etc",
  );
  await daemon.listens(name, 80);
  await look(name);
}
async function look(name: string): Promise<void> {
  const shown = JSON.parse(await tsctl("inspect", "-f", "{{json .}}", name)) as {
    State: { Pid: number };
    NetworkSettings: { Networks: { net: { IPAddress: string; GlobalIPv6Address: string } } };
  };
  const { IPAddress, GlobalIPv6Address } = shown.NetworkSettings.Networks.net;
  peers.set(name, { pid: shown.State.Pid, address: IPAddress, address6: GlobalIPv6Address });
}

beforeAll(async () => {
  daemon = await TestDaemon.start("chains");
  await daemon.importBusybox();
  await tsctl("network", "create", "--ipv6", "net");
  for (const name of ["web", "db", "ids", "waf", "other"]) await start(name);
});
afterAll(() => daemon.stop());

const within = (name: string, ...words: string[]) =>
  run("nsenter", [`--net=/proc/${peer(name).pid}/ns/net`, ...words]);
const fetches = async (from: string, to: string): Promise<boolean> =>
  (await within(from, "curl", "-s", "-m", "3", "-o", "/dev/null", `http://${peer(to).address}/hostname`))
    .status === 0;

/** What tcpdump sees at a container's interface while an action runs: a line for each packet. */
async function captured(name: string, filter: string, action: () => Promise<unknown>): Promise<string[]> {
  const words = ["tcpdump", "-i", "eth0", "-n", "-l", "-tt", ...filter.split(" ")];
  const capture = new Talk("nsenter", [`--net=/proc/${peer(name).pid}/ns/net`, ...words]);
  const lines: string[] = [];
  let listening = false;
  capture.child.stderr.on("data", (text: Buffer) => {
    listening ||= text.includes("listening on");
  });
  const reading = (async () => {
    for (;;) {
      const line = await capture.line();
      if (line !== "") lines.push(line);
    }
  })().catch(() => undefined);
  await eventually("tcpdump listens", () => listening);
  await action();
  await new Promise((resolve) => setTimeout(resolve, 400));
  capture.child.kill("SIGINT");
  await reading;
  return lines;
}

describe("a chain of two", () => {
  it("is made and shown", async () => {
    expect(
      await tsctl(
        "chain",
        "create",
        "-n",
        "net",
        "--from",
        "app=web",
        "--to",
        "app=db",
        "--via",
        "ids,waf",
        "guarded",
      ),
    ).toBe("guarded");
    expect(await tsctl("chain", "ls")).toContain("app=web ─▶ ids ─▶ waf ─▶ app=db");
    const [shown] = JSON.parse(await tsctl("chain", "inspect", "guarded")) as [object];
    expect(shown).toMatchObject({ Name: "guarded", Mode: "inline", OnFailure: "closed", State: "intact" });
  });

  it("sees every packet, in order, both ways", async () => {
    const ping = () =>
      daemon.tsctl("exec", "web", "ping", "-c", "3", "-i", "0.2", "-W", "1", peer("db").address);
    let atWaf: string[] = [];
    const atIds = await captured("ids", "icmp and not icmp[0]=5", async () => {
      atWaf = await captured("waf", "icmp and not icmp[0]=5", ping);
    });
    const only = (lines: readonly string[], kind: string): string[] =>
      lines.filter((line) => line.includes(kind));
    // Each comes in and goes out again.
    for (const lines of [atIds, atWaf]) {
      expect(only(lines, "echo request")).toHaveLength(6);
      expect(only(lines, "echo reply")).toHaveLength(6);
    }
    const first = (lines: readonly string[], kind: string): number =>
      Number(only(lines, kind)[0]?.split(" ")[0]);
    expect(first(atIds, "echo request")).toBeLessThan(first(atWaf, "echo request"));
    expect(first(atWaf, "echo reply")).toBeLessThan(first(atIds, "echo reply"));
    const hops = await tsctl(
      "exec",
      "web",
      "traceroute",
      "-n",
      "-m",
      "5",
      "-w",
      "1",
      "-q",
      "1",
      peer("db").address,
    );
    const order = ["ids", "waf", "db"].map((name) =>
      hops
        .split("\n")
        .slice(1)
        .findIndex((line) => line.includes(peer(name).address)),
    );
    expect(order).toEqual([0, 1, 2]);
  });

  it("carries TCP, also by IPv6, and leaves others alone", async () => {
    expect(await fetches("web", "db")).toBe(true);
    const six = await within("web", "curl", "-s", "-m", "3", `http://[${peer("db").address6}]/hostname`);
    expect(six.status).toBe(0);
    const seen = await captured("ids", "tcp", () => fetches("other", "db"));
    expect(seen).toEqual([]);
  });

  it("filters, if a member does", async () => {
    const rule = ["-m", "string", "--string", "/hostname", "--algo", "bm", "-j", "DROP"];
    await output("nsenter", [`--net=/proc/${peer("waf").pid}/ns/net`, "iptables", "-A", "FORWARD", ...rule]);
    expect(await fetches("web", "db")).toBe(false);
    expect(await fetches("other", "db")).toBe(true);
    await output("nsenter", [`--net=/proc/${peer("waf").pid}/ns/net`, "iptables", "-D", "FORWARD", ...rule]);
    expect(await fetches("web", "db")).toBe(true);
  });

  it("closes when a member dies, and opens when it is back", async () => {
    await tsctl("kill", "waf");
    await eventually("the chain is closed", async () => (await tsctl("chain", "ls")).includes("blocked"));
    expect(await fetches("web", "db")).toBe(false);
    expect(await fetches("other", "db")).toBe(true);
    await tsctl("start", "waf");
    await look("waf");
    expect(await fetches("web", "db")).toBe(true);
  });

  it("passes without the dead one, if it was declared so", async () => {
    await tsctl("chain", "rm", "guarded");
    await tsctl(
      "chain",
      "create",
      "-n",
      "net",
      "--from",
      "app=web",
      "--to",
      "app=db",
      "--via",
      "ids",
      "--via",
      "waf",
      "--on-failure",
      "open",
      "lenient",
    );
    await tsctl("kill", "waf");
    await eventually("the chain is bypassed", async () => (await tsctl("chain", "ls")).includes("bypassed"));
    const seen = await captured("ids", "tcp", async () => expect(await fetches("web", "db")).toBe(true));
    expect(seen.length).toBeGreaterThan(0);
    await tsctl("start", "waf");
    await look("waf");
    await eventually("the chain is whole", async () => (await tsctl("chain", "ls")).includes("intact"));
  });

  it("outlives the daemon", async () => {
    await daemon.end("SIGKILL");
    const meanwhile = await captured("waf", "tcp", async () => expect(await fetches("web", "db")).toBe(true));
    expect(meanwhile.length).toBeGreaterThan(0);
    await daemon.launch([daemonProgram]);
    expect(await tsctl("chain", "ls")).toContain("intact");
    const afterwards = await captured("waf", "tcp", async () =>
      expect(await fetches("web", "db")).toBe(true),
    );
    expect(afterwards.length).toBeGreaterThan(0);
    await tsctl("chain", "rm", "lenient");
  });
});

describe("a tap", () => {
  it("sees copies of both directions, and its death changes nothing", async () => {
    await tsctl(
      "chain",
      "create",
      "-n",
      "net",
      "--from",
      "app=web",
      "--to",
      "app=db",
      "--via",
      "ids",
      "--mode",
      "mirror",
      "tap",
    );
    const seen = await captured("ids", "tcp port 80", async () =>
      expect(await fetches("web", "db")).toBe(true),
    );
    const [web, db] = [peer("web").address, peer("db").address];
    expect(seen.some((line) => line.includes(`IP ${web}.`))).toBe(true);
    expect(seen.some((line) => line.includes(`IP ${db}.80 >`))).toBe(true);
    expect(await captured("ids", "tcp port 80", () => fetches("other", "db"))).toEqual([]);
    await tsctl("kill", "ids");
    expect(await fetches("web", "db")).toBe(true);
    await tsctl("chain", "rm", "tap");
  });
});

describe("a chain", () => {
  it("is refused where it can't hold", async () => {
    const refused = async (...words: string[]): Promise<string> =>
      (await daemon.tsctl("chain", "create", ...words)).stderr;
    const way = ["--from", "app=web", "--to", "app=db"];
    expect(await refused("-n", "host", ...way, "--via", "waf")).toContain("is no bridge");
    expect(await refused("-n", "net", ...way, "--via", "nobody")).toContain("No such container: nobody");
    expect(await refused("-n", "net", ...way, "--via", "waf,waf")).toContain("only once");
    expect(await refused("-n", "net", "--from", "!!", "--to", "*", "--via", "waf")).toContain(
      "invalid selector",
    );
    expect(await refused("-n", "net", ...way, "--via", "waf", "--mode", "sideways")).toContain(
      "invalid Mode",
    );
    expect(await tsctl("chain", "ls", "-q")).toBe("");
  });

  it("leaves nothing behind", async () => {
    // Nobody has touched them.
    expect(daemon.log).not.toContain("had been taken away");
    await tsctl("chain", "create", "-n", "net", "--from", "*", "--to", "*", "--via", "waf", "all");
    await daemon.clear();
    await tsctl("network", "rm", "net");
    expect(await tsctl("chain", "ls", "-q")).toBe("");
    const { stdout } = await run("nsenter", [
      `--net=/run/netns/${daemon.namespace}`,
      "nft",
      "list",
      "ruleset",
    ]);
    expect(stdout).not.toMatch(/elements|veth/);
  });
});
