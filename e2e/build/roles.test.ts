// Builds of callers with bounded roles: a build's containers, images and fetches are judged as if they were asked for by hand.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Result } from "../harness/command.ts";
import { tsctlProgram } from "../harness/daemon.ts";
import { RemoteDaemon } from "../harness/remote.ts";

let remote: RemoteDaemon;
let scratch: string;
let ann: string;
let ben: string;
let operator: string;
let viewer: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-build-roles-"));
  const rolesFile = join(scratch, "roles.json");
  const limits = { images: ["busybox"], memory: "64m", pids: 50, cpus: 0.5, labels: { team: "ci" } };
  const allow = ["container:*", "image:*", "build:*"];
  writeFileSync(rolesFile, JSON.stringify({ version: 1, roles: { ci: { allow, scope: "own", limits } } }));
  remote = await RemoteDaemon.start("build-roles", ["--roles-file", rolesFile]);
  await remote.daemon.importBusybox();
  await remote.daemon.tsctl("build", "-t", "other:1", await contextOf("FROM busybox\nENV A=1\n"));
  await remote.daemon.tsctl(
    "build",
    "-t",
    "secret:1",
    await contextOf("FROM busybox\nRUN echo hidden > /hidden\n"),
  );
  [ann, ben] = [await remote.client("ann", "ci"), await remote.client("ben", "ci")];
  operator = await remote.client("otto", "operator");
  viewer = await remote.client("vera", "viewer");
});
afterAll(async () => {
  await remote.stop();
  rmSync(scratch, { recursive: true, force: true });
});

async function contextOf(dockerfile: string): Promise<string> {
  const directory = mkdtempSync(join(scratch, "context-"));
  writeFileSync(join(directory, "Dockerfile"), dockerfile);
  return directory;
}
const build = async (certificates: string, dockerfile: string, ...flags: string[]): Promise<Result> =>
  remote.cli(tsctlProgram, certificates, ["build", ...flags, await contextOf(dockerfile)]);

describe("a build by a bounded role", () => {
  it("has the role's limits where it names none", async () => {
    const { status, stdout, stderr } = await build(
      ann,
      "FROM busybox\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true\nRUN echo a second step\n",
    );
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("67108864\n");
    expect(stdout).toContain("50\n");
  });

  it.each([
    ["more memory", ["-m", "65m"], "HostConfig.Memory: must be given, and at most 67108864 bytes"],
    ["the host's network", ["--network", "host"], "HostConfig.NetworkMode: the host's network namespace"],
    ["a control group elsewhere", ["--cgroup-parent", "/x"], "HostConfig.CgroupParent"],
    ["a name that its role trusts", ["-t", "busybox:new"], "to name an image busybox:new"],
  ])("does not get %s", async (_what, flags, reason) => {
    const { status, stderr } = await build(ann, "FROM busybox\nRUN true\n", ...flags);
    expect([status, stderr]).toEqual([1, expect.stringContaining(reason)]);
  });

  it.each([
    ["RUN --network=host", "FROM busybox\nRUN --network=host true\n", "the host's network namespace"],
    ["an image its role does not name", "FROM other:1\nRUN true\n", "No such image: other:1"],
    ["files of such an image", "FROM busybox\nCOPY --from=secret:1 /hidden /\n", "No such image: secret:1"],
    [
      "a mount of such an image",
      "FROM busybox\nRUN --mount=from=secret:1,target=/x cat /x/hidden\n",
      "No such image: secret:1",
    ],
    ["the host's own services", "FROM busybox\nADD http://127.0.0.1:2376/x /\n", "which is the host itself"],
    ["them by another name", "FROM busybox\nADD http://localhost:2376/x /\n", "which is the host itself"],
    [
      "them by an address of another form",
      "FROM busybox\nADD http://[::ffff:127.0.0.1]/x /\n",
      "which is the host itself",
    ],
    ["git on the host's network", "FROM busybox\nADD git://127.0.0.1/x /\n", "to fetch by git"],
  ])("does not get %s", async (_what, dockerfile, reason) => {
    const { status, stderr } = await build(ann, dockerfile);
    expect([status, stderr]).toEqual([1, expect.stringContaining(reason)]);
  });

  it("leaves images to its caller alone, cache and caches too", async () => {
    const dockerfile = "FROM busybox\nRUN --mount=type=cache,target=/c,id=x echo ann >> /c/f; cat /c/f\n";
    expect((await build(ann, dockerfile, "-t", "anns:1")).stdout).toContain("ann\n");
    const bens = await build(ben, dockerfile.replace("echo ann", "echo ben"));
    expect(bens.stdout).toContain("ben\n");
    expect(bens.stdout).not.toMatch(/^ann$/m);
    expect((await build(ben, dockerfile)).stdout).not.toContain("Using cache");
    expect((await build(ann, dockerfile)).stdout).toContain("Using cache");
    const taken = await build(ben, "FROM busybox\nENV A=1\n", "-t", "anns:1");
    expect([taken.status, taken.stderr]).toEqual([1, expect.stringContaining("to take the name anns:1")]);
    expect((await remote.cli(tsctlProgram, ben, ["images", "-a"])).stdout).not.toContain("anns");
  });

  it("an operator builds, within an operator's walls; a viewer does not", async () => {
    expect((await build(operator, "FROM busybox\nRUN true\n")).status).toBe(0);
    expect(
      (await build(operator, "FROM busybox\nRUN true\n", "--network", "host", "--no-cache")).stderr,
    ).toContain("authorization denied");
    expect((await build(viewer, "FROM busybox\n")).stderr).toContain("does not allow build:run");
  });

  it("every build is in the audit record, its secrets are not", async () => {
    const file = join(scratch, "key");
    writeFileSync(file, "not-to-be-seen");
    await build(ann, "FROM busybox\n", "-t", "anns:2", "--secret", `id=k,src=${file}`);
    const { stdout } = await remote.daemon.tsctl("audit", "query", "--caller", "cert:ann");
    expect(stdout).toContain("cert:ann");
    expect(stdout).not.toContain("not-to-be-seen");
  });
});
