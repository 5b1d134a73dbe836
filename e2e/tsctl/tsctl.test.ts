// tsctl beside the docker client, on the same daemon: the same words, the same output and exit status.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasDocker, TestDaemon, tsctlProgram } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("tsctl");
  await daemon.importBusybox();
  await daemon.tsctl(
    "run",
    "-d",
    "--name",
    "one",
    "-l",
    "a=b",
    "-e",
    "X=y",
    "busybox",
    "sh",
    "-c",
    "echo out; echo err >&2; exec sleep 600",
  );
  await daemon.tsctl("run", "--name", "two", "busybox", "sh", "-c", "exit 3");
});
afterAll(() => daemon.stop());

const same: readonly (readonly string[])[] = [
  ["ps", "-q"],
  ["ps", "-aq", "--no-trunc"],
  [
    "ps",
    "-a",
    "--format",
    "{{.Names}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Labels}}|{{.Ports}}|{{.Networks}}|{{.Mounts}}",
  ],
  ["ps", "-a", "--filter", "exited=3", "--format", "{{.Names}}"],
  ["ps", "--filter", "label=a=b", "--format", "table {{.Names}}\t{{.Image}}"],
  ["container", "ls", "-a", "--filter", "name=tw", "--format", "{{json .Names}}"],
  ["logs", "one"],
  ["logs", "--tail", "1", "one"],
  ["inspect", "one"],
  [
    "inspect",
    "-f",
    "{{.Name}} {{.State.ExitCode}} {{json .Config.Env}} {{range .Config.Cmd}}<{{.}}>{{end}}",
    "two",
  ],
  ["inspect", "-f", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.IPAddress}}{{end}}", "one"],
  [
    "inspect",
    "--format",
    '{{index .Config.Labels "a"}} {{len .Mounts}} {{if .State.Running}}up{{else}}down{{end}}',
    "one",
  ],
  ["inspect", "nosuch"],
  ["container", "inspect", "nosuch"],
  ["image", "inspect", "busybox"],
  ["images", "-q"],
  ["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}"],
  ["history", "--format", "{{.ID}} {{.Size}} {{.Comment}}", "busybox"],
  ["exec", "one", "echo", "hi"],
  ["exec", "-e", "A=1", "-w", "/tmp", "one", "sh", "-c", "echo $A $X; pwd; exit 5"],
  ["exec", "one", "nosuch"],
  ["exec", "nosuch", "true"],
  ["run", "--rm", "busybox", "sh", "-c", "echo a; echo b >&2; exit 4"],
  [
    "run",
    "--rm",
    "-u",
    "1:2",
    "-w",
    "/tmp",
    "-e",
    "Q=r",
    "--hostname",
    "h",
    "busybox",
    "sh",
    "-c",
    "id -u; id -g; pwd; echo $Q; hostname",
  ],
  ["kill", "two"],
  ["rm", "nosuch"],
  ["rm", "one"],
  ["rmi", "busybox"],
  ["stop", "two"],
  ["wait", "two"],
  ["start", "nosuch"],
  ["version", "--format", "{{.Server.Version}} {{.Server.Os}}"],
  ["info", "--format", "{{.Driver}} {{.Images}} {{.ContainersRunning}}"],
  ["tag", "nosuch", "x"],
];

describe.skipIf(!hasDocker)("docker and tsctl say the same", () => {
  it.each(same.map((words) => [words.join(" "), words] as const))("%s", async (_, words) => {
    const theirs = await daemon.docker(...words);
    const ours = await daemon.tsctl(...words);
    expect({ status: ours.status, stdout: ours.stdout }).toEqual({
      status: theirs.status,
      stdout: theirs.stdout,
    });
    const first = (text: string): string => text.split("\n")[0] ?? "";
    expect(first(ours.stderr)).toBe(first(theirs.stderr));
  });
});

describe("tsctl", () => {
  it("carries bytes through unchanged, as fast as they are taken", async () => {
    const bytes = randomBytes(64 << 20);
    const child = spawn(tsctlProgram, ["run", "-i", "--rm", "--log-driver", "none", "busybox", "cat"], {
      env: { ...process.env, TSD_HOST: daemon.host },
    });
    const received = createHash("sha256");
    child.stdout.on("data", (chunk: Buffer) => received.update(chunk));
    child.stdin.end(bytes);
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0);
    expect(received.digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
  });

  it("passes signals on, and ends with the container's status", async () => {
    const words = [
      "run",
      "--rm",
      "--name",
      "trapped",
      "busybox",
      "sh",
      "-c",
      "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done",
    ];
    const child = spawn(tsctlProgram, words, { env: { ...process.env, TSD_HOST: daemon.host } });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text === "ready\n") child.kill("SIGTERM");
    });
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(9);
    expect(text).toBe("ready\ncaught\n");
  });

  it("removes by force what somebody has frozen behind the engine's back", async () => {
    const { stdout } = await daemon.tsctl("run", "-d", "busybox", "sleep", "1000");
    const group = `${daemon.cgroupParent}/${stdout.trim()}`;
    const [path, word] = existsSync(`/sys/fs/cgroup/freezer${group}`)
      ? [`/sys/fs/cgroup/freezer${group}/freezer.state`, "FROZEN"]
      : [`/sys/fs/cgroup${group}/cgroup.freeze`, "1"];
    writeFileSync(path, word);
    expect(await daemon.tsctl("rm", "-f", stdout.trim())).toMatchObject({ status: 0, stderr: "" });
  });

  it("refuses what is not built yet, and what it does not know, by name", async () => {
    const later = await daemon.tsctl("swarm", "init");
    expect([later.status, later.stderr]).toEqual([1, expect.stringContaining("'swarm' is not built yet")]);
    expect((await daemon.tsctl("run", "--nosuch", "busybox")).status).toBe(125);
  });
});
