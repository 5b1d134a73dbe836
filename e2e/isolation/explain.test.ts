// tsctl explain: the plan in words, of what runs, of what would, and what differs between two.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

interface Step {
  Stage: string;
  Operation: string;
  Calls: string[];
  Does: string;
  Details: string[];
  Why: string;
}
interface Explanation {
  Id: string;
  Of: string;
  Steps: Step[];
  Beside: { Does: string }[];
}

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("explain");
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
});

async function explained(...words: string[]): Promise<Explanation> {
  const { status, stdout, stderr } = await daemon.tsctl("explain", "--format", "json", ...words);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout) as Explanation;
}
const stepOf = ({ Steps }: Explanation, operation: string): Step | undefined =>
  Steps.find(({ Operation }) => Operation === operation);

describe("a container's plan", () => {
  it("is that of its present life, with calls and reasons, also for the next daemon", async () => {
    await daemon.tsctl("run", "-d", "--name", "lives", "--cap-drop", "ALL", "busybox", "sleep", "1000");
    const before = await explained("lives");
    expect(before.Of).toBe("present life");
    expect(before.Steps.every(({ Why }) => Why.length > 3)).toBe(true);
    expect(stepOf(before, "clone")?.Calls[0]).toMatch(/^clone3\(.*CLONE_NEWPID/);
    expect(stepOf(before, "capabilities.bounding")?.Calls).toEqual(["prctl(PR_CAPBSET_DROP)"]);
    expect(stepOf(before, "capabilities.bounding")?.Does).toContain("none");
    const { NetworkSettings } = JSON.parse((await daemon.api("GET", "/containers/lives/json")).text) as {
      NetworkSettings: { Networks: { bridge: { IPAddress: string } } };
    };
    const { IPAddress } = NetworkSettings.Networks.bridge;
    expect(stepOf(before, "netlink")?.Details.join("\n")).toContain(`the address ${IPAddress}/`);
    await daemon.end("SIGKILL");
    await daemon.launch();
    expect(await explained("lives")).toEqual(before);
  });

  it("is that of its next start while it does not run, and of no life once it has ended", async () => {
    await daemon.tsctl("create", "--name", "waits", "-m", "32m", "busybox", "true");
    const next = await explained("waits");
    expect(next.Of).toBe("next start");
    await daemon.tsctl("start", "waits");
    await daemon.api("POST", "/containers/waits/wait");
    expect((await explained("waits")).Of).toBe("next start");
    expect(readdirSync(join(daemon.root, "run/c"))).toHaveLength(1);
    const { stdout } = await daemon.tsctl("explain", "waits");
    expect(stdout).toContain("why: a container that takes all memory");
  });
});

describe("a would-be run", () => {
  /** What a run would leave. */
  const traces = async (): Promise<string[]> => [
    ...readdirSync(join(daemon.dataRoot, "containers")),
    ...readdirSync(join(daemon.dataRoot, "volumes")),
    ...readdirSync(join(daemon.root, "run/c")),
    await output("nsenter", [`--net=/run/netns/${daemon.namespace}`, "ip", "-o", "link"]),
    await output("nsenter", [`--net=/run/netns/${daemon.namespace}`, "nft", "list", "ruleset"]),
    (await daemon.api("GET", "/containers/json?all=1")).text.replaceAll(/"Status":"[^"]*"/g, ""),
    (await daemon.api("GET", "/volumes")).text,
  ];

  it("is explained and leaves nothing, not even an address", async () => {
    const before = await traces();
    const source = join(daemon.root, "not-there");
    const plan = await explained(
      ...["run", "-p", "8080:80", "-v", "new-volume:/data", "-v", "/anonymous", "-v", `${source}:/there`],
      ...["--ulimit", "nofile=64", "-e", "A=b", "busybox", "echo", "hi"],
    );
    expect(plan).toMatchObject({ Id: "", Of: "would-be" });
    expect(plan.Steps.at(-1)?.Does).toBe('execute "echo" "hi"');
    expect(stepOf(plan, "rlimit")?.Calls).toEqual(["prlimit64(RLIMIT_NOFILE)"]);
    expect(plan.Steps.some(({ Does }) => Does.includes(source))).toBe(true);
    expect(plan.Beside.some(({ Does }) => Does.includes("8080"))).toBe(true);
    expect(await traces()).toEqual(before);
    expect(readdirSync(daemon.root)).not.toContain("not-there");
    const address = /the address ([\d.]+)/.exec(stepOf(plan, "netlink")?.Details.join() ?? "")?.[1];
    await daemon.tsctl("run", "-d", "--name", "next", "busybox", "sleep", "1000");
    const really = /the address ([\d.]+)/.exec(
      stepOf(await explained("next"), "netlink")?.Details.join() ?? "",
    );
    expect(really?.[1]).toBe(address);
  });

  it("is judged like a create", async () => {
    const missing = await daemon.tsctl("explain", "run", "nosuch");
    expect(missing).toMatchObject({ status: 1, stderr: expect.stringContaining("No such image: nosuch") });
    const wrong = await daemon.api("POST", "/tsd/explain", { Image: "busybox", HostConfig: { Memory: 1 } });
    expect(wrong.status).toBe(400);
    const partner = await daemon.tsctl("explain", "run", "--pid", "container:nosuch", "busybox", "true");
    expect(partner.stderr).toContain("No such container: nosuch");
  });
});

describe("two plans", () => {
  it("of containers that are alike do not differ", async () => {
    for (const name of ["one", "two"])
      await daemon.tsctl(
        "run",
        "-d",
        "--name",
        name,
        "-v",
        "/data",
        "--net-rate-out",
        "8mbit",
        "busybox",
        "top",
      );
    const { status, stdout } = await daemon.tsctl("explain", "--diff", "one", "two");
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });

  it("differ in what was asked for", async () => {
    const { status, stdout } = await daemon.tsctl(
      ...["explain", "--diff", "next", "run", "--read-only", "--pids-limit", "9", "busybox", "sleep", "1000"],
    );
    expect(status).toBe(1);
    const lines = stdout.split("\n").filter((line) => /^[-+]/.test(line));
    expect(lines).toHaveLength(4);
    expect(stdout).toContain("+ pivot to the root (read-only)");
    expect(stdout).toMatch(/\+ write "9" to .*pids\.max/);
  });
});
