// tsd-runtime: the OCI life of a container by hand, and podman, which drives it as its runtime.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { repository, TestDaemon } from "../harness/daemon.ts";
import { groupsLike, installed } from "./installed.ts";

const program = join(repository, "packages/daemon/bin/tsd-runtime");
const trap = 'trap "echo got; exit 3" TERM; echo begun; while :; do sleep 0.1; done';

let directory: string;
let state: string;
/** Suites run side by side. */
let group: string;
const bundle = (name: string): string => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "tsd-command-"));
  chmodSync(directory, 0o711);
  state = join(directory, "state");
  group = directory.split("/").at(-1) ?? "";
  const daemon = await TestDaemon.start("command");
  try {
    await daemon.importBusybox();
    for (const userns of ["host", "auto"]) {
      const words = [
        "spec",
        "-o",
        bundle(userns),
        "run",
        "--userns",
        userns,
        "-m",
        "64m",
        "busybox",
        "sh",
        "-c",
        trap,
      ];
      expect((await daemon.tsctl(...words)).status).toBe(0);
    }
  } finally {
    await daemon.stop();
  }
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

const runtime = (...words: string[]) => run(program, ["--root", state, ...words]);
const statusOf = async (id: string): Promise<string> =>
  (JSON.parse((await runtime("state", id)).stdout) as { status: string }).status;

interface Config {
  process: { args: string[] };
  hooks?: object;
  linux: { cgroupsPath: string };
}
/** A bundle like another one, with something changed. */
function changed(
  name: string,
  from: string,
  change: (config: Config & { root: { path: string } }) => void,
): string {
  const config = JSON.parse(readFileSync(join(bundle(from), "config.json"), "utf8")) as Config & {
    root: { path: string };
  };
  config.root.path = join(bundle(from), "rootfs");
  config.linux.cgroupsPath = `/${group}-${name}`;
  change(config);
  mkdirSync(bundle(name), { recursive: true });
  writeFileSync(join(bundle(name), "config.json"), JSON.stringify(config));
  return bundle(name);
}

/** Creates with files as streams: they are the container's from then on. */
async function create(
  id: string,
  from: string,
  ...words: string[]
): Promise<{ status: number | null; out: string }> {
  const out = join(directory, `${id}.out`);
  const file = openSync(out, "w");
  const child: ChildProcess = spawn(program, ["--root", state, "create", "-b", from, ...words, id], {
    stdio: ["ignore", file, file],
  });
  const status = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  return { status, out };
}

describe("a container's life by hand", () => {
  for (const userns of ["host", "auto"])
    it(`create, start, exec, kill, delete with the user namespace ${userns}`, async () => {
      const id = `life-${userns}`;
      const pidFile = join(directory, `${id}.pid`);
      const { status, out } = await create(
        id,
        changed(id, userns, () => undefined),
        "--pid-file",
        pidFile,
      );
      expect(readFileSync(out, "utf8")).toBe("");
      expect(status).toBe(0);
      expect(await statusOf(id)).toBe("created");
      const pid = readFileSync(pidFile, "utf8");
      expect(readFileSync(`/proc/${pid}/uid_map`, "utf8")).toMatch(
        userns === "host" ? /^\s*0\s+0\s/ : /^\s*0\s+[1-9]/,
      );
      expect((await runtime("exec", id, "true")).stderr).toContain("not running");
      expect((await runtime("start", id)).status).toBe(0);
      expect(await statusOf(id)).toBe("running");
      await eventually("it has begun", () => Promise.resolve(readFileSync(out, "utf8") === "begun\n"));
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain(`/${group}-${id}`);
      expect((await runtime("start", id)).stderr).toContain("cannot start a container that is running");
      expect(await runtime("exec", id, "sh", "-c", "id -u; exit 5")).toMatchObject({
        status: 5,
        stdout: "0\n",
      });
      expect((await runtime("delete", id)).stderr).toContain("not stopped: running");
      expect((await runtime("list", "--format", "json")).stdout).toContain(`"id":"${id}"`);
      expect((await runtime("kill", id, "TERM")).status).toBe(0);
      await eventually("it has stopped", async () => (await statusOf(id)) === "stopped");
      expect(readFileSync(out, "utf8")).toBe("begun\ngot\n");
      expect((await runtime("kill", id)).stderr).toContain("not running");
      expect((await runtime("delete", id)).status).toBe(0);
      expect((await runtime("state", id)).stderr).toContain("does not exist");
    });

  it("runs in the foreground with the container's exit code", async () => {
    const from = changed("front", "host", (config) => {
      config.process.args = ["sh", "-c", "cat; exit 9"];
    });
    expect(
      await run(program, ["--root", state, "run", "-b", from, "front"], { input: "in\n" }),
    ).toMatchObject({
      status: 9,
      stdout: "in\n",
    });
  });

  it("tells hooks of it", async () => {
    const told = join(directory, "told");
    const hook = (kind: string) => [
      { path: "/bin/sh", args: ["sh", "-c", `printf '${kind} ' >> ${told}; cat > ${told}.${kind}`] },
    ];
    const from = changed("hooked", "host", (config) => {
      config.process.args = ["true"];
      config.hooks = Object.fromEntries(
        ["createRuntime", "poststart", "poststop"].map((kind) => [kind, hook(kind)]),
      );
    });
    expect((await runtime("run", "-b", from, "hooked")).status).toBe(0);
    expect(readFileSync(told, "utf8")).toBe("createRuntime poststart poststop ");
    expect(JSON.parse(readFileSync(`${told}.createRuntime`, "utf8"))).toMatchObject({
      id: "hooked",
      status: "created",
    });
  });

  it("names what is wrong, and leaves nothing of it", async () => {
    const missing = changed("missing", "host", (config) => {
      config.process.args = ["nosuch"];
    });
    const { status, out } = await create("missing", missing);
    expect(status).toBe(1);
    expect(readFileSync(out, "utf8")).toContain("executable file `nosuch` not found in $PATH");
    const hooked = changed("hookless", "host", (config) => {
      config.hooks = { createRuntime: [{ path: "/bin/false" }] };
    });
    expect((await runtime("run", "-b", hooked, "hookless")).stderr).toContain(
      "hook createRuntime /bin/false",
    );
    const wrong = changed("wrong", "host", (config) => {
      Object.assign(config.process, { cwd: 1 });
    });
    expect((await runtime("run", "-b", wrong, "wrong")).stderr).toContain("process.cwd");
    expect((await runtime("state", "../up")).stderr).toContain("invalid container ID");
  });

  it("leaves nothing behind", () => {
    expect(existsSync(state) ? readdirSync(state) : []).toEqual([]);
    expect(groupsLike(group)).toEqual([]);
  });
});

describe.skipIf(!installed("podman") || !installed("conmon"))("podman", () => {
  const podman = (...words: string[]) =>
    run("podman", [
      ...["--root", join(directory, "podman"), "--runroot", join(directory, "podman-run")],
      ...["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", program],
      ...words,
    ]);
  // What podman asks for by default is more than some machines allow.
  const flags = ["--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
  const image = "localhost/tsd-busybox:latest";
  const groupsIn = (path: string): string[] => readdirSync(path).filter((name) => name.startsWith("libpod-"));
  const parent = () => ["--cgroup-parent", `/${group}-podman`];

  beforeAll(async () => {
    const archive = join(directory, "root.tar");
    await output("tar", ["-C", join(bundle("host"), "rootfs"), "-cf", archive, "."]);
    expect((await podman("import", archive, image)).status).toBe(0);
  });

  it("runs a container", async () => {
    const result = await podman(
      "run",
      ...parent(),
      "--rm",
      ...flags,
      image,
      "sh",
      "-c",
      "echo out; id -u; exit 7",
    );
    expect(result).toMatchObject({ status: 7, stdout: "out\n0\n" });
  });

  it("shows it its own control groups only", async () => {
    const words = ["cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"];
    const { stdout } = await podman(
      "run",
      ...parent(),
      "--rm",
      "--cgroupns",
      "host",
      "-m",
      "32m",
      ...flags,
      image,
      ...words,
    );
    if (existsSync("/sys/fs/cgroup/memory")) expect(stdout).toBe(`${32 << 20}\n`);
    const own = await podman(
      "run",
      ...parent(),
      "--rm",
      "--cgroupns",
      "private",
      "-m",
      "32m",
      ...flags,
      image,
      ...words,
    );
    expect(own.stdout).toBe(`${32 << 20}\n`);
  });

  it("with a terminal", async () => {
    const { status, stdout } = await podman(
      "run",
      ...parent(),
      "--rm",
      "-t",
      ...flags,
      image,
      "sh",
      "-c",
      "test -t 1 && echo terminal",
    );
    expect(stdout.trim()).toBe("terminal");
    expect(status).toBe(0);
  });

  it("executes in one, kills it, and reads its log and exit code", async () => {
    expect(
      (await podman("run", ...parent(), "-d", "--name", "one", ...flags, image, "sh", "-c", trap)).status,
    ).toBe(0);
    expect(await podman("exec", "one", "sh", "-c", "echo in; exit 5")).toMatchObject({
      status: 5,
      stdout: "in\n",
    });
    expect((await podman("kill", "-s", "TERM", "one")).status).toBe(0);
    expect((await podman("wait", "one")).stdout).toBe("3\n");
    expect((await podman("logs", "one")).stdout).toBe("begun\ngot\n");
    expect((await podman("rm", "one")).status).toBe(0);
  });

  it("hears why a container can't start", async () => {
    expect((await podman("run", ...parent(), "--rm", ...flags, image, "nosuch")).status).toBe(127);
  });

  it("leaves nothing behind", async () => {
    expect((await podman("ps", "-aq")).stdout).toBe("");
    expect(groupsLike(group).flatMap(groupsIn)).toEqual([]);
    await podman("rmi", "-af");
    // conmon's own, which podman leaves.
    for (const path of groupsLike(group).flatMap((one) => [join(one, "conmon"), one]))
      if (existsSync(path)) rmdirSync(path);
  });
});
