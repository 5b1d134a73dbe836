// Contexts as users see them, and as docker's client reads and writes them.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { contextPaths } from "../sdk/contexts.ts";
import { TestAuthority } from "../testing/certificates.ts";
import { answerJson, type TestServer, tlsServer } from "../testing/servers.ts";
import { hasDocker, type Result, run, TestTsctl } from "../testing/tsctl.ts";
import { packContext, unpackContext } from "./archive.ts";

const tsctl = new TestTsctl();
const authority = new TestAuthority();
let files = "";
let directories = 0;
beforeAll(async () => {
  const alice = authority.issue("alice", { usage: "clientAuth" });
  files = `ca=${authority.path("ca.pem")},cert=${alice.cert},key=${alice.key}`;
  await tsctl.build();
});
afterAll(() => {
  tsctl.remove();
  authority.remove();
});

const newDirectory = (): string => {
  const path = join(tsctl.directory, `config-${directories++}`);
  mkdirSync(path);
  return path;
};
const ours = (config: string, ...words: string[]): Promise<Result> =>
  tsctl.run(["--config", config, "context", ...words]);
const theirs = (config: string, ...words: string[]): Promise<Result> =>
  run("docker", ["--config", config, "context", ...words], { HOME: tsctl.directory });

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("contexts on disk", () => {
  it("hold the key for nobody else, and nothing half-written", async () => {
    const config = newDirectory();
    const made = await ours(
      config,
      "create",
      "one",
      "--description",
      "the one",
      "--docker",
      `host=tcp://h:2376,${files}`,
    );
    expect(made).toEqual({ status: 0, stdout: "one\n", stderr: 'Successfully created context "one"\n' });
    const { metaPath, tlsPath } = contextPaths(config, "one");
    expect([mode(metaPath), mode(tlsPath), mode(join(tlsPath, "docker"))]).toEqual(["700", "700", "700"]);
    for (const name of ["ca.pem", "cert.pem", "key.pem"])
      expect(mode(join(tlsPath, "docker", name))).toBe("600");
    expect(readdirSync(join(tlsPath, "docker")).sort()).toEqual(["ca.pem", "cert.pem", "key.pem"]);
    expect(readdirSync(metaPath)).toEqual(["meta.json"]);
  });
  it("other keys of config.json stay, and a link stays one", async () => {
    const config = newDirectory();
    const real = join(newDirectory(), "real.json");
    writeFileSync(real, '{"auths":{"x":{}},"detachKeys":"ctrl-q"}', { mode: 0o640 });
    symlinkSync(real, join(config, "config.json"));
    await ours(config, "create", "one", "--docker", "host=tcp://h");
    await ours(config, "use", "one");
    expect(JSON.parse(readFileSync(real, "utf8"))).toEqual({
      auths: { x: {} },
      detachKeys: "ctrl-q",
      currentContext: "one",
    });
    expect(mode(real)).toBe("640");
    await ours(config, "use", "default");
    expect(JSON.parse(readFileSync(real, "utf8"))).toEqual({ auths: { x: {} }, detachKeys: "ctrl-q" });
  });
  it("a damaged config.json is told of, and not written over", async () => {
    const config = newDirectory();
    await ours(config, "create", "one", "--docker", "host=tcp://h");
    writeFileSync(join(config, "config.json"), "{");
    expect(await ours(config, "use", "one")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("config.json"),
    });
    expect(readFileSync(join(config, "config.json"), "utf8")).toBe("{");
  });
  it("an update replaces the certificates, a removal leaves nothing", async () => {
    const config = newDirectory();
    await ours(config, "create", "one", "--docker", `host=tcp://h,${files}`);
    const { metaPath, tlsPath } = contextPaths(config, "one");
    await ours(config, "update", "one", "--docker", `host=tcp://h,ca=${authority.path("ca.pem")}`);
    expect(readdirSync(join(tlsPath, "docker"))).toEqual(["ca.pem"]);
    await ours(config, "update", "one", "--description", "new");
    expect(readdirSync(join(tlsPath, "docker"))).toEqual(["ca.pem"]);
    await ours(config, "rm", "one");
    expect([existsSync(metaPath), existsSync(tlsPath)]).toEqual([false, false]);
  });
  it("of docker's are read from ~/.docker, and left to docker", async () => {
    const home = newDirectory();
    const docker = join(home, ".docker");
    mkdirSync(docker);
    await ours(docker, "create", "theirs", "--docker", "host=tcp://theirs:1");
    const at = (...words: string[]): Promise<Result> => tsctl.run(["context", ...words], { HOME: home });
    expect((await at("ls", "-q")).stdout).toBe("default\ntheirs\n");
    expect((await at("rm", "theirs")).stderr).toContain(`is in ${docker}, which is docker's`);
    expect((await at("use", "theirs")).status).toBe(0);
    expect(JSON.parse(readFileSync(join(home, ".tsd/config.json"), "utf8"))).toEqual({
      currentContext: "theirs",
    });
    expect(existsSync(join(docker, "config.json"))).toBe(false);
    expect((await at("show")).stdout).toBe("theirs\n");
  });
});

describe("a context's engine", () => {
  let server: TestServer;
  beforeAll(async () => {
    const issued = authority.issue("server", { names: "IP:127.0.0.1" });
    const trusted = readFileSync(authority.path("ca.pem"));
    server = await tlsServer(
      issued,
      answerJson({ Caller: "cert:alice", Role: "operator", From: "x", Allow: ["*"], Scope: "own" }),
      {
        requestCert: true,
        rejectUnauthorized: true,
        ca: trusted,
      },
    );
  });
  afterAll(() => server.close());

  it("is reached with the certificates that are in it", async () => {
    const config = newDirectory();
    await ours(config, "create", "one", "--docker", `host=tcp://127.0.0.1:${server.port},${files}`);
    const whoami = await tsctl.run(["--config", config, "--context", "one", "whoami"]);
    expect(whoami.stdout).toBe(
      "Caller: cert:alice\nRole:   operator\nFrom:   x\nAllow:  *\nScope:  the caller's own objects\n",
    );
    await ours(config, "use", "one");
    expect((await tsctl.run(["--config", config, "roles", "show", "--format", "{{.Role}}"])).stdout).toBe(
      "operator\n",
    );
    expect((await tsctl.run(["--config", config, "--context", "two", "whoami"])).stderr).toMatch(
      /^context "two": context not found/,
    );
  });
  it("flags and variables do the same", async () => {
    const [ca = "", cert = "", key = ""] = files.split(",").map((pair) => pair.replace(/^\w+=/, ""));
    const host = `tcp://127.0.0.1:${server.port}`;
    const flags = ["-H", host, "--tlsverify", "--tlscacert", ca, "--tlscert", cert, `--tlskey=${key}`];
    expect((await tsctl.run([...flags, "whoami", "-f", "{{.Caller}}"])).stdout).toBe("cert:alice\n");
    const certificates = newDirectory();
    for (const [name, path] of [
      ["ca", ca],
      ["cert", cert],
      ["key", key],
    ] as const)
      writeFileSync(join(certificates, `${name}.pem`), readFileSync(path));
    const environment = { DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: certificates };
    expect((await tsctl.run(["whoami", "-f", "{{.Caller}}"], environment)).stdout).toBe("cert:alice\n");
    expect((await tsctl.run(["-H", host, "--tls", "whoami"])).stderr).toContain(
      "the server asks for a client certificate, and none was given",
    );
  });
});

describe("archives", () => {
  it("hold what was packed, and nothing else may be in them", () => {
    const meta = { Name: "x", Metadata: { Description: "d" }, Endpoints: { docker: { Host: "tcp://h" } } };
    const packed = packContext(meta, { "ca.pem": "ca", "key.pem": Buffer.alloc(600, "k") });
    expect(unpackContext(packed)).toEqual({
      meta,
      material: { "ca.pem": Buffer.from("ca"), "key.pem": Buffer.alloc(600, "k") },
    });
    const renamed = Buffer.from(
      packed.toString("latin1").replaceAll("tls/docker/ca.pem", "../../../../x.pem"),
      "latin1",
    );
    expect(() => unpackContext(renamed)).toThrow("unexpected file in a context's archive: ../../../../x.pem");
    expect(() => unpackContext(packed.subarray(0, 2000))).toThrow("unexpected EOF");
    expect(() => unpackContext(Buffer.from("abc"))).toThrow("unexpected EOF");
    expect(() => unpackContext(Buffer.alloc(1024, "x"))).toThrow("not a tar archive");
    expect(() => unpackContext(Buffer.from("PK\x03\x04"))).toThrow("zip archives are not built yet");
    expect(() => unpackContext(Buffer.alloc(1024))).toThrow("no metadata found");
  });
  it("are what the tar program reads", async () => {
    const config = newDirectory();
    await ours(config, "create", "one", "--docker", `host=tcp://h,${files}`);
    const file = join(config, "one.tar");
    expect((await ours(config, "export", "one", file)).stderr).toBe(`Written file "${file}"\n`);
    expect(mode(file)).toBe("600");
    expect(execFileSync("tar", ["-tf", file], { encoding: "utf8" })).toBe(
      "meta.json\ntls\ntls/docker\ntls/docker/ca.pem\ntls/docker/cert.pem\ntls/docker/key.pem\n",
    );
    expect((await ours(config, "export", "one", file)).stderr).toBe(`open ${file}: file exists\n`);
  });
});

describe.skipIf(!hasDocker)("docker's client, beside ours", () => {
  /** Ours and docker's, on directories of their own, but for what is ours. */
  const both = async (steps: readonly (readonly string[])[]): Promise<[unknown[], unknown[]]> => {
    const results: [unknown[], unknown[]] = [[], []];
    for (const [index, call] of [ours, theirs].entries()) {
      const config = newDirectory();
      const plain = (text: string): string =>
        text
          .replaceAll(config, "CONFIG")
          .replace(/docker: '|tsctl: '/g, "PROGRAM: '")
          .replace(/'(?:docker|tsctl) /g, "'PROGRAM ")
          // Tables of ours end where the words do.
          .replace(/ +$/gm, "")
          // What follows a wrong number of words is each program's own usage.
          .replace(/(requires .*arguments?)[\s\S]*/, "$1");
      for (const step of steps) {
        const { status, stdout, stderr } = await call(config, ...step);
        results[index]?.push({ step, status, stdout: plain(stdout), stderr: plain(stderr) });
      }
    }
    return results;
  };

  it("says the same", { timeout: 60_000 }, async () => {
    const [own, docker] = await both([
      ["create", "one", "--description", "the one", "--docker", `host=tcp://1.2.3.4:2376,${files}`],
      ["create", "two", "--docker", "host=unix:///run/x.sock"],
      ["create", "two", "--docker", "host=unix:///run/x.sock"],
      ["create", "three", "--from", "one"],
      ["create", "four", "--docker", "from=one"],
      ["create", "ten10", "--docker", "host=tcp://h,skip-tls-verify=true"],
      ["create", "ten9", "--docker", "host=tcp://h,skip-tls-verify=false"],
      ["create", "a b"],
      ["create", "default"],
      ["create"],
      ["create", "x1", "--docker", "foo=bar"],
      ["create", "x1", "--docker", "host=tcp://x,ca=nosuch.pem"],
      ["create", "x1", "--from", "nosuch"],
      ["create", "x1", "--from", "one", "--docker", "host=x"],
      ["use", "two"],
      ["show"],
      ["use", "nosuch"],
      ["inspect", "one"],
      ["inspect"],
      ["inspect", "nosuch"],
      ["inspect", "one", "nosuch"],
      ["inspect", "-f", "{{.Name}} {{.Endpoints.docker.Host}}", "one", "two"],
      ["ls", "-q"],
      ["rm", "two"],
      ["rm", "-f", "two"],
      ["show"],
      ["rm", "nosuch"],
      ["rm", "-f", "nosuch"],
      ["rm", "default"],
      ["rm"],
      ["rm", "four", "nosuch", "ten9"],
      ["update", "one", "--description", "new"],
      ["update", "one", "--docker", "host=tcp://9.9.9.9:1"],
      ["inspect", "one"],
      ["update", "nosuch", "--description", "x"],
      ["update"],
      ["use", "default"],
    ]);
    expect(own).toEqual(docker);
  });
  it("shows the same lists", async () => {
    const config = newDirectory();
    await ours(config, "create", "one", "--description", "the one", "--docker", "host=tcp://1.2.3.4:2376");
    await ours(config, "create", "two", "--docker", "host=unix:///run/x.sock");
    await ours(config, "use", "two");
    for (const words of [
      ["ls"],
      ["ls", "--format", "json"],
      ["ls", "--format", "{{.Name}}:{{.Current}}:{{.DockerEndpoint}}"],
    ]) {
      const lines = (result: Result): string[] =>
        result.stdout
          .split("\n")
          .map((line) => line.trimEnd())
          .filter((line) => !/default/.test(line));
      const [own, docker] = [lines(await ours(config, ...words)), lines(await theirs(config, ...words))];
      // The default one's description is longer there, and so is its column.
      const narrow = (text: string[]): string[] => text.map((line) => line.replace(/ {2,}/g, "  "));
      expect(narrow(own)).toEqual(narrow(docker));
    }
  });
  it("reads ours, and we read its", async () => {
    const config = newDirectory();
    await ours(config, "create", "mine", "--description", "d", "--docker", `host=tcp://h:1,${files}`);
    await theirs(config, "create", "its", "--description", "d", "--docker", `host=tcp://h:1,${files}`);
    for (const name of ["mine", "its"])
      expect((await ours(config, "inspect", name)).stdout).toBe(
        (await theirs(config, "inspect", name)).stdout,
      );
    const read = (name: string): unknown => {
      const { metaPath, tlsPath } = contextPaths(config, name);
      const meta = readFileSync(join(metaPath, "meta.json"), "utf8").replace(name, "NAME");
      const held = readdirSync(join(tlsPath, "docker")).sort();
      return [meta, ...held.map((file) => [file, readFileSync(join(tlsPath, "docker", file), "utf8")])];
    };
    expect(read("mine")).toEqual(read("its"));
    await ours(config, "use", "its");
    expect((await theirs(config, "show")).stdout).toBe("its\n");
    await theirs(config, "use", "mine");
    expect((await ours(config, "show")).stdout).toBe("mine\n");
  });
  it("takes our archives, and we take its", async () => {
    const config = newDirectory();
    await ours(config, "create", "one", "--docker", `host=tcp://h:1,${files}`);
    const [own, docker] = [join(config, "own.tar"), join(config, "docker.tar")];
    await ours(config, "export", "one", own);
    await theirs(config, "export", "one", docker);
    for (const [name, call, file] of [
      ["by-us", ours, docker],
      ["by-docker", theirs, own],
    ] as const) {
      expect(await call(config, "import", name, file)).toEqual({
        status: 0,
        stdout: `${name}\n`,
        stderr: `Successfully imported context "${name}"\n`,
      });
      expect((await ours(config, "inspect", name)).stdout).toContain('"key.pem"');
    }
  });
});
