// The command line, in this process with a made-up terminal, and as real processes at the same time.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import { parseIndex } from "./certificate-index.ts";
import { run } from "./command.ts";
import { commandHelp } from "./help.ts";
import { readRevocationList } from "./revocation.ts";
import { typeInto } from "./terminal.ts";
import { temporaryDirectory, testAuthority } from "./test-support.ts";

/** Runs a command; answers are what is typed at its prompts, none means no terminal. */
async function certs(
  words: string[],
  { env = {}, answers }: { env?: Record<string, string>; answers?: string[] } = {},
) {
  let [stdout, stderr] = ["", ""];
  const status = await run(words, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    env,
    prompt: answers && (async () => answers.shift() ?? ""),
  });
  return { status, stdout, stderr };
}

describe("the words", () => {
  it("make an authority, issue, list, revoke, renew and verify", async () => {
    const dir = ["--dir", join(temporaryDirectory(), "ca")];
    const [, directory = ""] = dir;
    expect((await certs(["init", ...dir, "--bits=2048", "--name", "CN"])).stdout).toContain(
      "authority CN: ends ",
    );
    expect((await certs(["server", ...dir, "localhost", "::1", "--name=two"])).stdout).toContain(
      "DNS:localhost, IP:::1",
    );
    const issued = await certs([
      "client",
      "alice",
      ...dir,
      "--role=admin",
      "--ou",
      "a",
      "--ou=b",
      "--san",
      "DNS:x",
    ]);
    expect(issued).toMatchObject({ status: 0, stderr: "" });
    expect(issued.stdout).toContain(`DOCKER_CERT_PATH=${directory}/clients/alice\n`);
    expect((await certs(["renew", "alice", ...dir, "--revoke-old"])).stdout).toMatch(/revoked client alice/);
    expect((await certs(["renew", "--server", "--name=two", ...dir])).stdout).toMatch(/stays good until/);
    expect((await certs(["renew", "--ca", ...dir])).stdout).toMatch(/^authority CN: ends/);
    expect((await certs(["revoke", "alice", ...dir, "--reason=keyCompromise"])).stdout).toMatch(
      /revoked client alice[\s\S]*was revoked already[\s\S]*revocation list \d+/,
    );
    expect((await certs(["crl", ...dir])).stdout).toMatch(/revocation list \d+: .*crl\.pem, 2 revoked, ends/);
    const table = (await certs(["list", ...dir])).stdout.split("\n");
    expect(table[0]).toMatch(/^KIND +NAME +ROLE +SERIAL +EXPIRES +STATUS$/);
    expect(table[3]).toMatch(/^client +alice +admin +[0-9A-F]{12} +\d{4}-\d\d-\d\d +revoked \(superseded\)$/);
    const objects = (await certs(["list", ...dir, "--format", "json"])).stdout.trim().split("\n");
    expect(objects.map((line) => JSON.parse(line).status)).toEqual([
      "valid",
      "valid",
      "revoked",
      "revoked",
      "valid",
      "valid",
    ]);
    const verified = await certs([
      "verify",
      ...dir,
      ...["clients/alice", "server-two"].map((name) => `${directory}/${name}/cert.pem`),
    ]);
    expect(verified.status).toBe(1);
    expect(verified.stdout).toMatch(
      /alice\/cert\.pem: revoked \(keyCompromise\)\n.*for client[\s\S]*two\/cert\.pem: good/,
    );
  });

  it("that are wrong say how", async () => {
    const { directory } = await testAuthority();
    for (const [words, status, message] of [
      [["bogus"], 125, /unknown command: certs bogus/],
      [["toString"], 125, /unknown command: certs toString/],
      [["client", "--bogus"], 125, /unknown flag: --bogus/],
      [["client"], 125, /'certs client' requires 1 argument/],
      [["server"], 125, /requires at least 1 argument/],
      [["client", "a", "--days", "x"], 125, /invalid argument "x" for "--days"/],
      [["client", "a", "--days=0"], 1, /days "0": must be/],
      [["client", "a", "--role", "No"], 1, /role "No"/],
      [["client", "a", "--ou", "tsd:admin"], 1, /use --role/],
      [["revoke", "a", "--reason", "boredom"], 1, /reason "boredom": must be one of/],
      [["renew", "--server", "--ca"], 125, /two renewals/],
      [["renew", "a", "--name", "b"], 125, /--name says which --server/],
      [["list", "--format", "xml"], 125, /--format "xml"/],
    ] as const) {
      const result = await certs([
        words[0],
        ...words.slice(1),
        ...(words.length > 1 ? ["--dir", directory] : []),
      ]);
      expect([words, result.status, result.stdout]).toEqual([words, status, ""]);
      expect(result.stderr).toMatch(message);
    }
  });

  it("have help, for each command", async () => {
    expect((await certs([])).stdout).toContain("tsctl certs COMMAND");
    for (const [name, text] of Object.entries(commandHelp))
      expect(await certs([name, "--help"])).toEqual({ status: 0, stdout: text, stderr: "" });
  });
});

describe("the passphrase", () => {
  it("comes from a file, the environment or the terminal", async () => {
    const parent = temporaryDirectory();
    const file = join(parent, "passphrase");
    writeFileSync(file, "open sesame\nnot this\n");
    const dir = ["--dir", join(parent, "ca")];
    expect((await certs(["init", ...dir, "--bits=2048", `--passphrase-file=${file}`])).stdout).toContain(
      "(encrypted)",
    );
    expect((await certs(["client", "a", ...dir])).stderr).toMatch(/is encrypted: give its passphrase/);
    for (const [name, options, more] of [
      ["a", {}, ["--passphrase-file", file]],
      ["b", { env: { TSD_CA_PASSPHRASE: "open sesame" } }, []],
      ["c", { answers: ["open sesame"] }, []],
    ] as const)
      expect(
        await certs(["client", name, ...dir, ...more], {
          ...options,
          answers: [...("answers" in options ? options.answers : [])],
        }),
      ).toMatchObject({ status: 0 });
    expect((await certs(["crl", ...dir], { answers: ["wrong"] })).stderr).toMatch(/passphrase is wrong/);
  });

  it("is typed twice for a new key, or there is none", async () => {
    const words = ["init", "--bits=2048", "--passphrase", "--dir", join(temporaryDirectory(), "ca")];
    expect((await certs(words)).stderr).toMatch(/asks on a terminal, and there is none/);
    expect((await certs(words, { answers: ["one", "two"] })).stderr).toMatch(/passphrases differ/);
    expect((await certs(words, { answers: ["one", "one"] })).stdout).toContain("(encrypted)");
  });

  it("is edited as it is typed", () => {
    const line: string[] = [];
    expect(typeInto(line, "opx")).toBeUndefined();
    expect(typeInto(line, "\x7fén\rrest")).toBe("opén");
    expect(() => typeInto([], "\x03")).toThrow(/no passphrase/);
  });
});

describe("processes at the same time", () => {
  const bundle = join(temporaryDirectory(), "certs.cjs");
  beforeAll(() =>
    build({
      entryPoints: [join(import.meta.dirname, "main.ts")],
      outfile: bundle,
      bundle: true,
      platform: "node",
      format: "cjs",
    }),
  );

  it("all end in the index, which is never seen half written", async () => {
    const { directory } = await testAuthority();
    const names = ["a", "b", "c", "d"];
    const children = names.map((name) =>
      spawn(process.execPath, [bundle, "client", name, "--dir", directory], {
        stdio: ["ignore", "ignore", "inherit"],
      }),
    );
    let running = children.length;
    const ends = children.map(async (child) => {
      const [status] = await once(child, "exit");
      running--;
      return status;
    });
    const path = join(directory, "index.json");
    while (running > 0) {
      const { certificates } = parseIndex(path, readFileSync(path, "utf8"));
      expect(certificates.length).toBeGreaterThan(0);
      readRevocationList(readFileSync(join(directory, "crl.pem"), "utf8"));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all(ends)).toEqual([0, 0, 0, 0]);
    const { certificates } = parseIndex(path, readFileSync(path, "utf8"));
    expect(certificates.map((entry) => entry.name).sort()).toEqual(["Test authority", ...names]);
    for (const name of names) expect(existsSync(join(directory, "clients", name, "key.pem"))).toBe(true);
    expect(existsSync(join(directory, ".lock"))).toBe(false);
  });
});
