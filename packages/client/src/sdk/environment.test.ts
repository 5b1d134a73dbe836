// Which engine it is: the precedence of flags, environment and contexts.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { contextPaths } from "./contexts.ts";
import { type ConnectionSettings, type Environment, resolveConnection } from "./environment.ts";

const home = mkdtempSync(join(tmpdir(), "tsd-environment-"));
const own = join(home, ".tsd");
const docker = join(home, ".docker");
const other = join(home, "other");

function context(
  directory: string,
  name: string,
  host: string,
  files: readonly string[] = [],
  skip = false,
): void {
  const { metaPath, tlsPath } = contextPaths(directory, name);
  mkdirSync(metaPath, { recursive: true });
  const meta = { Name: name, Metadata: {}, Endpoints: { docker: { Host: host, SkipTLSVerify: skip } } };
  writeFileSync(join(metaPath, "meta.json"), JSON.stringify(meta));
  if (files.length > 0) mkdirSync(join(tlsPath, "docker"), { recursive: true });
  for (const file of files) writeFileSync(join(tlsPath, "docker", file), "");
}

beforeAll(() => {
  for (const directory of [own, docker, other]) mkdirSync(directory);
  context(own, "mine", "tcp://mine:1");
  context(docker, "theirs", "tcp://theirs:1");
  context(docker, "mine", "tcp://shadowed:1");
  context(other, "elsewhere", "tcp://elsewhere:1");
  context(own, "secure", "tcp://secure:1", ["ca.pem", "cert.pem", "key.pem"]);
  context(own, "loose", "tcp://loose:1", [], true);
  context(own, "local", "unix:///x.sock", ["ca.pem"]);
  writeFileSync(join(own, "config.json"), JSON.stringify({ currentContext: "mine" }));
  writeFileSync(join(other, "config.json"), JSON.stringify({ currentContext: "elsewhere" }));
});
afterAll(() => rmSync(home, { recursive: true }));

const resolve = (settings: ConnectionSettings, environment: Environment = {}) =>
  resolveConnection(settings, { HOME: home, ...environment });

const hosts = { TSD_HOST: "tcp://t:1", DOCKER_HOST: "tcp://d:1" };

describe("the host", () => {
  it.each<[string, ConnectionSettings, Environment, string]>([
    ["-H before everything", { host: "tcp://flag:1" }, { ...hosts, TSD_CONTEXT: "theirs" }, "tcp://flag:1"],
    ["--context before TSD_HOST", { context: "theirs" }, hosts, "tcp://theirs:1"],
    ["TSD_HOST before DOCKER_HOST", {}, hosts, "tcp://t:1"],
    ["DOCKER_HOST", {}, { DOCKER_HOST: "tcp://d:1" }, "tcp://d:1"],
    ["DOCKER_HOST before TSD_CONTEXT", {}, { DOCKER_HOST: "tcp://d:1", TSD_CONTEXT: "theirs" }, "tcp://d:1"],
    [
      "TSD_CONTEXT before DOCKER_CONTEXT",
      {},
      { TSD_CONTEXT: "theirs", DOCKER_CONTEXT: "x" },
      "tcp://theirs:1",
    ],
    ["DOCKER_CONTEXT before the current one", {}, { DOCKER_CONTEXT: "theirs" }, "tcp://theirs:1"],
    ["the current context", {}, {}, "tcp://mine:1"],
    ["empty variables are none", {}, { TSD_HOST: "", DOCKER_HOST: "", TSD_CONTEXT: "" }, "tcp://mine:1"],
    ["--context default", { context: "default" }, hosts, "tcp://t:1"],
    ["--context default without a host", { context: "default" }, {}, ""],
    ["another directory", { config: other }, { TSD_CONFIG: docker }, "tcp://elsewhere:1"],
    [
      "TSD_CONFIG before DOCKER_CONFIG",
      {},
      { TSD_CONFIG: other, DOCKER_CONFIG: docker },
      "tcp://elsewhere:1",
    ],
    ["DOCKER_CONFIG has no current one", {}, { DOCKER_CONFIG: docker }, ""],
    ["no directory at all", {}, { HOME: "/nosuch" }, ""],
  ])("%s", async (_, settings, environment, host) => {
    expect((await resolve(settings, environment)).host).toBe(host);
  });
  it("refuses what excludes each other, and contexts that are not there", async () => {
    await expect(resolve({ host: "tcp://x", context: "mine" })).rejects.toThrow(
      "conflicting options: cannot specify both --host and --context",
    );
    await expect(resolve({ context: "nosuch" })).rejects.toThrow(
      `context "nosuch": context not found: open ${own}/contexts/meta/`,
    );
    // A directory that was named is the only one.
    await expect(resolve({ config: other, context: "theirs" })).rejects.toThrow("context not found");
  });
  it("tells of a broken config.json instead of going elsewhere", async () => {
    writeFileSync(join(docker, "config.json"), "{");
    await expect(resolve({ config: docker })).rejects.toThrow(`${docker}/config.json: `);
    rmSync(join(docker, "config.json"));
  });
});

describe("TLS", () => {
  const host = { host: "tcp://x" };
  const at = (directory: string, ...names: readonly string[]) =>
    Object.fromEntries(
      ["ca", "cert", "key"].map((name) => [
        name,
        names.includes(name) ? join(directory, `${name}.pem`) : undefined,
      ]),
    );

  it.each<[string, ConnectionSettings, Environment, unknown]>([
    ["none", host, {}, undefined],
    ["--tlsverify", { ...host, tlsVerify: true }, {}, { ...at(docker, "ca"), verify: true }],
    ["--tlsverify=false is TLS", { ...host, tlsVerify: false }, {}, { ...at(docker), verify: false }],
    ["--tls", { ...host, tls: true }, {}, { ...at(docker), verify: false }],
    ["--tls=false against the environment", { ...host, tls: false }, { DOCKER_TLS: "1" }, undefined],
    ["TSD_TLS_VERIFY, any value", host, { TSD_TLS_VERIFY: "0" }, { ...at(docker, "ca"), verify: true }],
    ["DOCKER_TLS_VERIFY", host, { DOCKER_TLS_VERIFY: "1" }, { ...at(docker, "ca"), verify: true }],
    ["an empty one is none", host, { DOCKER_TLS_VERIFY: "", TSD_TLS_VERIFY: "" }, undefined],
    ["DOCKER_TLS", host, { DOCKER_TLS: "1" }, { ...at(docker), verify: false }],
    [
      "a path",
      host,
      { TSD_TLS_VERIFY: "1", TSD_CERT_PATH: "/t", DOCKER_CERT_PATH: "/d" },
      { ...at("/t", "ca"), verify: true },
    ],
    [
      "DOCKER_CERT_PATH",
      host,
      { TSD_TLS_VERIFY: "1", DOCKER_CERT_PATH: "/d" },
      { ...at("/d", "ca"), verify: true },
    ],
    [
      "a configuration directory",
      { ...host, config: other, tlsVerify: true },
      {},
      { ...at(other, "ca"), verify: true },
    ],
    [
      "flags for files",
      { ...host, tlsVerify: true, ca: "a", cert: "b", key: "c" },
      { TSD_CERT_PATH: "/t" },
      { ca: "a", cert: "b", key: "c", verify: true },
    ],
    ["not on sockets", { host: "unix:///x", tlsVerify: true }, {}, undefined],
    ["not inside ssh", { host: "ssh://x" }, { DOCKER_TLS_VERIFY: "1" }, undefined],
    ["not flags in a context", { context: "mine", tlsVerify: true }, {}, undefined],
    [
      "a context's files",
      { context: "secure" },
      {},
      { ...at(join(contextPaths(own, "secure").tlsPath, "docker"), "ca", "cert", "key"), verify: true },
    ],
    ["a context without verification", { context: "loose" }, {}, { ...at(""), verify: false }],
    ["a context of a socket", { context: "local" }, {}, undefined],
  ])("%s", async (_, settings, environment, tls) => {
    expect((await resolve(settings, environment)).tls).toEqual(tls);
  });
  it("default files that are there are used, those in ~/.tsd first", async () => {
    writeFileSync(join(docker, "cert.pem"), "");
    writeFileSync(join(docker, "key.pem"), "");
    expect((await resolve({ ...host, tls: true })).tls).toEqual({
      ...at(docker, "cert", "key"),
      verify: false,
    });
    writeFileSync(join(own, "ca.pem"), "");
    expect((await resolve({ ...host, tlsVerify: true })).tls).toEqual({ ...at(own, "ca"), verify: true });
  });
});
