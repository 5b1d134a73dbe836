// Hooks of devices' specifications (CDI): run where the OCI runtime specification says, told of the container, and heeded.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { daemonProgram, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
// Hooks in the container's namespaces are its root's, who must be able to reach them.
const place = mkdtempSync(join(tmpdir(), "tsd-hook-scripts-"));
const specifications = join(place, "cdi");

interface Hook {
  hookName: string;
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}
/** A script of the host's that is told the state. */
function script(name: string, text: string): string {
  const path = join(place, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}
const device = (name: string, ...hooks: Hook[]) => ({ name, containerEdits: { hooks } });

beforeAll(async () => {
  chmodSync(place, 0o755);
  mkdirSync(specifications);
  const told = join(place, "told");
  const runtime = script(
    "runtime",
    `cat >${told}; echo "$COLOUR $*" >>${told}; readlink /proc/self/ns/mnt >>${told}`,
  );
  const container = script(
    "container",
    [
      "state=$(cat)",
      'bundle=$(echo "$state" | sed \'s/.*"bundle":"\\([^"]*\\)".*/\\1/\')',
      'root=$(sed \'s/.*"root":{"path":"\\([^"]*\\)".*/\\1/\' "$bundle/config.json")',
      'echo "$state" >"$root/state"; hostname >"$root/host"; test -e "$root/proc/self" && echo mounted >"$root/mounts"',
    ].join("\n"),
  );
  const specification = {
    cdiVersion: "0.6.0",
    kind: "vendor.test/hook",
    devices: [
      device(
        "all",
        {
          hookName: "createRuntime",
          path: runtime,
          args: ["runtime", "one", "two"],
          env: ["COLOUR=blue", "PATH=/usr/bin:/bin"],
        },
        { hookName: "createContainer", path: container, env: ["PATH=/usr/bin:/bin"] },
        { hookName: "startContainer", path: "/bin/sh", args: ["sh", "-c", "cat >/started; ls / >>/started"] },
      ),
      device("fails", {
        hookName: "createContainer",
        path: script("fails", "echo this machine is out of order >&2; exit 3"),
      }),
      device("fails-beside", {
        hookName: "createRuntime",
        path: script("beside", "echo no luck >&2; exit 4"),
      }),
      device("slow", { hookName: "createRuntime", path: script("slow", "sleep 60"), timeout: 1 }),
      device("missing", { hookName: "startContainer", path: "/nosuch" }),
      device("late", { hookName: "poststop", path: "/bin/true" }),
    ],
  };
  writeFileSync(join(specifications, "hooks.json"), JSON.stringify(specification));
  daemon = await TestDaemon.start("hooks", [daemonProgram], { flags: ["--cdi-spec-dir", specifications] });
  chmodSync(daemon.root, 0o711); // as the directory of an exec root is
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
  rmSync(place, { recursive: true, force: true });
});

const run = (name: string, ...words: string[]) =>
  daemon.tsctl("run", "--rm", "--hostname", "inside", "--device", `vendor.test/hook=${name}`, ...words);

describe("hooks of devices", () => {
  for (const words of [
    [],
    ["--userns", "host"],
    ["--network", "none"],
    ["--network", "host", "--oom-score-adj", "100"],
  ])
    it(`are run in their places (${words.join(" ") || "as ever"})`, async () => {
      rmSync(join(place, "told"), { force: true });
      const seen = await run(
        "all",
        ...words,
        "busybox",
        "sh",
        "-c",
        "cat /state /host /mounts /started; readlink /proc/self/ns/mnt",
      );
      expect(seen.status, seen.stderr).toBe(0);
      const [state = "", host, mounts, started = ""] = seen.stdout.split("\n");
      const [beside = "", words_, namespace] = readFileSync(join(place, "told"), "utf8").split("\n");
      const id = /[0-9a-f]{64}/.exec(state)?.[0];
      const bundle = join(daemon.root, "run/bundles", id?.slice(0, 16) ?? "");
      for (const [text, status] of [
        [beside, "creating"],
        [state, "creating"],
        [started, "created"],
      ] as const)
        expect(JSON.parse(text)).toEqual({
          ociVersion: "1.1.0",
          id,
          status,
          bundle,
          pid: expect.any(Number),
        });
      const pids = [beside, state, started].map((text) => (JSON.parse(text) as { pid: number }).pid);
      expect(new Set(pids).size).toBe(1);
      expect(pids[0]).toBeGreaterThan(1);
      expect(words_).toBe("blue one two");
      expect(namespace).toBe(readlinkSync("/proc/self/ns/mnt"));
      expect([host, mounts]).toEqual(["inside", "mounted"]);
      expect(seen.stdout).toMatch(/\nbin\n/);
      expect(existsSync(bundle)).toBe(false);
    });

  it("that fail keep the container from starting, with what they said, and nothing is left", async () => {
    for (const [name, message] of [
      ["fails", /hook .*\/fails: status 3: this machine is out of order/],
      ["fails-beside", /hook .*\/beside: status 4: no luck/],
      ["slow", /hook .*\/slow: .*timed out/],
      ["missing", /hook \/nosuch: status 127: No such file or directory/],
    ] as const) {
      const { status, stderr } = await run(name, "busybox", "true");
      expect([name, stderr]).toEqual([name, expect.stringMatching(message)]);
      expect(status).not.toBe(0);
      expect(await daemon.lastingLeaks()).toEqual([]);
    }
  });

  it("of other kinds are refused by name", async () => {
    const { status, stderr } = await run("late", "busybox", "true");
    expect([status, stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining(
        "not implemented: CDI hooks of kind poststop (vendor.test/hook=late asks for /bin/true)",
      ),
    ]);
    expect(status).not.toBe(0);
  });
});
