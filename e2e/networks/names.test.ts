// Names in users' networks: containers, aliases, services, links, reverse look-ups, the outside; while things change and
// while no daemon is there.
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, run, Talk } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  if (status !== 0) throw new Error(stderr.trim() || stdout.trim());
  return stdout.trim();
}
/** Names that are not ours are refused at once, by a resolver that is not there, unless a test gives another. */
const start = (name: string, ...words: string[]): Promise<string> => {
  const resolver = words.includes("--dns") ? [] : ["--dns", "127.0.0.1"];
  return tsctl("run", "-d", "--name", name, ...resolver, ...words, "busybox", "sleep", "900");
};
const address = (name: string, network: string, field = "IPAddress"): Promise<string> =>
  tsctl("inspect", "-f", `{{.NetworkSettings.Networks.${network}.${field}}}`, name);
/** The addresses that busybox's nslookup finds, sorted. */
async function lookUp(from: string, name: string): Promise<string[]> {
  const { stdout } = await daemon.tsctl("exec", from, "nslookup", name, "127.0.0.11");
  const answer = stdout.slice(stdout.indexOf("Name:"));
  return stdout.includes("Name:")
    ? [...answer.matchAll(/^Address(?: \d+)?: (\S+)/gm)].map(([, one]) => one ?? "").sort()
    : [];
}
const resolves = async (from: string, name: string): Promise<boolean> =>
  (await daemon.tsctl("exec", from, "ping", "-c1", "-W1", name)).status === 0;

beforeAll(async () => {
  daemon = await TestDaemon.start("names");
  await daemon.importBusybox();
  await tsctl("network", "create", "--ipv6", "one");
  await tsctl("network", "create", "two");
  await start("web", "--network", "one", "--network-alias", "www", "--hostname", "webhost");
  await start("db", "--network", "one");
});
afterAll(() => daemon.stop());

describe("in a network of users'", () => {
  it("resolv.conf names the engine's server", async () => {
    const file = await tsctl("exec", "web", "cat", "/etc/resolv.conf");
    expect(file).toContain("nameserver 127.0.0.11");
    expect(file).toMatch(/^options .*ndots:0$/m);
  });

  it("containers are found by name, id, alias and hostname", async () => {
    const id = (await tsctl("inspect", "-f", "{{.Id}}", "web")).slice(0, 12);
    const found = [await address("web", "one"), await address("web", "one", "GlobalIPv6Address")].sort();
    for (const name of ["web", "WEB", "www", id, "webhost", "web.one"])
      expect(await lookUp("db", name)).toEqual(found);
    expect(await lookUp("db", "nobody")).toEqual([]);
  });

  it("and back, by their addresses", async () => {
    const { stdout } = await daemon.tsctl(
      "exec",
      "db",
      "nslookup",
      await address("web", "one"),
      "127.0.0.11",
    );
    expect(stdout).toContain("web.one");
  });

  it("several under one alias are answered together", async () => {
    for (const name of ["s1", "s2", "s3"])
      await start(name, "--network", "two", "--network-alias", "service");
    const all = await Promise.all(["s1", "s2", "s3"].map((name) => address(name, "two")));
    expect(await lookUp("s1", "service")).toEqual(all.sort());
    // In another order now and then, so that all of them are used.
    const first = new Set<string>();
    for (let round = 0; round < 20; round++) {
      const { stdout } = await daemon.tsctl("exec", "s1", "nslookup", "service", "127.0.0.11");
      first.add(/Name:[\s\S]*?Address(?: \d+)?: (\S+)/.exec(stdout)?.[1] ?? "");
    }
    expect(first.size).toBeGreaterThan(1);
  });

  it("who is in other networks does not exist", async () => {
    expect(await lookUp("web", "s1")).toEqual([]);
    expect(await lookUp("s1", "web")).toEqual([]);
  });

  it("links are names of one's own", async () => {
    await start("linked", "--network", "one", "--link", "db:store");
    expect(await resolves("linked", "store")).toBe(true);
    expect(await resolves("web", "store")).toBe(false);
  });

  it("names change with what changes", async () => {
    await tsctl("rename", "linked", "renamed");
    expect(await lookUp("web", "renamed")).not.toEqual([]);
    expect(await lookUp("web", "linked")).toEqual([]);
    await tsctl("network", "connect", "--alias", "both", "two", "web");
    expect(await lookUp("s1", "both")).toEqual([await address("web", "two")]);
    expect(await lookUp("web", "s1")).toEqual([await address("s1", "two")]);
    await tsctl("network", "disconnect", "two", "web");
    expect(await lookUp("s1", "both")).toEqual([]);
    await tsctl("rm", "-f", "renamed");
    expect(await lookUp("web", "renamed")).toEqual([]);
  });

  it("a container of the default network has names once it is connected", async () => {
    await start("late");
    expect(await tsctl("exec", "late", "cat", "/etc/resolv.conf")).not.toContain("127.0.0.11");
    await tsctl("network", "connect", "one", "late");
    expect(await tsctl("exec", "late", "cat", "/etc/resolv.conf")).toContain("127.0.0.11");
    expect(await resolves("late", "web")).toBe(true);
    // Its monitor keeps the sockets, as of those that are served from their start; and closes them when nobody asks.
    const kept = (): boolean =>
      existsSync(`/proc/${monitor}/fd/110`) && existsSync(`/proc/${monitor}/fd/111`);
    const pid = await tsctl("inspect", "-f", "{{.State.Pid}}", "late");
    const monitor = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    await eventually("the monitor keeps the sockets", kept);
    await tsctl("network", "disconnect", "one", "late");
    expect(await tsctl("exec", "late", "cat", "/etc/resolv.conf")).not.toContain("127.0.0.11");
    await eventually("the monitor keeps none", () => !kept());
    await tsctl("network", "connect", "one", "late");
    expect(await resolves("late", "web")).toBe(true);
    await eventually("the monitor keeps new ones", kept);
  });

  it("a server of the container's own may have port 53", async () => {
    const pid = await tsctl("inspect", "-f", "{{.State.Pid}}", "db");
    const program = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 53)); print("bound", flush=True)
t = socket.socket(); t.bind(("", 53)); t.listen(); print("bound", flush=True)`;
    const { stdout } = await run("nsenter", [`--net=/proc/${pid}/ns/net`, "python3", "-c", program]);
    expect(stdout).toBe("bound\nbound\n");
    expect(await lookUp("db", "web")).not.toEqual([]);
  });
});

describe("what others know", () => {
  it("is asked of the servers that a container was given, from its network, and kept for a while", async () => {
    const pid = await tsctl("inspect", "-f", "{{.State.Pid}}", "db");
    const program = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 53)); print("up", flush=True)
while True:
    q, who = s.recvfrom(600)
    end = q.index(b"\\0", 12) + 5
    a = q[end-4:end-2] == b"\\0\\1"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\x09\\x09\\x09\\x09" if a else b""
    s.sendto(q[:2] + b"\\x81\\x80\\0\\1\\0" + (b"\\1" if a else b"\\0") + b"\\0\\0\\0\\0" + q[12:end] + answer, who)
    print(who[0], flush=True)`;
    const server = new Talk("nsenter", [`--net=/proc/${pid}/ns/net`, "python3", "-c", program]);
    await server.line();
    await start("asking", "--network", "one", "--dns", await address("db", "one"));
    expect(await lookUp("asking", "example.test")).toContain("9.9.9.9");
    expect(await server.line()).toBe(await address("asking", "one"));
    server.end();
    // The server is gone; what it said is still known.
    expect(await lookUp("asking", "example.test")).toContain("9.9.9.9");
  });

  it("is not asked for in an internal network", async () => {
    await tsctl("network", "create", "--internal", "closed");
    await start("inner", "--network", "closed");
    const { stdout } = await daemon.tsctl("exec", "inner", "nslookup", "example.test", "127.0.0.11");
    expect(stdout).toMatch(/SERVFAIL|can't find/);
  });
});

describe("while no daemon is there", () => {
  it.each(["db", "late"])("questions of %s wait, and are answered by the next", async (name) => {
    const pid = await tsctl("inspect", "-f", "{{.State.Pid}}", name);
    const program = `
import socket
q = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3web\\0\\0\\1\\0\\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
s.sendto(q, ("127.0.0.11", 53)); print("asked", flush=True)
r = s.recv(600); print(".".join(map(str, r[-4:])), flush=True)`;
    await daemon.end("SIGKILL");
    const asking = new Talk("nsenter", [`--net=/proc/${pid}/ns/net`, "python3", "-c", program]);
    expect(await asking.line()).toBe("asked");
    await daemon.launch([daemonProgram]);
    expect(await asking.line()).toBe(await address("web", "one"));
    await eventually("names are found as before", async () => (await lookUp("db", "web")).length === 2);
  });
});
