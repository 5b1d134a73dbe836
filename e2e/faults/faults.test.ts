// A failure injected before every single step of a start, and of an exec: nothing is left behind, and the next start works.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { landlockVersion } from "@tsd/kernel-bindings";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { repository, TestDaemon } from "../harness/daemon.ts";

// The bundle stands where its native modules can be found.
const bundle = join(repository, "packages/daemon/dist/faulty-daemon.mjs");
let daemon: TestDaemon;

beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, "faulty-daemon.ts")],
    outfile: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["better-sqlite3", "koffi"],
    banner: {
      js: 'import { createRequire as tsdRequire } from "node:module"; const require = tsdRequire(import.meta.url);',
    },
    logLevel: "error",
  });
  daemon = await TestDaemon.start("faults", ["env", `TSD_REPOSITORY=${repository}`, "node", bundle]);
  await daemon.importBusybox();
  expect((await daemon.tsctl("network", "create", "shaped")).status).toBe(0);
});
afterAll(async () => {
  fault({});
  await daemon.stop();
  rmSync(bundle, { force: true });
});

function fault(order: { step?: number }): void {
  writeFileSync(join(daemon.root, "data/fault.json"), JSON.stringify(order));
}
const steps = (): string[] =>
  JSON.parse(readFileSync(join(daemon.root, "data/plan.json"), "utf8")) as string[];

/** A container with something of everything. */
function fullRequest(): object {
  const bind = join(daemon.root, "bind");
  mkdirSync(bind, { recursive: true });
  return {
    Image: "busybox",
    Cmd: ["true"],
    Tty: true,
    Domainname: "example",
    WorkingDir: "/tmp/work",
    ExposedPorts: { "80/tcp": {} },
    HostConfig: {
      Binds: [`${bind}:/bind:ro`, `${bind}:/shared:rshared`],
      Tmpfs: { "/scratch": "size=1m" },
      Memory: 64 << 20,
      PidsLimit: 100,
      Init: true,
      // With a name server, an ifb, and a published port.
      NetworkMode: "shaped",
      NetworkShape: { Out: { Rate: 1e6 }, In: { Rate: 1e6 } },
      PortBindings: { "80/tcp": [{ HostPort: "8080" }] },
      OomScoreAdj: 100,
      ReadonlyRootfs: false,
      Ulimits: [{ Name: "nofile", Soft: 100, Hard: 100 }],
      SecurityOpt: ["no-new-privileges", ...(landlockVersion() > 0 ? ["landlock=rw:/"] : [])],
      SeccompTrace: true,
      Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/other", CgroupPermissions: "r" }],
    },
  };
}

async function create(): Promise<string> {
  const { status, text } = await daemon.api("POST", "/containers/create", fullRequest());
  expect(status, text).toBe(201);
  return (JSON.parse(text) as { Id: string }).Id;
}

describe("a start that fails", () => {
  it("at any step leaves no mount, link, cgroup, process or file, and says where it failed", async () => {
    fault({});
    const id = await create();
    expect((await daemon.api("POST", `/containers/${id}/start`)).status).toBe(204);
    await daemon.api("POST", `/containers/${id}/wait`);
    await daemon.api("DELETE", `/containers/${id}?force=1`);
    const plan = steps();
    expect(plan.length).toBeGreaterThan(80);
    for (let step = 0; step < plan.length; step++) {
      fault({ step });
      const faulty = await create();
      const { status, text } = await daemon.api("POST", `/containers/${faulty}/start`);
      expect([step, plan[step], status, text]).toEqual([
        step,
        plan[step],
        500,
        expect.stringContaining("fault"),
      ]);
      const left = await daemon.lastingLeaks();
      expect([step, plan[step], left]).toEqual([step, plan[step], []]);
      expect((await daemon.api("DELETE", `/containers/${faulty}`)).status).toBe(204);
    }
    fault({});
    const healthy = await create();
    expect((await daemon.api("POST", `/containers/${healthy}/start`)).status).toBe(204);
    await daemon.api("DELETE", `/containers/${healthy}?force=1`);
  }, 120_000);
});

describe("an exec that fails", () => {
  it("at any step leaves its container running and no process behind", async () => {
    fault({});
    await daemon.tsctl("run", "-d", "--name", "host", "busybox", "sleep", "600");
    expect((await daemon.tsctl("exec", "host", "true")).status).toBe(0);
    const plan = steps();
    for (let step = 0; step < plan.length; step++) {
      fault({ step });
      const { status, stdout } = await daemon.tsctl("exec", "host", "true");
      expect([step, plan[step], status, stdout]).toEqual([
        step,
        plan[step],
        126,
        expect.stringContaining("fault"),
      ]);
    }
    fault({});
    const processes = await daemon.tsctl("exec", "host", "sh", "-c", "ls -d /proc/[0-9]* | wc -l");
    expect(Number(processes.stdout)).toBeLessThanOrEqual(4);
    await daemon.tsctl("rm", "-f", "host");
  }, 60_000);
});
