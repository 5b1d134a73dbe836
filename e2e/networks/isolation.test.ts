// Containers that may not reach each other: icc=false on every layer, spoofed addresses, the host closed, ports open.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output, run } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { OtherHost } from "../harness/other-host.ts";

let daemon: TestDaemon;
let other: OtherHost;
const SERVER = "10.231.8.1";
const OUTSIDE = "10.231.8.2";

interface Peer {
  pid: number;
  mac: string;
  address: string;
  address6: string;
}
const peers = new Map<string, Peer>();
const peer = (name: string): Peer => peers.get(name) as Peer;

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

/** Two containers in a network: "NETWORK-a", "NETWORK-b". */
async function pair(network: string): Promise<void> {
  for (const name of [`${network}-a`, `${network}-b`]) {
    await tsctl(
      "run",
      "-d",
      "--name",
      name,
      "--network",
      network,
      "--cap-add",
      "NET_ADMIN",
      "busybox",
      "sleep",
      "900",
    );
    const shown = JSON.parse(await tsctl("inspect", "-f", "{{json .}}", name)) as {
      State: { Pid: number };
      NetworkSettings: {
        Networks: Record<string, { MacAddress: string; IPAddress: string; GlobalIPv6Address: string }>;
      };
    };
    const endpoint = shown.NetworkSettings.Networks[network];
    peers.set(name, {
      pid: shown.State.Pid,
      mac: endpoint?.MacAddress ?? "",
      address: endpoint?.IPAddress ?? "",
      address6: endpoint?.GlobalIPv6Address ?? "",
    });
  }
}

beforeAll(async () => {
  daemon = await TestDaemon.start("icc");
  other = await OtherHost.connect(daemon.namespace, { server: SERVER, client: OUTSIDE });
  await daemon.importBusybox();
  await tsctl("network", "create", "--ipv6", "open");
  await tsctl("network", "create", "--ipv6", "-o", "com.docker.network.bridge.enable_icc=false", "closed");
  await tsctl("network", "create", "--ipv6", "-o", "tsd.network.guard=false", "unguarded");
  for (const network of ["open", "closed", "unguarded"]) await pair(network);
});
afterAll(async () => {
  await other.stop();
  await daemon.stop();
});

const namespaceOf = (name: string): string => `/proc/${peer(name).pid}/ns/net`;
const within = (name: string, ...words: string[]) => run("nsenter", [`--net=${namespaceOf(name)}`, ...words]);
const pings = async (from: string, address: string, ...words: string[]): Promise<boolean> => {
  const family = address.includes(":") ? ["-6"] : [];
  return (await daemon.tsctl("exec", from, "ping", ...family, ...words, "-c1", "-W1", address)).status === 0;
};
/** Whether a TCP connection or a datagram gets through. */
async function connects(from: string, to: string, kind: "tcp" | "udp", six = false): Promise<boolean> {
  const [bound, asked] = six ? ["::", peer(to).address6] : ["0.0.0.0", peer(to).address];
  const told = await output("python3", [
    join(import.meta.dirname, "connects.py"),
    ...[namespaceOf(from), namespaceOf(to), kind, bound, asked],
  ]);
  return told === "connects";
}
/** What comes of such frames, of which an honest one is the last: "arrived", "dropped" (all but the honest one) or "silence". */
function outcome(kind: string, network: string): Promise<string> {
  const [from, to] = [`${network}-a`, `${network}-b`];
  const { mac, address, address6 } = peer(from);
  return output("python3", [
    join(import.meta.dirname, "frames.py"),
    ...[kind, "eth0", namespaceOf(from), mac, address, address6],
    ...[namespaceOf(to), peer(to).mac, peer(to).address, peer(to).address6],
    ...[address.replace(/\d+$/, "200"), address6.replace(/[^:]+$/, "200")],
  ]);
}

describe("in an ordinary network", () => {
  it("containers reach each other", async () => {
    expect(await pings("open-a", peer("open-b").address)).toBe(true);
    expect(await pings("open-a", peer("open-b").address6)).toBe(true);
    expect(await connects("open-a", "open-b", "tcp")).toBe(true);
    expect(await connects("open-a", "open-b", "udp")).toBe(true);
    expect(await connects("open-a", "open-b", "tcp", true)).toBe(true);
    expect(await outcome("honest", "open")).toBe("arrived");
    expect(await outcome("six", "open")).toBe("arrived");
  });

  it.each([...["mac", "address", "arp", "arp-mac", "tagged"], ...["six-address", "neighbour", "router"]])(
    "a spoofed frame (%s) is dropped",
    async (kind) => {
      // It would arrive where the guard is off.
      if (kind !== "tagged") expect(await outcome(kind, "unguarded")).toBe("arrived");
      expect(await outcome(kind, "open")).toBe("dropped");
    },
  );

  it("somebody else's address, taken with NET_ADMIN, does not work", async () => {
    const address = peer("open-a").address.replace(/\d+$/, "77");
    await within("open-a", "ip", "addr", "add", `${address}/16`, "dev", "eth0");
    expect(await pings("open-a", peer("open-b").address, "-I", address)).toBe(false);
    await within("open-a", "ip", "addr", "del", `${address}/16`, "dev", "eth0");
    expect(await pings("open-a", peer("open-b").address)).toBe(true);
  });
});

describe("with icc=false", () => {
  it("nothing passes between containers: ICMP, TCP, UDP, IPv6", async () => {
    expect(await pings("closed-a", peer("closed-b").address)).toBe(false);
    expect(await pings("closed-a", peer("closed-b").address6)).toBe(false);
    expect(await connects("closed-a", "closed-b", "tcp")).toBe(false);
    expect(await connects("closed-a", "closed-b", "udp")).toBe(false);
    expect(await connects("closed-a", "closed-b", "tcp", true)).toBe(false);
    expect(await connects("closed-a", "closed-b", "udp", true)).toBe(false);
  });

  it.each([
    ...["honest", "mac", "address", "arp", "arp-mac", "tagged"],
    ...["six", "six-address", "neighbour", "router"],
  ])("nor a raw frame (%s)", async (kind) => {
    expect(await outcome(kind, "closed")).toBe("silence");
  });

  it("nor by way of the gateway", async () => {
    const { address } = peer("closed-b");
    const gateway = (await within("closed-a", "ip", "route", "show", "default")).stdout.split(" ")[2] ?? "";
    await within("closed-a", "ip", "route", "add", `${address}/32`, "via", gateway);
    expect(await pings("closed-a", address)).toBe(false);
    await within("closed-a", "ip", "route", "del", `${address}/32`);
  });

  it("the host's services are closed as well, the outside is not", async () => {
    const gateway = (await within("closed-a", "ip", "route", "show", "default")).stdout.split(" ")[2] ?? "";
    expect(await pings("closed-a", gateway)).toBe(false);
    expect(await pings("closed-a", SERVER)).toBe(false);
    expect(await pings("closed-a", OUTSIDE)).toBe(true);
    expect(await pings("open-a", SERVER)).toBe(true);
  });

  it("published ports are reached from other hosts", async () => {
    await tsctl(
      "run",
      "-d",
      "--name",
      "web",
      "--network",
      "closed",
      "-p",
      "18090:80",
      "busybox",
      "httpd",
      "-f",
      "-p",
      "80",
      "-h",
      "/etc",
    );
    await daemon.listens("web", 80);
    expect((await other.run("curl", ["-s", "-m", "3", `http://${SERVER}:18090/`])).status).toBe(0);
  });

  it.each([0, 1])("and from containers, its own included, with bridge-nf-call-iptables=%i", async (on) => {
    for (const family of ["iptables", "ip6tables"])
      await output("nsenter", [
        `--net=/run/netns/${daemon.namespace}`,
        "sysctl",
        "-qw",
        `net.bridge.bridge-nf-call-${family}=${on}`,
      ]);
    for (const from of ["web", "closed-a", "open-a"]) {
      const words = ["timeout", "1", "wget", "-q", "-O-", `http://${SERVER}:18090/hostname`];
      const { stdout } = await daemon.tsctl("exec", from, ...words);
      // With it, br_netfilter leads redirected frames from port to port, and no isolated port lets them through.
      const open = on === 0 || from === "open-a";
      expect([from, /^[0-9a-f]{12}\n$/.test(stdout)]).toEqual([from, open]);
    }
    expect(await pings("closed-a", peer("closed-b").address)).toBe(false);
    expect(await connects("closed-a", "closed-b", "tcp")).toBe(false);
  });
});

describe("the host", () => {
  it("keeps its loopback from containers, though published ports use it", async () => {
    const gateway = (await within("open-a", "ip", "route", "show", "default")).stdout.split(" ")[2] ?? "";
    await within(
      "open-a",
      "sh",
      "-c",
      `echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via ${gateway}`,
    );
    const server = `/run/netns/${daemon.namespace}`;
    const told = await output("python3", [
      join(import.meta.dirname, "connects.py"),
      ...[namespaceOf("open-a"), server, "tcp", "127.0.0.1", "127.0.0.1"],
    ]);
    expect(told).toBe("nothing");
  });
});
