// Networks by the stock docker client: made, looked at, connected and disconnected live, separate from each other.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { daemonProgram, hasDocker, TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { OtherHost } from "../harness/other-host.ts";

let daemon: TestDaemon;
let other: OtherHost;
const SERVER = "10.231.7.1";

beforeAll(async () => {
  daemon = await TestDaemon.start("networks");
  other = await OtherHost.connect(daemon.namespace, {
    server: SERVER,
    client: "10.231.7.2",
    server6: "fd31::1",
    client6: "fd31::2",
  });
  await daemon.importBusybox();
});
afterAll(async () => {
  await other.stop();
  await daemon.stop();
});
afterEach(async () => {
  await daemon.clear();
  await client("network", "prune", "-f");
});

const program = hasDocker ? "docker" : tsctlProgram;
async function client(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.cli(program, words);
  if (status !== 0) throw new Error(stderr.trim() || stdout);
  return stdout.trim();
}
const fails = (...words: string[]): Promise<string> =>
  client(...words).then(
    (text) => `succeeded: ${text}`,
    (error: Error) => error.message,
  );
const start = (name: string, ...words: string[]): Promise<string> =>
  client("run", "-d", "--name", name, ...words, "busybox", "sleep", "600");
const inside = (name: string, script: string): Promise<string> => client("exec", name, "sh", "-c", script);
const reaches = async (name: string, address: string): Promise<boolean> =>
  (await daemon.cli(program, ["exec", name, "ping", "-c1", "-W1", address])).status === 0;
const host = (...words: string[]): Promise<string> =>
  output("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...words]);
const template = (name: string, format: string): Promise<string> => client("inspect", "-f", format, name);

describe("a network", () => {
  it("is made, listed, looked at and removed, with its events", async () => {
    const since = String(Math.floor(Date.now() / 1000) - 1);
    const id = await client("network", "create", "--subnet", "10.66.0.0/24", "--label", "a=b", "one");
    expect(await client("network", "ls", "-q", "--no-trunc", "--filter", "label=a")).toBe(id);
    const [shown] = JSON.parse(await client("network", "inspect", "one")) as [Record<string, unknown>];
    expect(shown).toMatchObject({
      Name: "one",
      Id: id,
      Scope: "local",
      Driver: "bridge",
      Internal: false,
      IPAM: { Driver: "default", Config: [{ Subnet: "10.66.0.0/24" }] },
      Labels: { a: "b" },
      Containers: {},
    });
    await start("c1", "--network", "one");
    expect(await fails("network", "rm", "one")).toContain("has active endpoints");
    await client("rm", "-f", "c1");
    await client("network", "rm", "one");
    expect(await fails("network", "inspect", "one")).toContain("network one not found");
    expect(await host("ip", "-o", "link", "show", "type", "bridge")).not.toContain("br-");
    const events = await client(
      "events",
      "--since",
      since,
      "--until",
      String(Math.floor(Date.now() / 1000) + 1),
      "--filter",
      "type=network",
      "--format",
      "{{.Action}} {{.Actor.Attributes.name}}",
    );
    expect(events.split("\n")).toEqual(["create one", "connect one", "disconnect one", "destroy one"]);
  });

  it("gets a subnet that nobody has", async () => {
    const subnets = new Set<string>();
    for (const name of ["aa", "bb", "cc"]) {
      await client("network", "create", name);
      subnets.add(await client("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", name));
    }
    expect(subnets.size).toBe(3);
  });

  it("refuses what can't be", async () => {
    await client("network", "create", "--subnet", "10.66.0.0/24", "one");
    expect(await fails("network", "create", "one")).toContain("network with name one already exists");
    expect(await fails("network", "create", "--subnet", "10.66.0.0/25", "two")).toContain(
      "Pool overlaps with other one on this address space",
    );
    expect(await fails("network", "rm", "bridge")).toContain(
      "bridge is a pre-defined network and cannot be removed",
    );
    expect(await fails("network", "create", "-d", "ipvlan", "three")).toContain("operation not supported");
    expect(await fails("network", "create", "-d", "macvlan", "-o", "parent=nope0", "three")).toContain(
      "nope0",
    );
    expect(await fails("run", "--rm", "--network", "nope", "busybox", "true")).toContain(
      "network nope not found",
    );
    expect(await host("ip", "-o", "link")).not.toContain("three");
  });

  it("that is internal leads nowhere else", async () => {
    await client("network", "create", "--internal", "--subnet", "10.66.1.0/24", "closed");
    await start("a1", "--network", "closed");
    await start("b1", "--network", "closed");
    expect(await inside("a1", "ip route")).not.toContain("default");
    expect(await reaches("a1", "10.66.1.3")).toBe(true);
    expect(
      await inside("a1", "ip route add default via 10.66.1.1; ping -c1 -W1 10.231.7.2 || echo none").catch(
        () => "none",
      ),
    ).toContain("none");
  });

  it("of IPv6 gives both kinds of addresses", async () => {
    await client("network", "create", "--ipv6", "six");
    await start("a1", "--network", "six");
    await start("b1", "--network", "six");
    const address = await template("b1", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}");
    expect(address).toMatch(/^fd/);
    expect(await inside("a1", `ping -6 -c1 -W2 ${address}`)).toContain("1 packets received");
    expect(await inside("a1", "ip -6 route")).toContain("default via");
  });

  it("by macvlan hangs on an interface of the host's", async () => {
    await host("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1");
    for (const link of ["lan0", "lan1"]) await host("ip", "link", "set", link, "up");
    await client(
      "network",
      "create",
      "-d",
      "macvlan",
      "-o",
      "parent=lan0",
      "--subnet",
      "10.66.5.0/24",
      "lan",
    );
    await start("a1", "--network", "lan");
    await start("b1", "--network", "lan");
    expect(await reaches("a1", "10.66.5.3")).toBe(true);
    await daemon.clear();
    await client("network", "rm", "lan");
    expect(await host("ip", "-o", "link", "show", "lan0")).toContain("lan0");
    await host("ip", "link", "del", "lan0");
  });
});

describe("a device of the host's", () => {
  it("is the container's while it runs, and comes back", async () => {
    await host("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1");
    await host("ip", "addr", "add", "10.66.9.1/24", "dev", "lan1");
    await host("ip", "link", "set", "lan1", "up");
    await daemon.tsctl(
      "run",
      "-d",
      "--name",
      "guest",
      "--network",
      "device:lan0",
      "--cap-add",
      "NET_ADMIN",
      "busybox",
      "sleep",
      "60",
    );
    expect(await inside("guest", "ip addr add 10.66.9.2/24 dev lan0; ping -c1 -W1 10.66.9.1")).toContain(
      "1 packets received",
    );
    expect(await host("ip", "-o", "link")).not.toContain("lan0@");
    await client("kill", "guest");
    await eventually("it is back", async () => (await host("ip", "-o", "link")).includes("lan0@"));
    expect(
      (await daemon.tsctl("run", "--rm", "--network", "device:nope0", "busybox", "true")).stderr,
    ).toContain("network device nope0 not found on this host");
    await host("ip", "link", "del", "lan0");
  });
});

describe("a container", () => {
  it("has the address, aliases and MAC address that it asks for", async () => {
    await client("network", "create", "--subnet", "10.66.0.0/24", "one");
    await start(
      "c1",
      "--network",
      "one",
      "--network-alias",
      "web",
      "--ip",
      "10.66.0.9",
      "--mac-address",
      "02:00:00:00:00:77",
    );
    const endpoint = JSON.parse(await template("c1", "{{json .NetworkSettings.Networks.one}}")) as Record<
      string,
      unknown
    >;
    const id = await template("c1", "{{.Id}}");
    expect(endpoint).toMatchObject({
      IPAMConfig: { IPv4Address: "10.66.0.9" },
      Aliases: ["web"],
      IPAddress: "10.66.0.9",
      IPPrefixLen: 24,
      Gateway: "10.66.0.1",
      MacAddress: "02:00:00:00:00:77",
      DNSNames: ["c1", "web", id.slice(0, 12)],
    });
    expect(await inside("c1", "ip -o addr show eth0")).toContain("10.66.0.9/24");
    expect(await inside("c1", "cat /sys/class/net/eth0/address")).toBe("02:00:00:00:00:77");
    expect(await fails("run", "--network", "one", "--ip", "10.66.0.9", "busybox", "true")).toContain(
      "Address already in use",
    );
  });

  it("joins and leaves networks while it runs", async () => {
    await client("network", "create", "--subnet", "10.66.0.0/24", "one");
    await client("network", "create", "--subnet", "10.66.1.0/24", "two");
    await start("c1", "--network", "one");
    await start("d1", "--network", "two");
    expect(await reaches("c1", "10.66.1.2")).toBe(false);
    await client("network", "connect", "--alias", "x", "two", "c1");
    expect(await reaches("c1", "10.66.1.2")).toBe(true);
    expect(await inside("c1", "cat /etc/hosts")).toContain("10.66.1.3");
    expect(await fails("network", "connect", "two", "c1")).toContain(
      "endpoint with name c1 already exists in network two",
    );
    // The default route follows.
    await client("network", "disconnect", "one", "c1");
    expect(await inside("c1", "ip route")).toContain("default via 10.66.1.1");
    expect(await inside("c1", "cat /etc/hosts")).not.toContain("10.66.0.2");
    expect(await inside("c1", "ip -o link")).not.toContain("eth0");
    expect(await fails("network", "disconnect", "one", "c1")).toContain("is not connected to");
    await client("network", "disconnect", "two", "c1");
    expect(await inside("c1", "ip -o link | wc -l")).toBe("1");
    // What was changed while it ran holds for its next start, and for one that does not run.
    await client("network", "connect", "one", "c1");
    await client("stop", "-t", "0", "c1");
    await client("network", "connect", "two", "c1");
    await client("start", "c1");
    expect(await template("c1", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}")).toBe(
      "one two",
    );
    expect(await inside("c1", "ip -o -4 addr | wc -l")).toBe("3");
  });

  it("that starts and ends at once is connected and executed in, or it has ended; no other answer", async () => {
    for (const name of ["first", "second"]) await client("network", "create", name);
    const ask = (path: string, body?: object): Promise<{ status: number; text: string }> =>
      daemon.api("POST", path, body);
    for (let round = 0; round < 10; round++) {
      const id = await client("create", "--network", "first", "busybox", "true");
      const [started, connected, exec] = await Promise.all([
        ask(`/containers/${id}/start`),
        ask("/networks/second/connect", { Container: id }),
        ask(`/containers/${id}/exec`, { Cmd: ["true"] }),
      ]);
      expect([started.status, connected.status, connected.text]).toEqual([204, 200, ""]);
      expect([201, 409], exec.text).toContain(exec.status);
      if (exec.status === 201) {
        const { Id } = JSON.parse(exec.text) as { Id: string };
        const run = await ask(`/exec/${Id}/start`, { Detach: true });
        expect([200, 409], run.text).toContain(run.status);
      }
      expect(await client("wait", id)).toBe("0");
      const networks = await template(
        id,
        "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
      );
      expect(networks).toBe("first second");
    }
    await client("container", "prune", "-f");
    expect(await daemon.lastingLeaks()).toEqual([]);
  });

  it("starts in several networks, and its default route is that of the highest priority", async () => {
    for (const [name, number] of Object.entries({ alpha: 1, beta: 2, gamma: 3 }))
      await client("network", "create", "--subnet", `10.66.${number}.0/24`, name);
    const { text } = await daemon.api("POST", "/containers/create?name=many", {
      Image: "busybox",
      Cmd: ["sleep", "600"],
      HostConfig: { NetworkMode: "beta" },
      NetworkingConfig: { EndpointsConfig: { beta: {}, alpha: {}, gamma: { GwPriority: 7 } } },
    });
    expect(text).toContain("Id");
    await client("start", "many");
    expect(await inside("many", "ip -o -4 addr show eth0")).toContain("10.66.2.2");
    expect(await inside("many", "ip route")).toContain("default via 10.66.3.1 dev eth2");
  });

  it("is linked to another on the default network", async () => {
    await client(
      "run",
      "-d",
      "--name",
      "db",
      "--expose",
      "5432",
      "-e",
      "SECRET=x",
      "busybox",
      "sleep",
      "600",
    );
    await start("app", "--link", "db:store");
    expect(await inside("app", "ping -c1 -W1 store >/dev/null && env")).toMatch(
      /STORE_PORT_5432_TCP=tcp:\/\/[\d.]+:5432[\s\S]*STORE_ENV_SECRET=x/,
    );
    expect(await template("app", "{{json .HostConfig.Links}}")).toBe('["/db:/app/store"]');
  });
});

describe("networks", () => {
  it("do not reach each other, but by published ports; all reach the outside", async () => {
    await client("network", "create", "--subnet", "10.66.0.0/24", "one");
    await client("network", "create", "--subnet", "10.66.1.0/24", "two");
    await client(
      "run",
      "-d",
      "--name",
      "server",
      "--network",
      "one",
      "-p",
      "18080:80",
      "busybox",
      "httpd",
      "-f",
      "-p",
      "80",
    );
    await daemon.listens("server", 80);
    await start("c1", "--network", "two");
    expect(await reaches("c1", "10.66.0.2")).toBe(false);
    expect(await reaches("c1", "10.231.7.2")).toBe(true);
    expect(await inside("c1", "nc -w 1 10.66.0.2 80 </dev/null && echo reached || echo none")).toBe("none");
    expect(await inside("c1", `nc -w 1 ${SERVER} 18080 </dev/null && echo reached`)).toBe("reached");
  });

  it("survive the daemon, with those in them", async () => {
    await client("network", "create", "--subnet", "10.66.0.0/24", "one");
    await start("c1", "--network", "one");
    await start("d1", "--network", "one");
    await daemon.end("SIGKILL");
    await daemon.launch([daemonProgram]);
    expect(await reaches("c1", "10.66.0.3")).toBe(true);
    // Addresses that are taken are known.
    await start("e1", "--network", "one");
    expect(await template("e1", "{{.NetworkSettings.Networks.one.IPAddress}}")).toBe("10.66.0.4");
    await client("rm", "-f", "d1");
    await start("f1", "--network", "one");
    expect(await template("f1", "{{.NetworkSettings.Networks.one.IPAddress}}")).toBe("10.66.0.3");
    const [shown] = JSON.parse(await client("network", "inspect", "one")) as [{ Containers: object }];
    expect(Object.keys(shown.Containers)).toHaveLength(3);
  });

  it("are repaired when somebody flushes every rule", async () => {
    await client("network", "create", "one");
    await client(
      "run",
      "-d",
      "--name",
      "server",
      "--network",
      "one",
      "-p",
      "18081:80",
      "busybox",
      "httpd",
      "-f",
      "-p",
      "80",
    );
    await daemon.listens("server", 80);
    const get = async (): Promise<boolean> =>
      (await other.run("curl", ["-s", "-m", "2", "-o", "/dev/null", `http://${SERVER}:18081/`])).status === 0;
    expect(await get()).toBe(true);
    const before = await rules();
    for (const table of ["filter", "nat"]) {
      await host("iptables", "-t", table, "-F");
      await host("iptables", "-t", table, "-X");
    }
    await eventually("the rules are back", async () => (await rules()) === before, 5000);
    for (const table of ["bridge", "ip", "ip6"])
      await host("nft", "delete", "table", table, "tsd").catch(() => "");
    await eventually("the tables are back", get, 5000);
    expect(await rules()).toBe(before);
  });
});

/** Our rules as iptables-save shows them, without counters. */
async function rules(): Promise<string> {
  return (await host("iptables-save"))
    .split("\n")
    .filter((line) => line.includes("TSD-"))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ""))
    .sort()
    .join("\n");
}

describe("when everything is removed", () => {
  it("nothing is left", async () => {
    const links = await host("ip", "-o", "link");
    const before = await rules();
    await client("network", "create", "--ipv6", "one");
    await client("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "two");
    await start("c1", "--network", "one", "-p", "18082:80", "-p", "18083:81/udp");
    await client("network", "connect", "two", "c1");
    await client("rm", "-f", "c1");
    await client("network", "rm", "one", "two");
    await eventually("no link is left", async () => (await host("ip", "-o", "link")) === links, 5000);
    expect(await rules()).toBe(before);
    const { stdout } = await run("nsenter", [
      `--net=/run/netns/${daemon.namespace}`,
      "nft",
      "list",
      "ruleset",
    ]);
    expect(stdout).not.toMatch(/elements/);
  });
});
