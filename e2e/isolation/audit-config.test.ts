// tsctl audit-config: findings with severity, evidence and remedy, of the daemon and of containers; its exit status.
import { chmodSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";

interface Audit {
  Containers: number;
  Findings: { Id: string; Severity: string; Container: string; Evidence: string; Remedy: string }[];
  Passed: string[];
}

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("audit-config");
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
});
const audit = async (...words: string[]): Promise<Audit> =>
  JSON.parse((await daemon.tsctl("audit-config", "--format", "json", ...words)).stdout) as Audit;

it("finds what is weak about the daemon, and sees it mended", async () => {
  chmodSync(daemon.socket, 0o666);
  const { Findings } = await audit();
  expect(Findings.find(({ Id }) => Id === "daemon.socket.mode")).toMatchObject({
    Severity: "critical",
    Container: "",
    Evidence: expect.stringContaining("mode 0666"),
    Remedy: expect.stringContaining("--socket-mode"),
  });
  chmodSync(daemon.socket, 0o660);
  expect((await audit()).Passed).toContain("daemon.socket.mode");
});

it("finds what is weak about containers, the worst first", async () => {
  const kept = "--read-only --cap-drop ALL --user 1000 --memory 64m --cpus 1 --pids-limit 9";
  await daemon.tsctl("run", "-d", "--name", "kept", ...kept.split(" "), "busybox", "sleep", "1000");
  const loose = [
    "--privileged",
    "-v",
    "/:/host",
    "-v",
    `${daemon.socket}:/engine`,
    "-p",
    "81:80",
    "-e",
    "TOKEN=abc",
  ];
  await daemon.tsctl("run", "-d", "--name", "loose", ...loose, "busybox", "sleep", "1000");
  const { Containers, Findings } = await audit();
  expect(Containers).toBe(2);
  const of = (name: string): string[] =>
    Findings.filter(({ Container }) => Container === name).map(({ Id }) => Id);
  expect(of("loose")).toEqual(
    expect.arrayContaining([
      "container.privileged",
      "container.mounts.sensitive",
      "container.ports.everywhere",
      "container.ports.low",
      "container.environment.secrets",
      "container.limits.memory",
      "container.user.root",
    ]),
  );
  expect(of("loose").filter((id) => id === "container.mounts.sensitive")).toHaveLength(2);
  for (const id of [
    "container.privileged",
    "container.limits.memory",
    "container.user.root",
    "container.root.writable",
  ])
    expect(of("kept")).not.toContain(id);
  expect(Findings[0]?.Severity).toBe("critical");
  expect(JSON.stringify(Findings)).not.toContain("abc");
});

it("shows only what weighs enough, and exits by what it found", async () => {
  const shown = await audit("--severity", "critical", "--container", "loose");
  expect(new Set(shown.Findings.map(({ Severity }) => Severity))).toEqual(new Set(["critical"]));
  expect((await daemon.tsctl("audit-config", "--fail-on", "critical")).status).toBe(1);
  expect((await daemon.tsctl("audit-config", "--fail-on", "critical", "--container", "kept")).status).toBe(0);
  expect((await daemon.tsctl("audit-config")).status).toBe(0);
  const { stdout } = await daemon.tsctl("audit-config", "--container", "loose");
  expect(stdout).toMatch(
    /^critical +container\.privileged {2}\(container loose\)\n +it is privileged.*\n +found: .*\n +remedy: /m,
  );
  expect((await daemon.tsctl("audit-config", "--severity", "awful")).stderr).toContain(
    'invalid argument "awful"',
  );
});
