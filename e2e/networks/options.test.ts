// Options of bridge networks and endpoints that have an effect on the host: link-local addresses, bridges without an address,
// the address that containers go out under, routed IPv6.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, Talk } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { OtherHost } from "../harness/other-host.ts";

let daemon: TestDaemon;
let other: OtherHost;
const SERVER = "10.231.6.1";
const SECOND = "10.231.6.3";
const OUTSIDE = "10.231.6.2";

beforeAll(async () => {
  daemon = await TestDaemon.start("options");
  other = await OtherHost.connect(daemon.namespace, {
    server: SERVER,
    client: OUTSIDE,
    server6: "fd36::1",
    client6: "fd36::2",
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
  if (status !== 0) throw new Error(stderr.trim() || stdout.trim());
  return stdout.trim();
}
const fails = async (...words: string[]): Promise<string> => (await daemon.tsctl(...words)).stderr;
const host = (...words: string[]): Promise<string> =>
  output("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...words]);
async function start(name: string, ...words: string[]): Promise<void> {
  await tsctl("run", "-d", "--name", name, ...words, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc");
  await daemon.listens(name, 80);
}
const pings = async (from: string, address: string): Promise<boolean> =>
  (await daemon.tsctl("exec", from, "ping", "-c1", "-W1", address)).status === 0;

describe("a link-local address", () => {
  it("is the interface's, may be sent from, and is as it ought to be", async () => {
    await tsctl("network", "create", "--subnet", "10.67.0.0/24", "ll");
    await start("c1", "--network", "ll", "--link-local-ip", "169.254.7.7");
    await start("c2", "--network", "ll", "--link-local-ip", "169.254.7.8");
    expect(await tsctl("exec", "c1", "ip", "-4", "addr", "show", "eth0")).toContain("inet 169.254.7.7/16");
    expect(await pings("c1", "169.254.7.8")).toBe(true);
    expect(await tsctl("verify", "c1")).not.toMatch(/169\.254/);
    expect(
      await fails("run", "--rm", "--network", "ll", "--link-local-ip", "10.1.2.3", "busybox", "true"),
    ).toContain("invalid link-local IP address: 10.1.2.3");
  });
});

describe("the option", () => {
  it("inhibit_ipv4 leaves the bridge without an address", async () => {
    const option = "com.docker.network.bridge.inhibit_ipv4=true";
    await tsctl("network", "create", "--subnet", "10.68.0.0/24", "-o", option, "inhibited");
    await start("c1", "--network", "inhibited");
    await start("c2", "--network", "inhibited");
    expect(await host("ip", "-4", "-o", "addr")).not.toContain("10.68.");
    expect(await tsctl("exec", "c1", "ip", "route")).toContain("default via 10.68.0.1");
    expect(await pings("c1", "10.68.0.1")).toBe(false);
    expect(await pings("c1", "10.68.0.3")).toBe(true);
  });

  it("host_ipv4 chooses the address that containers go out under", async () => {
    const [link = ""] = /\S+(?= +inet 10\.231\.6\.1)/.exec(await host("ip", "-4", "-o", "addr")) ?? [];
    await host("ip", "addr", "add", `${SECOND}/24`, "dev", link);
    const option = `com.docker.network.host_ipv4=${SECOND}`;
    await tsctl("network", "create", "-o", option, "second");
    await start("c1", "--network", "second");
    await start("plain");
    const seenFrom = async (name: string): Promise<string> => {
      const program = `
import socket
s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("", 7700)); s.listen(); s.settimeout(30); print("up", flush=True)
print(s.accept()[1][0])`;
      const listener = new Talk("nsenter", [`--net=/run/netns/${other.namespace}`, "python3", "-c", program]);
      await listener.line();
      await daemon.tsctl("exec", name, "nc", "-w", "1", OUTSIDE, "7700");
      return listener.line();
    };
    expect(await seenFrom("c1")).toBe(SECOND);
    expect(await seenFrom("plain")).toBe(SERVER);
  });

  it("gateway_mode_ipv6=routed shows IPv6 ports at the container's address, and leaves IPv4 as it is", async () => {
    const option = "com.docker.network.bridge.gateway_mode_ipv6=routed";
    await tsctl("network", "create", "--ipv6", "--subnet", "fd69::/64", "-o", option, "routed");
    await start("c1", "--network", "routed", "-p", "8080:80");
    await other.run("ip", ["-6", "route", "add", "fd69::/64", "via", "fd36::1"]);
    const fetches = async (address: string): Promise<boolean> =>
      (await other.run("curl", ["-s", "-m", "2", `http://${address}/hostname`])).status === 0;
    await eventually("the container is reached", () => fetches("[fd69::2]:80"), 5000);
    expect(await fetches(`${SERVER}:8080`)).toBe(true);
    expect(await fetches("[fd36::1]:8080")).toBe(false);
  });

  it.each([
    ["com.docker.network.bridge.trusted_host_interfaces=eth0", "not implemented: network option"],
    ["com.docker.network.host_ipv4=fd00::1", "not an IPv4 address"],
    ["com.docker.network.bridge.gateway_mode_ipv6=x", "unknown gateway mode x"],
    ["com.docker.network.bridge.inhibit_ipv4=x", 'parsing "x": invalid syntax'],
  ])("%s is refused", async (option, message) => {
    expect(await fails("network", "create", "-o", option, "refused")).toContain(message);
  });
});
