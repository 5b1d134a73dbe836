// What this engine's builder does beyond dockerd's classic one, and what it leaves: here-documents, mounts, secrets, things
// fetched, limits, hang-ups, the images of steps.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, type Result, run } from "../harness/command.ts";
import { TestDaemon, tsctlProgram } from "../harness/daemon.ts";

let daemon: TestDaemon;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-builder-"));
  daemon = await TestDaemon.start("builder");
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon.stop();
  rmSync(scratch, { recursive: true, force: true });
});

async function context(dockerfile: string, script = ""): Promise<string> {
  const directory = mkdtempSync(join(scratch, "context-"));
  writeFileSync(join(directory, "Dockerfile"), dockerfile);
  if (script) await output("sh", ["-euc", `umask 022; cd "$0"; ${script}`, directory]);
  return directory;
}

const build = async (dockerfile: string, script = "", ...flags: string[]): Promise<Result> =>
  daemon.tsctl("build", ...flags, await context(dockerfile, script));

/** Builds it; throws if that fails. Its output. */
async function built(dockerfile: string, script = "", ...flags: string[]): Promise<string> {
  const result = await build(dockerfile, script, ...flags);
  if (result.status !== 0) throw new Error(`${result.stderr}\n${result.stdout}`);
  return result.stdout;
}

const runIn = async (image: string, ...words: string[]): Promise<string> =>
  (await daemon.docker("run", "--rm", image, ...words)).stdout;

/** Directories of builds, and layers that were not kept. */
const leftovers = (): string[] => [
  ...readdirSync(join(daemon.dataRoot, "build/work")),
  ...readdirSync(join(daemon.root, "run/build")),
  ...readdirSync(join(daemon.dataRoot, "layers")).filter((name) => name.startsWith("new-")),
];
const containerIds = async (): Promise<string[]> =>
  (JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as { Id: string }[]).map(
    ({ Id }) => Id,
  );

describe("here-documents", () => {
  it("are scripts of RUN: for the shell, for an interpreter of their own, for a command", async () => {
    await built(
      "FROM busybox\nARG A=arg\nRUN <<EOF\necho one $A > /1\ncd /tmp\npwd >> /1\nEOF\nRUN <<-\"E\"\n\t#!/bin/cat\n\tthe text\n\tE\nRUN cat <<A > /2 && cat <<'B' >> /2\n$HOME\nA\n$HOME\nB\n",
      "",
      "-t",
      "heredoc",
    );
    expect(await runIn("heredoc", "cat", "/1", "/2")).toBe("one arg\n/tmp\n/root\n$HOME\n");
  });

  it("are files of COPY, with variables or without", async () => {
    await built(
      `FROM busybox\nENV V=val\nCOPY <<one <<"two" /d/\n$V \\$V \${V:-x}\none\n$V\ntwo\nCOPY <<EOF /named\nhi "$V"\nEOF\n`,
      "",
      "-t",
      "heredoc",
    );
    expect(await runIn("heredoc", "cat", "/d/one", "/d/two", "/named")).toBe('val $V val\n$V\nhi "val"\n');
  });

  it("that do not end are refused", async () => {
    const { stderr, status } = await build("FROM busybox\nRUN <<EOF\necho x\n");
    expect([status, stderr]).toEqual([1, expect.stringContaining("unterminated heredoc")]);
  });
});

describe("RUN --mount", () => {
  it("secret: is there, and nowhere afterwards", async () => {
    const secret = `s3cret-${Date.now()}`;
    const file = join(scratch, "secret");
    writeFileSync(file, secret);
    const dockerfile =
      "FROM busybox\nRUN --mount=type=secret,id=key,required cat /run/secrets/key | wc -c > /length; ls -ln /run/secrets/key | cut -c1-10 > /mode\nRUN --mount=type=secret,id=other,target=/etc/passwd-of-it,mode=0444,uid=7 ls -ln /etc/passwd-of-it > /other\nRUN ls -d /run/secrets /etc/passwd-of-it > /after 2>&1 || true\n";
    const text = await built(
      dockerfile,
      "",
      ...["-t", "secret", "--secret", `id=key,src=${file}`, "--secret", `id=other,src=${file}`],
    );
    expect(text).not.toContain(secret);
    expect(await runIn("secret", "cat", "/length", "/mode")).toBe(`${secret.length}\n-r--------\n`);
    expect(await runIn("secret", "cat", "/other")).toMatch(/^-r--r--r-- +1 7 +0 /);
    expect(await runIn("secret", "cat", "/after")).toContain("No such file");
    await daemon.end("SIGTERM");
    const everywhere = await run("grep", ["-rlF", "--", secret, daemon.root]);
    expect(everywhere.stdout).toBe("");
    await daemon.launch();
    expect((await build(dockerfile)).stderr).toContain("secret key: not found");
  });

  it("bind: of the context, of a stage; what is written to a copy is gone", async () => {
    await built(
      "FROM busybox AS a\nRUN mkdir /out && echo a > /out/f && ln -s f /out/l\nFROM busybox\nRUN --mount=target=/ctx --mount=type=bind,from=a,source=/out,target=/a,rw --mount=from=busybox,source=/etc/group,target=/g cat /ctx/file /a/l > /got; head -1 /g >> /got; echo more >> /a/f; echo x > /ctx/x || echo read-only >> /got\nRUN ls -d /ctx /a /g > /after 2>&1 || true\n",
      "echo from the context > file",
      "-t",
      "bound",
    );
    expect(await runIn("bound", "cat", "/got")).toBe("from the context\na\nroot:x:0:\nread-only\n");
    expect((await runIn("bound", "cat", "/after")).match(/No such file/g)).toHaveLength(3);
  });

  it("bind: a change of what is bound is a change of the step", async () => {
    const directory = await context("FROM busybox\nRUN --mount=target=/ctx cat /ctx/f\n", "echo 1 > f");
    const once = async (): Promise<string> => (await daemon.tsctl("build", directory)).stdout;
    await once();
    expect(await once()).toContain("Using cache");
    writeFileSync(join(directory, "f"), "2\n");
    expect(await once()).not.toContain("Using cache");
  });

  it("cache: what one build leaves the next one finds, until it is pruned", async () => {
    const dockerfile = (n: number) =>
      `FROM busybox\nRUN --mount=type=cache,target=/c,id=counter echo ${n} >> /c/f && cat /c/f\n`;
    await built(dockerfile(1));
    expect(await built(dockerfile(2))).toContain("1\n2\n");
    const { stdout } = await daemon.tsctl("builder", "prune", "-f");
    expect(stdout).toMatch(/Total reclaimed space: [1-9]/);
    expect(await built(dockerfile(3))).not.toContain("\n2\n3\n");
  });

  it("tmpfs is no part of the layer", async () => {
    await built(
      "FROM busybox\nRUN --mount=type=tmpfs,target=/t,size=1m echo x > /t/f; df -m /t | tail -1 | awk '{print $2}' > /size\n",
      "",
      "-t",
      "tmp",
    );
    expect(await runIn("tmp", "sh", "-c", "cat /size; ls -d /t 2>&1")).toContain("1\nls: /t: No such");
  });

  it.each([
    ["type=ssh", 'type "ssh" is not supported'],
    ["type=bind", "target is required"],
    ["type=cache,target=/c,sharing=locked", "sharing=locked is not supported"],
    ["type=secret,target=/x,foo=1", "unexpected key 'foo'"],
    ["type=bind,target=/x,source=../../etc", "forbidden path outside the build context"],
    ["type=tmpfs,target=/x,size=lots", 'invalid size "lots"'],
  ])("%s is refused", async (mount, reason) => {
    const { status, stderr } = await build(`FROM busybox\nRUN --mount=${mount} true\n`);
    expect([status, stderr]).toEqual([1, expect.stringContaining(reason)]);
  });
});

describe("COPY and ADD", () => {
  it("--chmod, of everything but links", async () => {
    await built(
      "FROM busybox\nCOPY --chmod=4750 d /d\nCOPY --chmod=600 --chown=3:4 d/f /g\n",
      "mkdir -p d/e; touch d/f d/e/g; ln -s f d/l",
      "-t",
      "modes",
    );
    expect(await runIn("modes", "stat", "-c", "%a %u %n", "/d/e", "/d/f", "/g")).toBe(
      "4750 0 /d/e\n4750 0 /d/f\n600 3 /g\n",
    );
    expect((await build("FROM busybox\nCOPY --chmod=u+x f /\n", "touch f")).stderr).toContain(
      "invalid chmod parameter: 'u+x'",
    );
  });

  it("a context that climbs stays inside", async () => {
    const root = mkdtempSync(join(scratch, "climber-"));
    writeFileSync(join(root, "Dockerfile"), "FROM busybox\nCOPY link/passwd /got\nCOPY away /away\n");
    await output("sh", [
      "-euc",
      'cd "$0"; ln -s /etc link; ln -s ../../../../../etc/shadow away; mkdir etc; echo inner > etc/passwd; echo inner > etc/shadow; tar -cf ../climber.tar --transform "s|^evil|../../../../evil|" .',
      root,
    ]);
    const { status, stderr } = await daemon.cli(tsctlProgram, ["build", "-t", "climber", "-"], {
      input: readFileSync(join(scratch, "climber.tar")),
    });
    expect([status, stderr]).toEqual([0, ""]);
    expect(await runIn("climber", "cat", "/got", "/away")).toBe("inner\ninner\n");
  });

  it("a Dockerfile that is a link out of the context is not found", async () => {
    const directory = await context("", "rm Dockerfile; ln -s /etc/passwd Dockerfile");
    const { stderr } = await daemon.docker("build", directory);
    expect(stderr).not.toContain("root:");
  });

  it("xz and zstd archives are unpacked", async () => {
    await built(
      "FROM busybox\nADD x.tar.xz /x/\nADD z.tar.zst /z/\n",
      "echo in > f; tar -cJf x.tar.xz f; tar -c f | zstd -q > z.tar.zst",
      "-t",
      "packed",
    );
    expect(await runIn("packed", "cat", "/x/f", "/z/f")).toBe("in\nin\n");
  });
});

describe("what is fetched", () => {
  const PORT = 8099;
  const servers: ReturnType<typeof spawn>[] = [];
  let served: string;
  const inNamespace = (...words: string[]): void => {
    servers.push(spawn("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...words], { stdio: "ignore" }));
  };
  beforeAll(async () => {
    served = mkdtempSync(join(scratch, "served-"));
    await output("sh", [
      "-euc",
      `cd "$0"; echo fetched > file.txt; touch -d 2001-02-03T04:05:06Z file.txt; mkdir c; printf 'FROM busybox\\nCOPY f /\\n' > c/Dockerfile; echo in > c/f; tar -czf context.tar.gz -C c .; printf 'FROM busybox\\nRUN echo from a file\\n' > Plain
       mkdir repository; cd repository; git init -q; git config user.email a@b; git config user.name a; mkdir sub; printf 'FROM busybox\\nCOPY . /repo\\n' > Dockerfile; cp Dockerfile sub; echo one > file; echo two > sub/file; git add .; git commit -qm one; git tag v1; echo later > file; git commit -qam two`,
      served,
    ]);
    inNamespace("busybox", "httpd", "-f", "-p", `127.0.0.1:${PORT}`, "-h", served);
    inNamespace(
      "git",
      "-c",
      "safe.directory=*",
      "daemon",
      "--export-all",
      "--listen=127.0.0.1",
      `--base-path=${served}`,
    );
    await eventually("the servers listen", async () => {
      const { stdout } = await run("nsenter", [`--net=/run/netns/${daemon.namespace}`, "ss", "-Hlnt"]);
      return stdout.includes(`:${PORT}`) && stdout.includes(":9418");
    });
  });
  afterAll(() => {
    for (const server of servers) server.kill();
  });

  it("ADD of a URL: name, permissions, time", async () => {
    await built(
      `FROM busybox\nADD http://127.0.0.1:${PORT}/file.txt /d/\nADD --chown=5 --chmod=644 http://127.0.0.1:${PORT}/file.txt /named\n`,
      "",
      "-t",
      "url",
    );
    expect(await runIn("url", "stat", "-c", "%a %u %Y", "/d/file.txt", "/named")).toBe(
      "600 0 981173106\n644 5 981173106\n",
    );
    const { stderr } = await build(`FROM busybox\nADD http://127.0.0.1:${PORT}/nope /\n`);
    expect(stderr).toContain("ADD failed: failed to GET");
  });

  it("ADD of a git repository", async () => {
    await built(
      "FROM busybox\nADD git://127.0.0.1/repository#v1 /v1\nADD git://127.0.0.1/repository#:sub /sub\n",
      "",
      "-t",
      "git",
    );
    expect(await runIn("git", "sh", "-c", "cat /v1/file /sub/file; ls -A /v1")).toBe(
      "one\ntwo\nDockerfile\nfile\nsub\n",
    );
  });

  it("contexts: a repository, an archive, a Dockerfile", async () => {
    expect((await daemon.tsctl("build", "-t", "r", "git://127.0.0.1/repository#:sub")).status).toBe(0);
    expect(await runIn("r", "cat", "/repo/file")).toBe("two\n");
    expect((await daemon.tsctl("build", "-t", "r", `http://127.0.0.1:${PORT}/context.tar.gz`)).status).toBe(
      0,
    );
    expect(await runIn("r", "cat", "/f")).toBe("in\n");
    expect((await daemon.tsctl("build", `http://127.0.0.1:${PORT}/Plain`)).stdout).toContain("from a file");
    expect((await daemon.tsctl("build", "git://127.0.0.1/nope")).stderr).toContain("error fetching");
  });
});

describe("what is left", () => {
  it("of a step that failed: its container, unless --force-rm", async () => {
    await build("FROM busybox\nRUN exit 3\n");
    const [kept, ...others] = await containerIds();
    expect(others).toEqual([]);
    await daemon.docker("rm", kept ?? "");
    const { status } = await build("FROM busybox\nRUN exit 3\n", "", "--force-rm");
    expect([status, await containerIds(), leftovers()]).toEqual([3, [], []]);
  });

  it("of steps that went well with --rm=false: their containers", async () => {
    await built(
      "FROM busybox\nRUN echo kept > /f\nRUN cat /f\n",
      "",
      "--rm=false",
      "--no-cache",
      "-t",
      "kept",
    );
    const ids = await containerIds();
    expect(ids).toHaveLength(2);
    expect(await runIn("kept", "cat", "/f")).toBe("kept\n");
    await daemon.docker("rm", ...ids);
  });

  it("of a build whose client went away: nothing", async () => {
    const before = await containerIds();
    const archive = await output("sh", [
      "-c",
      `printf 'FROM busybox\nRUN sleep 1000\n' > "$0/Dockerfile"; tar -C "$0" -cf "$0.tar" Dockerfile; echo "$0.tar"`,
      mkdtempSync(join(scratch, "hang-")),
    ]);
    const sending = request({ socketPath: daemon.socket, method: "POST", path: "/build" });
    sending.on("error", () => undefined);
    sending.end(readFileSync(archive));
    await eventually("it runs", async () => (await containerIds()).length > before.length);
    sending.destroy();
    await eventually(
      "nothing is left",
      async () => (await containerIds()).length === before.length && leftovers().length === 0,
    );
  });

  it("of many builds at a time: what each was to make", async () => {
    const numbers = [...Array(6).keys()];
    await Promise.all(
      numbers.map((n) =>
        built(
          `FROM busybox\nRUN echo ${n} > /f\nCOPY c /c\nRUN cat /c /f > /both\n`,
          `echo c${n} > c`,
          "-t",
          `many:${n}`,
        ),
      ),
    );
    for (const n of numbers) expect(await runIn(`many:${n}`, "cat", "/both")).toBe(`c${n}\n${n}\n`);
    expect(leftovers()).toEqual([]);
  });

  it("of an image's steps: shown with -a, gone with it, not before", async () => {
    const text = await built(
      "FROM busybox\nENV A=1\nRUN echo steps\nENV B=1\n",
      "",
      "-t",
      "steps:1",
      "--no-cache",
    );
    const ids = [...text.matchAll(/^ ---> ([0-9a-f]{12})$/gm)].map(([, id = ""]) => id);
    const listed = async (...flags: string[]): Promise<string> =>
      (await daemon.docker("images", "-q", ...flags)).stdout;
    for (const id of ids.slice(1, 3)) {
      expect(await listed()).not.toContain(id);
      expect(await listed("-a")).toContain(id);
    }
    const removal = await daemon.docker("rmi", ids[1] ?? "");
    expect(removal.stderr).toContain(
      `conflict: unable to delete ${ids[1]} (cannot be forced) - image has dependent child images`,
    );
    const { stdout } = await daemon.docker("rmi", "steps:1");
    expect(stdout.match(/^Deleted: /gm)?.length).toBeGreaterThanOrEqual(3);
    for (const id of ids.slice(1)) expect(await listed("-a")).not.toContain(id);
    expect(await listed()).toContain(ids[0]);
  });

  it("of builds nobody named: prune takes steps, and with --all what they ended in", async () => {
    await built(
      "FROM busybox AS unused\nRUN echo a stage\nFROM busybox\nRUN echo nameless\n",
      "",
      "--no-cache",
    );
    await build("FROM busybox\nRUN echo before\nRUN false\n", "", "--force-rm", "--no-cache");
    const count = async (): Promise<number> =>
      (await daemon.docker("images", "-aq", "--no-trunc", "--filter", "dangling=true")).stdout
        .split("\n")
        .filter(Boolean).length;
    const all = await count();
    await daemon.tsctl("builder", "prune", "-f");
    const results = await count();
    expect(results).toBeLessThan(all);
    await daemon.docker("builder", "prune", "-f", "-a");
    await daemon.tsctl("builder", "prune", "-fa");
    expect(await count()).toBeLessThan(results);
    expect((await daemon.api("POST", "/build/prune?filters=%7B%22nope%22%3A%5B%221%22%5D%7D")).status).toBe(
      400,
    );
  });
});

describe("the API", () => {
  it("says that it has the classic builder, and no build cache of BuildKit's", async () => {
    expect((await daemon.api("GET", "/_ping")).headers["builder-version"]).toBe("1");
    expect(JSON.parse((await daemon.api("GET", "/system/df")).text)).toMatchObject({ BuildCache: [] });
  });

  it.each([
    ["version=2", 501, "BuildKit"],
    ["squash=1", 400, "squash is only supported with experimental mode"],
    ["platform=zz", 400, '"zz": unknown operating system or architecture: invalid argument'],
    ["buildargs=x", 400, "error reading build args:"],
    ["labels=%5B1%5D", 400, "error reading labels:"],
    ["cachefrom=x", 400, "error reading cache-from:"],
    ["memory=lots", 400, "invalid parameter memory: must be a whole number"],
    ["t=A:b", 400, "must be lowercase"],
    ["dockerfile=nope", 400, "Cannot locate specified Dockerfile: nope"],
    ["dockerfile=../x", 400, "Forbidden path outside the build context"],
    ["remote=ftp://x/y", 400, "remote: ftp://x/y is neither a URL nor a git repository"],
    ["target=nope", 400, 'target stage "nope" could not be found'],
  ])("%s: %d, %s", async (query, status, message) => {
    const tar = await output("sh", [
      "-c",
      `printf 'FROM busybox\n' > "$0/Dockerfile"; tar -C "$0" -c Dockerfile | base64 -w0`,
      mkdtempSync(join(scratch, "q-")),
    ]);
    const answer = await daemon.api("POST", `/build?${query}`, Buffer.from(tar, "base64"));
    expect([answer.status, answer.text]).toEqual([
      status,
      expect.stringContaining(JSON.stringify(message).slice(1, -1)),
    ]);
    expect(leftovers()).toEqual([]);
  });

  it("a body that is no archive", async () => {
    const answer = await daemon.api("POST", "/build", Buffer.from("nonsense".repeat(200)));
    expect([answer.status, leftovers()]).toEqual([400, []]);
  });

  it("a base that is not here", async () => {
    const { stderr, status } = await build("FROM 127.0.0.1:9/nowhere:1\n");
    expect([status, stderr]).toEqual([1, expect.stringContaining('Get "http://127.0.0.1:9/v2/"')]);
  });

  it("limits hold while it is built", async () => {
    const text = await built(
      "FROM busybox\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; df -k /dev/shm | tail -1\n",
      "",
      "-m",
      "64m",
      "--shm-size",
      "8m",
      "--no-cache",
    );
    expect(text).toMatch(/^67108864$/m);
    expect(text).toMatch(/^shm|tmpfs +8192 /m);
  });
});
