// Published ports: every form, from the host, from another host and from containers; conflicts; changes while it runs;
// connections that outlive the daemon.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run, Talk } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";
import { OtherHost } from "../harness/other-host.ts";

let daemon: TestDaemon;
let other: OtherHost;
const SERVER = "10.231.9.1";
const SERVER6 = "fd32::1";

beforeAll(async () => {
  daemon = await TestDaemon.start("ports");
  other = await OtherHost.connect(daemon.namespace, {
    server: SERVER,
    client: "10.231.9.2",
    server6: SERVER6,
    client6: "fd32::2",
  });
  await daemon.importBusybox();
});
afterAll(async () => {
  await other.stop();
  await daemon.stop();
});
afterEach(async () => {
  await daemon.clear();
  await tsctl("network", "prune", "-f");
});

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  if (status !== 0) throw new Error(stderr.trim());
  return stdout.trim();
}
const fails = (...words: string[]): Promise<string> =>
  tsctl(...words).then(
    (text) => `succeeded: ${text}`,
    (error: Error) => error.message,
  );
async function serve(name: string, ...words: string[]): Promise<void> {
  await tsctl("run", "-d", "--name", name, ...words, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc");
  await daemon.listens(name, 80);
}
const onHost = (program: string, ...words: string[]) =>
  run("nsenter", [`--net=/run/netns/${daemon.namespace}`, program, ...words]);
const ok = (result: { status: number }): boolean => result.status === 0;
const curl = (address: string): string[] => [
  "-s",
  "-m",
  "2",
  "-o",
  "/dev/null",
  `http://${address}/hostname`,
];
const fromHost = async (address: string): Promise<boolean> => ok(await onHost("curl", ...curl(address)));
const fromOther = async (address: string): Promise<boolean> => ok(await other.run("curl", curl(address)));

describe("a published port", () => {
  it("is reached from another host, from the host by every address, and from the container itself", async () => {
    await serve("web", "-p", "8080:80");
    expect(await tsctl("port", "web")).toBe("80/tcp -> 0.0.0.0:8080");
    expect(await fromOther(`${SERVER}:8080`)).toBe(true);
    for (const address of ["127.0.0.1", SERVER, "172.30.0.1"])
      expect(await fromHost(`${address}:8080`)).toBe(true);
    const itself = await tsctl("exec", "web", "wget", "-q", "-O-", `http://${SERVER}:8080/hostname`);
    expect(itself).toMatch(/^[0-9a-f]{12}$/);
  });

  it("at one address is reached there alone", async () => {
    await serve("web", "-p", "127.0.0.1:8080:80", "-p", `${SERVER}:8081:80`);
    expect(await fromHost("127.0.0.1:8080")).toBe(true);
    expect(await fromOther(`${SERVER}:8080`)).toBe(false);
    expect(await fromOther(`${SERVER}:8081`)).toBe(true);
    expect(await fromHost("127.0.0.1:8081")).toBe(false);
  });

  it("of IPv6, in a network with IPv6", async () => {
    await tsctl("network", "create", "--ipv6", "six");
    await serve("web", "--network", "six", "-p", "8080:80");
    expect(await tsctl("port", "web", "80")).toBe("0.0.0.0:8080\n[::]:8080");
    // busybox's httpd listens on both families.
    await eventually("link-local addresses are settled", () => fromOther(`[${SERVER6}]:8080`), 5000);
    expect(await fromOther(`${SERVER}:8080`)).toBe(true);
    expect(await fails("run", "--rm", "-p", "[fd32::1]:8085:80", "busybox", "true")).toContain(
      "has no IPv6 address",
    );
  });

  it("in ranges, at random, for all that is exposed", async () => {
    await serve("web", "-p", "8100-8102:80-82", "-p", "8200-8300:90", "-p", "91", "--expose", "70", "-P");
    const shown = await tsctl("port", "web");
    expect(shown).toContain("81/tcp -> 0.0.0.0:8101");
    expect(shown).toContain("90/tcp -> 0.0.0.0:8200");
    const [first = 0, last = 0] = (await output("cat", ["/proc/sys/net/ipv4/ip_local_port_range"]))
      .split("\t")
      .map(Number);
    for (const port of [91, 70]) {
      const host = Number(new RegExp(`${port}/tcp -> 0.0.0.0:(\\d+)`).exec(shown)?.[1]);
      expect(host).toBeGreaterThanOrEqual(first);
      expect(host).toBeLessThanOrEqual(last);
    }
    expect(await tsctl("ps", "--filter", "publish=8101", "-q")).not.toBe("");
    expect(await tsctl("ps", "--filter", "publish=8150", "-q")).toBe("");
    // The next one of the range goes to the next container.
    await serve("web2", "-p", "8200-8300:90");
    expect(await tsctl("port", "web2", "90")).toBe("0.0.0.0:8201");
  });

  it("for UDP", async () => {
    await tsctl("run", "-d", "--name", "echo", "-p", "8053:53/udp", "busybox", "sleep", "60");
    const pid = await tsctl("inspect", "-f", "{{.State.Pid}}", "echo");
    const program = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 53)); print("up", flush=True)
data, who = s.recvfrom(10); s.sendto(data, who)`;
    const server = new Talk("nsenter", [
      `--net=/proc/${pid}/ns/net`,
      "timeout",
      "5",
      "python3",
      "-c",
      program,
    ]);
    await server.line();
    const asks = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
s.sendto(b"hello", ("${SERVER}", 8053)); print(s.recv(10).decode())`;
    expect((await other.run("python3", ["-c", asks])).stdout.trim()).toBe("hello");
  });

  it("for UDP leads a client that goes on to the port's next container", async () => {
    const program = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 53)); print("up", flush=True)
while True:
    data, who = s.recvfrom(10); s.sendto(sys.argv[1].encode(), who)`;
    const serveBy = async (name: string): Promise<Talk> => {
      await tsctl("run", "-d", "--name", name, "-p", "8053:53/udp", "busybox", "sleep", "60");
      const pid = await tsctl("inspect", "-f", "{{.State.Pid}}", name);
      const server = new Talk("nsenter", [`--net=/proc/${pid}/ns/net`, "python3", "-c", program, name]);
      await server.line();
      return server;
    };
    const asks = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
for line in sys.stdin:
    s.sendto(b"x", ("${SERVER}", 8053)); print(s.recv(10).decode(), flush=True)`;
    const first = await serveBy("first");
    const client = new Talk("nsenter", [`--net=/run/netns/${other.namespace}`, "python3", "-c", asks]);
    expect(await client.answer("")).toBe("first");
    first.end();
    // Another container holds the address meanwhile, so that the next one has another.
    await tsctl("run", "-d", "--name", "between", "busybox", "sleep", "60");
    await tsctl("rm", "-f", "first");
    await tsctl("run", "-d", "--name", "taking", "busybox", "sleep", "60");
    const second = await serveBy("second");
    expect(await client.answer("")).toBe("second");
    second.end();
    client.end();
  });

  it("that somebody has is refused in Docker's words, and nothing is left", async () => {
    await serve("web", "-p", "8080:80");
    for (const spec of ["8080:81", "127.0.0.1:8080:81"])
      expect(await fails("run", "--rm", "-p", spec, "busybox", "true")).toMatch(
        /driver failed programming external connectivity on endpoint \S+ \([0-9a-f]{64}\): Bind for (0\.0\.0\.0|127\.0\.0\.1):8080 failed: port is already allocated/,
      );
    const listening = spawn("nsenter", [
      `--net=/run/netns/${daemon.namespace}`,
      "python3",
      "-c",
      "import socket,time\ns=socket.socket(); s.bind(('127.0.0.1',8099)); s.listen(); print('up',flush=True); time.sleep(30)",
    ]);
    await once(listening.stdout, "data");
    expect(await fails("run", "--rm", "-p", "8098:1", "-p", "8099:2", "busybox", "true")).toContain(
      "8099/tcp: address already in use",
    );
    listening.kill();
    // The one before it was given back.
    await serve("web3", "-p", "8098:80");
    expect(await fails("run", "--rm", "-p", "10.99.99.99:8097:80", "busybox", "true")).toContain(
      "cannot assign requested address",
    );
    expect(await fails("run", "--rm", "-p", "80000:80", "busybox", "true")).toContain("invalid port");
  });

  it("is kept from other programs, and given back at the end", async () => {
    await serve("web", "-p", "8080:80");
    const bind = () => onHost("python3", "-c", "import socket; socket.socket().bind(('', 8080))");
    expect((await bind()).stderr).toContain("Address already in use");
    await tsctl("stop", "-t", "0", "web");
    expect((await bind()).status).toBe(0);
    expect(await fromOther(`${SERVER}:8080`)).toBe(false);
  });

  it("comes and goes while the container runs, and stays so at its next start", async () => {
    await serve("web", "-p", "8080:80");
    await tsctl("port", "add", "web", "8081:80", "8082:80");
    expect(await fromOther(`${SERVER}:8081`)).toBe(true);
    await tsctl("port", "rm", "web", "8080:80");
    expect(await fromOther(`${SERVER}:8080`)).toBe(false);
    await serve("two", "-p", "8080:80");
    expect(await fails("port", "add", "web", "8083:80", "8080:80")).toContain("port is already allocated");
    expect(await fails("port", "rm", "web", "9999:80")).toContain("is not published at 9999");
    expect(await tsctl("port", "web")).toBe("80/tcp -> 0.0.0.0:8081\n80/tcp -> 0.0.0.0:8082");
    await tsctl("restart", "-t", "0", "web");
    expect(await tsctl("port", "web")).toBe("80/tcp -> 0.0.0.0:8081\n80/tcp -> 0.0.0.0:8082");
  });
});

describe("the host's own rules", () => {
  it("decide first about what comes in", async () => {
    await serve("web", "-p", "8080:80");
    const rule = ["-i", "wire0", "-p", "tcp", "--dport", "80", "-j", "DROP"];
    for (const chain of ["FORWARD", "TSD-USER"]) {
      await onHost("iptables", "-A", chain, ...rule);
      // In FORWARD it must stand before the jump that is at its end.
      if (chain === "FORWARD") {
        await onHost("iptables", "-D", chain, "-j", "TSD-PUBLISHED");
        await onHost("iptables", "-A", chain, "-j", "TSD-PUBLISHED");
      }
      expect(await fromOther(`${SERVER}:8080`)).toBe(false);
      await onHost("iptables", "-D", chain, ...rule);
      expect(await fromOther(`${SERVER}:8080`)).toBe(true);
    }
  });

  it("of the legacy kind are found, and ours are put beside them", async () => {
    const legacy = await TestDaemon.start("legacy", [
      "sh",
      "-c",
      `iptables-legacy -A INPUT -j ACCEPT; exec "$0" "$@"`,
      daemonProgram,
    ]);
    try {
      const saved = await output("nsenter", [`--net=/run/netns/${legacy.namespace}`, "iptables-legacy-save"]);
      expect(saved).toContain("-A FORWARD -j TSD-FORWARD");
      const nft = await run("nsenter", [`--net=/run/netns/${legacy.namespace}`, "iptables-nft-save"]);
      expect(nft.stdout).not.toContain("TSD-");
      await output("nsenter", [`--net=/run/netns/${legacy.namespace}`, "iptables-legacy", "-F"]);
      await eventually(
        "legacy rules are back",
        async () =>
          (
            await output("nsenter", [`--net=/run/netns/${legacy.namespace}`, "iptables-legacy-save"])
          ).includes("-A FORWARD -j TSD-FORWARD"),
        5000,
      );
    } finally {
      await legacy.stop();
    }
  });
});

describe("a connection through a published port", () => {
  it("outlives the daemon", async () => {
    const echo = ["nc", "-ll", "-p", "70", "-e", "cat"];
    await tsctl("run", "-d", "--name", "echo", "-p", "8070:70", "busybox", ...echo);
    await eventually("it listens", async () =>
      (await tsctl("exec", "echo", "netstat", "-ltn")).includes(":70 "),
    );
    const program = `
import socket, sys
s = socket.create_connection(("${SERVER}", 8070)); print("up", flush=True)
for line in sys.stdin:
    s.send(line.encode()); print(s.recv(100).decode().strip(), flush=True)`;
    const client = new Talk("nsenter", [`--net=/run/netns/${other.namespace}`, "python3", "-c", program]);
    await client.line();
    expect(await client.answer("one")).toBe("one");
    await daemon.end("SIGKILL");
    expect(await client.answer("two")).toBe("two");
    await daemon.launch([daemonProgram]);
    expect(await client.answer("three")).toBe("three");
    // And the port is still held.
    expect(await fails("run", "--rm", "-p", "8070:70", "busybox", "true")).toContain(
      "port is already allocated",
    );
    client.end();
  });
});
