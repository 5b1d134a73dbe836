// Links between containers that do not reach each other otherwise (--icc=false): the exposed ports of the one for the other, and
// nothing else, as long as both are there.
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventually, output } from "../harness/command.ts";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start("links", [daemonProgram], { flags: ["--icc=false"] });
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  if (status !== 0) throw new Error(stderr.trim() || stdout.trim());
  return stdout.trim();
}
/** Serves 80, which is exposed for some, and 81, which is not. */
async function start(name: string, ...words: string[]): Promise<void> {
  await tsctl(
    ...["run", "-d", "--name", name, ...words, "busybox", "sh", "-c"],
    "httpd -p 80 -h /etc; exec httpd -f -p 81 -h /etc",
  );
  for (const port of [80, 81]) await daemon.listens(name, port);
}
const fetches = async (from: string, at: string): Promise<boolean> =>
  (await daemon.tsctl("exec", from, "timeout", "3", "wget", "-q", "-O-", `http://${at}/hostname`)).status ===
  0;
const addressOf = (name: string): Promise<string> =>
  tsctl("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name);
const rules = (): Promise<string> =>
  output("nsenter", [`--net=/run/netns/${daemon.namespace}`, "sh", "-c", "iptables-save -t filter"]);

it("open the exposed ports of who is linked to, for who is linked", async () => {
  await start("db", "--expose", "80");
  await start("web", "--link", "db:store", "--expose", "80");
  await start("other");
  expect(await fetches("web", "store")).toBe(true);
  expect(await fetches("web", "store:81")).toBe(false);
  expect((await daemon.tsctl("exec", "web", "ping", "-c1", "-W1", "store")).status).toBe(1);
  expect(await fetches("db", await addressOf("web"))).toBe(false);
  expect(await fetches("other", await addressOf("db"))).toBe(false);
  expect(await fetches("other", await addressOf("web"))).toBe(false);
});

it("outlive the daemon", async () => {
  const [address, pid] = [await addressOf("db"), await tsctl("inspect", "-f", "{{.State.Pid}}", "web")];
  await daemon.end("SIGKILL");
  const words = ["curl", "-s", "-m", "2", `http://${address}/hostname`];
  expect(await output("nsenter", [`--net=/proc/${pid}/ns/net`, ...words])).not.toBe("");
  await daemon.launch([daemonProgram]);
  expect(await fetches("web", "store")).toBe(true);
  expect(await fetches("other", await addressOf("db"))).toBe(false);
});

it("go with either of the two, and come back", async () => {
  await tsctl("stop", "-t", "0", "db");
  await eventually("the port is closed", async () => !(await rules()).includes("--dport 80"));
  await tsctl("start", "db");
  await daemon.listens("db", 80);
  expect(await fetches("web", await addressOf("db"))).toBe(true);
  await tsctl("rm", "-f", "web");
  await eventually("the port is closed", async () => !(await rules()).includes("--dport 80"));
});
