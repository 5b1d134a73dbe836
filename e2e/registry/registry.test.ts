// Images from and to a real registry: over TLS with a password, plain, through a middle man that cuts and falsifies.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveDirectory, layerTar, multiPlatformLayout, savedArchive } from "../harness/archives.ts";
import { eventually, output, Talk } from "../harness/command.ts";
import { TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { debianRoot } from "../harness/debian.ts";
import { hasRegistry, hasSkopeo, TestRegistry } from "../harness/registry.ts";

const SECURE = "10.99.0.1";
const archives = archiveDirectory();
let daemon: TestDaemon;
let plain: TestRegistry;
let secure: TestRegistry;
let middle: Talk;
const MIDDLE = "127.0.0.1:5002";

/** An answer of progress lines, read. */
async function lines(path: string, headers: Record<string, string> = {}): Promise<Record<string, never>[]> {
  const words = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const text = await output("curl", [
    "-s",
    "-X",
    "POST",
    "--unix-socket",
    daemon.socket,
    ...words,
    `http://tsd${path}`,
  ]);
  return text
    .split("\r\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, never>);
}

const pull = (image: string, tag: string, headers: Record<string, string> = {}) =>
  lines(`/images/create?fromImage=${image}&tag=${encodeURIComponent(tag)}`, headers);
const push = (name: string, tag: string, headers: Record<string, string> = {}) =>
  lines(`/images/${name}/push?tag=${tag}`, { "X-Registry-Auth": "e30=", ...headers });
const auth = (username: string, password: string): Record<string, string> => ({
  "X-Registry-Auth": Buffer.from(JSON.stringify({ username, password })).toString("base64url"),
});
const statuses = (answer: Record<string, unknown>[]): unknown[] => answer.map(({ status }) => status);
const errorOf = (answer: Record<string, unknown>[]): unknown =>
  answer.at(-1)?.error ?? answer.at(-1)?.message;

interface Counts {
  blobBytes: number;
  blobs: number;
  refused: number;
  ranges: string[];
}
const say = async (rules: object, reset = true): Promise<Counts> =>
  JSON.parse(await middle.answer(JSON.stringify({ set: rules, reset }))) as Counts;

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect(`${stderr}${status}`).toBe("0");
  return stdout.trim();
}

/** What the store holds, beside the images that everybody starts with. */
const stored = (kind: "blobs/sha256" | "blobs/partial" | "layers"): string[] =>
  readdirSync(join(daemon.dataRoot, kind)).sort();

describe.skipIf(!hasRegistry)("registries", () => {
  beforeAll(async () => {
    const certificates = join(archives.path, "certs");
    daemon = await TestDaemon.start("registry", undefined, {
      flags: [
        "--registry-certs-dir",
        certificates,
        "--registry-mirror",
        `mirrored.test=http://127.0.0.1:5000`,
      ],
    });
    await output("nsenter", [
      `--net=/run/netns/${daemon.namespace}`,
      "ip",
      "addr",
      "add",
      `${SECURE}/24`,
      "dev",
      "lo",
    ]);
    plain = await TestRegistry.start(daemon.namespace, { address: "127.0.0.1", port: 5000 });
    secure = await TestRegistry.start(daemon.namespace, {
      address: SECURE,
      port: 5001,
      tls: true,
      password: true,
    });
    middle = new Talk("nsenter", [
      `--net=/run/netns/${daemon.namespace}`,
      process.execPath,
      join(import.meta.dirname, "middle-man.mjs"),
      "5002",
      "127.0.0.1:5000",
    ]);
    expect(await middle.line()).toBe("listening");
    await daemon.importBusybox();
    await tsctl("tag", "busybox", "127.0.0.1:5000/team/box:1");
    const big = await layerTar(archives.path, "big", "head -c 30000000 /dev/urandom > big; echo 1 > one");
    const small = await layerTar(
      archives.path,
      "small",
      "echo 2 > two; setfattr -n user.x -v y two; chown 3:4 two; touch -d '2021-01-01 00:00:00.5 UTC' two",
    );
    const archive = await savedArchive(archives.path, [big, small], ["127.0.0.1:5000/team/big:1"]);
    await tsctl("load", "-i", archive);
  });
  afterAll(async () => {
    middle?.end();
    await plain?.stop();
    await secure?.stop();
    await daemon?.stop();
    archives.remove();
  });

  it("push: every layer once, then known, then mounted from another repository", async () => {
    const first = await push("127.0.0.1:5000/team/box", "1");
    expect(statuses(first).filter((status) => status !== "Pushing")).toEqual([
      "The push refers to repository [127.0.0.1:5000/team/box]",
      "Preparing",
      "Pushed",
      expect.stringMatching(/^1: digest: sha256:[0-9a-f]{64} size: \d+$/),
      undefined,
    ]);
    const { Digest, Size, Tag } = (first.at(-1)?.aux ?? {}) as Record<string, unknown>;
    expect([Tag, Size]).toEqual(["1", expect.any(Number)]);
    expect(statuses(await push("127.0.0.1:5000/team/box", "1"))).toContain("Layer already exists");
    await tsctl("tag", "busybox", "127.0.0.1:5000/other/box:1");
    const third = await push("127.0.0.1:5000/other/box", "1");
    expect(statuses(third)).toContain("Mounted from team/box");
    expect(third.at(-1)?.aux).toEqual({ Tag: "1", Digest, Size });
    const digests = JSON.parse(await tsctl("inspect", "-f", "{{json .RepoDigests}}", "busybox")) as string[];
    expect(digests).toEqual([`127.0.0.1:5000/other/box@${Digest}`, `127.0.0.1:5000/team/box@${Digest}`]);
    await tsctl("rmi", "127.0.0.1:5000/other/box:1");
    expect((await push("127.0.0.1:5000/team/big", "1")).at(-1)).toHaveProperty("aux");
  });

  it("pull: by tag and by digest, again, and from a mirror; equal to what was pushed", async () => {
    const before = JSON.parse(await tsctl("inspect", "127.0.0.1:5000/team/big:1")) as {
      Id: string;
      RepoDigests: string[];
    }[];
    const [digest = ""] = before[0]?.RepoDigests.map((name) => name.split("@")[1] ?? "") ?? [];
    await tsctl("rmi", "127.0.0.1:5000/team/big:1");
    const first = await pull("127.0.0.1:5000/team/big", "1");
    expect(statuses(first)).toEqual(
      expect.arrayContaining([
        "Pulling from team/big",
        "Pulling fs layer",
        "Download complete",
        "Pull complete",
        `Digest: ${digest}`,
        "Status: Downloaded newer image for 127.0.0.1:5000/team/big:1",
      ]),
    );
    expect(JSON.parse(await tsctl("inspect", "127.0.0.1:5000/team/big:1"))[0].Id).toBe(before[0]?.Id);
    expect(statuses(await pull("127.0.0.1:5000/team/big", "1"))).toEqual([
      "Pulling from team/big",
      `Digest: ${digest}`,
      "Status: Image is up to date for 127.0.0.1:5000/team/big:1",
    ]);
    await pull("127.0.0.1:5000/team/big", digest);
    expect(statuses(await pull("mirrored.test/team/big", "1"))).toContain(
      "Status: Downloaded newer image for mirrored.test/team/big:1",
    );
    await tsctl("rmi", "mirrored.test/team/big:1");
    await tsctl("rmi", "127.0.0.1:5000/team/big:1");
    expect((await daemon.tsctl("inspect", `127.0.0.1:5000/team/big@${digest}`)).status).toBe(1);
  });

  it("a layer's files are as they were: contents, owner, times, attributes", async () => {
    await pull("127.0.0.1:5000/team/big", "1");
    await tsctl("create", "--name", "looked-at", "127.0.0.1:5000/team/big:1", "x");
    const copy = join(archives.path, "two.tar");
    await output(
      "sh",
      ["-c", `TSD_HOST=${daemon.host} packages/client/bin/tsctl cp looked-at:/two - > ${copy}`],
      {},
    );
    const listed = await output("tar", ["--xattrs", "--full-time", "--numeric-owner", "-tvvf", copy]);
    expect(listed).toMatch(/3\/4\s+2 2021-01-01 00:00:00\.5/);
    expect(listed).toContain("user.x");
    await tsctl("rm", "looked-at");
    await tsctl("rmi", "127.0.0.1:5000/team/big:1");
  });

  it("TLS and passwords: unknown authority, no, wrong and right credentials", async () => {
    await tsctl("tag", "busybox", `${secure.authority}/private/box:1`);
    const name = `${secure.authority}/private/box`;
    expect(errorOf(await push(name, "1", auth("bob", "secret")))).toMatch(
      /self-signed certificate|unable to verify/,
    );
    expect(errorOf(await pull(name, "1", auth("bob", "secret")))).toMatch(
      /self-signed certificate|unable to verify/,
    );
    const folder = join(archives.path, "certs", secure.authority);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "ca.crt"), readFileSync(secure.certificate));
    process.kill(daemon.pid, "SIGHUP");
    await eventually(
      "the authority is known",
      async () => !/certificate/.test(String(errorOf(await pull(name, "1")))),
    );
    expect(errorOf(await push(name, "1"))).toBe("no basic auth credentials");
    expect(errorOf(await push(name, "1", auth("bob", "wrong")))).toBe(
      "unauthorized: authentication required",
    );
    expect(statuses(await push(name, "1", auth("bob", "secret")))).toContain("Pushed");
    await tsctl("rmi", `${name}:1`);
    expect(errorOf(await pull(name, "1"))).toContain("no basic auth credentials");
    expect(errorOf(await pull(name, "1", auth("bob", "wrong")))).toContain(
      "unauthorized: authentication required",
    );
    expect(statuses(await pull(name, "1", auth("bob", "secret")))).toContain(
      `Status: Downloaded newer image for ${name}:1`,
    );
    expect(daemon.log).not.toContain("secret");
    await tsctl("rmi", `${name}:1`);
    const login = (password: string) =>
      daemon.api("POST", "/auth", { username: "bob", password, serveraddress: secure.authority });
    expect(await login("wrong")).toMatchObject({ status: 401 });
    expect(JSON.parse((await login("secret")).text)).toEqual({
      IdentityToken: "",
      Status: "Login Succeeded",
    });
  });

  it("tsctl keeps credentials encrypted, and pulls, and builds on what it pulls, with them", async () => {
    const name = `${secure.authority}/private/box:1`;
    const config = join(archives.path, "config");
    const options = { env: { TSD_CONFIG: config } };
    const tool = (words: string[], input = "") => daemon.cli(tsctlProgram, words, { ...options, input });
    expect((await tool(["pull", "-q", name])).stderr).toContain("no basic auth credentials");
    const wrong = await tool(["login", "-u", "bob", "--password-stdin", secure.authority], "wrong\n");
    expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringContaining("401 Unauthorized")]);
    const right = await tool(["login", "-u", "bob", "--password-stdin", secure.authority], "secret\n");
    expect(right).toEqual({ status: 0, stdout: "Login Succeeded\n", stderr: "" });
    for (const file of readdirSync(config))
      expect(readFileSync(join(config, file), "latin1")).not.toMatch(/secret|Ym9iOnNlY3JldA/);
    expect(await tool(["pull", "-q", name])).toEqual({ status: 0, stdout: `${name}\n`, stderr: "" });
    await tsctl("rmi", name);
    const built = await tool(["build", "-q", "-t", "built-on:1", "-"], `FROM ${name}\nENV a=b\n`);
    expect([built.status, built.stderr]).toEqual([0, ""]);
    expect(await tsctl("run", "--rm", "built-on:1", "sh", "-c", "echo $a")).toBe("b");
    await tsctl("rmi", "built-on:1");
    await tsctl("rmi", name);
    expect((await tool(["logout", secure.authority])).stdout).toBe(
      `Removing login credentials for ${secure.authority}\n`,
    );
    expect((await tool(["pull", "-q", name])).stderr).toContain("no basic auth credentials");
  });

  it("tokens: one for each repository, with and without credentials", async () => {
    const [key, certificate] = [join(archives.path, "token.key"), join(archives.path, "token.pem")];
    await output("openssl", [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens"],
      ...["-keyout", key, "-out", certificate],
    ]);
    const program = join(import.meta.dirname, "token-server.mjs");
    const inside = [
      `--net=/run/netns/${daemon.namespace}`,
      process.execPath,
      program,
      "5003",
      key,
      certificate,
    ];
    const server = new Talk("nsenter", inside);
    expect(await server.line()).toBe("listening");
    const tokens = { realm: "http://127.0.0.1:5003/token", certificate };
    const registry = await TestRegistry.start(daemon.namespace, { address: "127.0.0.1", port: 5004, tokens });
    try {
      for (const name of ["public/box", "private/box"]) {
        await tsctl("tag", "busybox", `${registry.authority}/${name}:1`);
        const pushed = await push(`${registry.authority}/${name}`, "1", auth("bob", "secret"));
        expect(pushed.at(-1)).toHaveProperty("aux");
        await tsctl("rmi", `${registry.authority}/${name}:1`);
      }
      expect(statuses(await pull(`${registry.authority}/public/box`, "1"))).toContain(
        `Status: Downloaded newer image for ${registry.authority}/public/box:1`,
      );
      expect(errorOf(await pull(`${registry.authority}/private/box`, "1"))).toMatch(
        /pull access denied|authentication required/,
      );
      expect(errorOf(await pull(`${registry.authority}/private/box`, "1", auth("bob", "wrong")))).toContain(
        "incorrect username or password",
      );
      expect(statuses(await pull(`${registry.authority}/private/box`, "1", auth("bob", "secret")))).toContain(
        `Status: Downloaded newer image for ${registry.authority}/private/box:1`,
      );
      for (const name of ["public/box", "private/box"]) await tsctl("rmi", `${registry.authority}/${name}:1`);
    } finally {
      server.end();
      await registry.stop();
    }
  });

  it("100 layers, and a whole Debian, come back as they went: files, owners, times, attributes", async () => {
    const tars: string[] = [];
    for (let index = 0; index < 100; index++)
      tars.push(
        await layerTar(
          archives.path,
          `layer${index}`,
          `mkdir -p d; echo ${index} > d/${index}; echo ${index} > d/last; chown ${index}:7 d/${index}; chmod ${index % 2 ? 4711 : 640} d/${index}
           setfattr -n user.layer -v ${index} d/${index}; touch -d '2020-01-01 00:00:${String(index % 60).padStart(2, "0")}.25 UTC' d/${index}
           ${index > 50 ? `: > d/.wh.${index - 50}` : ":"}`,
        ),
      );
    const hundred = await savedArchive(archives.path, tars, [`127.0.0.1:5000/round/hundred:1`]);
    await tsctl("load", "-q", "-i", hundred);
    const debian = await debianRoot();
    if (debian) await tsctl("import", debian, "127.0.0.1:5000/round/debian:1");
    for (const name of ["hundred", ...(debian ? ["debian"] : [])]) {
      const image = `127.0.0.1:5000/round/${name}:1`;
      const tree = async (): Promise<string> => {
        await tsctl("create", "--name", "tree", image, "x");
        // Every header, attributes and all; contents by their digest.
        const script = `TSD_HOST=${daemon.host} ${tsctlProgram} export tree | sha256sum`;
        const digest = await output("sh", ["-c", script]);
        await tsctl("rm", "tree");
        return digest;
      };
      const before = await tree();
      await tsctl("push", "-q", image);
      await tsctl("rmi", image);
      await tsctl("pull", "-q", image);
      expect([name, await tree()]).toEqual([name, before]);
      await tsctl("rmi", image);
    }
  }, 240_000);

  it("what is not there is said as docker says it", async () => {
    const [answer] = await pull("127.0.0.1:5000/nope", "latest");
    expect(answer).toEqual({
      message: "manifest for 127.0.0.1:5000/nope:latest not found: manifest unknown: manifest unknown",
    });
    expect((await daemon.api("POST", "/images/create?fromImage=127.0.0.1:5000/nope&tag=x")).status).toBe(404);
    expect((await daemon.api("GET", "/distribution/127.0.0.1:5000/nope:1/json")).status).toBe(404);
    expect((await daemon.api("POST", "/images/create?fromImage=127.0.0.1:59/x&tag=x")).status).toBe(500);
    const found = JSON.parse((await daemon.api("GET", "/distribution/127.0.0.1:5000/team/box:1/json")).text);
    expect(found).toEqual({
      Descriptor: {
        mediaType: "application/vnd.docker.distribution.manifest.v2+json",
        digest: expect.stringMatching(/^sha256:/),
        size: expect.any(Number),
      },
      Platforms: [{ architecture: "amd64", os: "linux" }],
    });
  });

  it("429 is waited for", async () => {
    await say({ refuse: 2 });
    const started = Date.now();
    expect(statuses(await pull(`${MIDDLE}/team/box`, "1"))).toContain(
      `Status: Downloaded newer image for ${MIDDLE}/team/box:1`,
    );
    expect((await say({})).refused).toBe(2);
    expect(Date.now() - started).toBeGreaterThanOrEqual(2000);
    await tsctl("rmi", `${MIDDLE}/team/box:1`);
  });

  it("a pull that is cut goes on where it was, with every byte sent once", async () => {
    await say({ cutAfter: 12_000_000 });
    expect(statuses(await pull(`${MIDDLE}/team/big`, "1"))).toContain("Pull complete");
    const { blobBytes, ranges } = await say({});
    expect(ranges).toHaveLength(1);
    expect(blobBytes).toBeLessThan(31_000_000);
    await tsctl("rmi", `${MIDDLE}/team/big:1`);
  });

  it("the registry is killed in the middle of a pull and comes back: the pull goes on", async () => {
    await say({ slow: 15 });
    const pulled = pull(`${MIDDLE}/team/big`, "1");
    await eventually("some has come", async () => (await say({}, false)).blobBytes > 8_000_000);
    await plain.kill();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await plain.launch();
    await say({ slow: 0 }, false);
    expect(statuses(await pulled)).toContain("Pull complete");
    const { blobBytes, ranges } = await say({});
    expect(ranges.length).toBeGreaterThanOrEqual(1);
    expect(blobBytes).toBeLessThan(33_000_000);
    await tsctl("rmi", `${MIDDLE}/team/big:1`);
  });

  it("the daemon is killed in the middle of a pull: the next one goes on", async () => {
    await say({ slow: 15 });
    const pulled = pull(`${MIDDLE}/team/big`, "1").catch(() => undefined);
    await eventually("some has come", async () => (await say({}, false)).blobBytes > 8_000_000);
    await daemon.end("SIGKILL");
    await pulled;
    await say({ slow: 0 });
    await daemon.launch();
    expect(stored("blobs/partial")).toHaveLength(1);
    expect(stored("layers").filter((name) => name.startsWith("new-"))).toEqual([]);
    expect(statuses(await pull(`${MIDDLE}/team/big`, "1"))).toContain("Pull complete");
    const { blobBytes, ranges } = await say({});
    expect(ranges).toHaveLength(1);
    expect(blobBytes).toBeLessThan(25_000_000);
    expect(stored("blobs/partial")).toEqual([]);
    await tsctl("rmi", `${MIDDLE}/team/big:1`);
  });

  it("five pulls at once download once", async () => {
    await say({ slow: 2 });
    const all = await Promise.all(Array.from({ length: 5 }, () => pull(`${MIDDLE}/team/big`, "1")));
    for (const answer of all) expect(statuses(answer)).toContain("Pull complete");
    const { blobBytes } = await say({ slow: 0 });
    expect(blobBytes).toBeLessThan(31_000_000);
    await tsctl("rmi", `${MIDDLE}/team/big:1`);
  });

  it("a client that goes away ends its pull, and nothing is left but what may go on", async () => {
    await say({ slow: 15 });
    await daemon.cli("timeout", [
      "0.5",
      "curl",
      "-s",
      "-X",
      "POST",
      "--unix-socket",
      daemon.socket,
      `http://tsd/images/create?fromImage=${MIDDLE}/team/big&tag=1`,
    ]);
    await eventually(
      "unpacking has stopped",
      () => !stored("layers").some((name) => name.startsWith("new-")),
    );
    await say({ slow: 0 });
    expect(stored("blobs/partial")).toHaveLength(1);
  });

  it("a byte falsified on the way is found, named, and not kept", async () => {
    await daemon.api("POST", "/images/prune");
    await say({ flip: 20_000_000 });
    const answer = await pull(`${MIDDLE}/team/big`, "1");
    // Where the flip breaks the compression, that is seen first.
    expect(errorOf(answer)).toMatch(
      /verification failed for digest sha256:[0-9a-f]{64}|unpacking layer|invalid|incorrect/,
    );
    await say({ flip: -1 });
    expect((await daemon.tsctl("inspect", `${MIDDLE}/team/big:1`)).status).toBe(1);
    expect(statuses(await pull(`${MIDDLE}/team/big`, "1"))).toContain("Pull complete");
    await tsctl("rmi", `${MIDDLE}/team/big:1`);
  });

  describe.skipIf(!hasSkopeo)("with skopeo on the other side", () => {
    it("an index of two platforms: the right one, and the other by name", async () => {
      const layout = await multiPlatformLayout(archives.path);
      const copied = await plain.inside(
        "skopeo",
        "copy",
        "--all",
        "--dest-tls-verify=false",
        `oci:${layout}:multi`,
        "docker://127.0.0.1:5000/team/multi:1",
      );
      expect(copied.stderr + copied.status).toBe("0");
      const architecture = (name: string) => tsctl("inspect", "-f", "{{.Architecture}}", name);
      await tsctl("pull", "-q", "127.0.0.1:5000/team/multi:1");
      expect(await architecture("127.0.0.1:5000/team/multi:1")).toBe("amd64");
      const raw = await plain.inside(
        "skopeo",
        "inspect",
        "--raw",
        "--tls-verify=false",
        "docker://127.0.0.1:5000/team/multi:1",
      );
      const { createHash } = await import("node:crypto");
      const digest = `sha256:${createHash("sha256").update(raw.stdout).digest("hex")}`;
      expect(await tsctl("inspect", "-f", "{{index .RepoDigests 0}}", "127.0.0.1:5000/team/multi:1")).toBe(
        `127.0.0.1:5000/team/multi@${digest}`,
      );
      await tsctl("pull", "-q", "--platform", "linux/arm64", "127.0.0.1:5000/team/multi:1");
      expect(await architecture("127.0.0.1:5000/team/multi:1")).toBe("arm64");
      await tsctl("rmi", "-f", "127.0.0.1:5000/team/multi:1");
      await daemon.tsctl("image", "prune", "-f");
      await tsctl("pull", "-q", "--all-platforms", "127.0.0.1:5000/team/multi:1");
      expect(await architecture("127.0.0.1:5000/team/multi:1")).toBe("amd64");
      // All that the index lists is here now, and so it goes on whole; but not where one platform is asked for.
      await tsctl("tag", "127.0.0.1:5000/team/multi:1", "127.0.0.1:5000/team/both:1");
      const whole = await push("127.0.0.1:5000/team/both", "1");
      expect(whole.at(-1)?.aux).toMatchObject({ Digest: digest });
      await tsctl("push", "-q", "--platform", "linux/amd64", "127.0.0.1:5000/team/both:1");
      await tsctl("rmi", "-f", "127.0.0.1:5000/team/both:1");
      const one = await daemon.tsctl("pull", "--platform", "linux/arm64", "127.0.0.1:5000/team/both:1");
      expect(one.stderr).toContain(
        "does not provide the specified platform (linux/arm64): it is linux/amd64",
      );
      const wrong = await daemon.tsctl("pull", "--platform", "linux/s390x", "127.0.0.1:5000/team/multi:1");
      expect(wrong.stderr).toContain("no matching manifest for linux/s390x in the manifest list entries");
      await tsctl("rmi", "-f", "127.0.0.1:5000/team/multi:1");
      await daemon.tsctl("image", "prune", "-f");
    });

    it("reads what was pushed and saved, with equal digests", async () => {
      await tsctl("pull", "-q", "127.0.0.1:5000/team/big:1");
      const seen = JSON.parse(
        (await plain.inside("skopeo", "inspect", "--tls-verify=false", "docker://127.0.0.1:5000/team/big:1"))
          .stdout,
      ) as { Digest: string };
      const saved = join(archives.path, "big-saved.tar");
      await tsctl("save", "-o", saved, "127.0.0.1:5000/team/big:1");
      const inArchive = JSON.parse(await output("skopeo", ["inspect", `oci-archive:${saved}`])) as {
        Digest: string;
      };
      expect(inArchive.Digest).toBe(seen.Digest);
      await output("skopeo", ["copy", "-q", `docker-archive:${saved}`, `dir:${join(archives.path, "dir")}`]);
      expect(existsSync(join(archives.path, "dir/manifest.json"))).toBe(true);
      await tsctl("rmi", "127.0.0.1:5000/team/big:1");
      await tsctl("load", "-q", "-i", saved);
      const again = await push("127.0.0.1:5000/team/big", "1");
      expect(again.at(-1)?.aux).toMatchObject({ Digest: seen.Digest });
      await tsctl("rmi", "127.0.0.1:5000/team/big:1");
    });
  });

  it("leaves nothing when all images are gone", async () => {
    await tsctl("image", "prune", "-a", "-f");
    await eventually(
      "the store is empty",
      () => stored("layers").length + stored("blobs/sha256").length === 0,
    );
  });
});
