// Real clients on another host, over mutual TLS: docker, curl, dockerode; and everybody who is to be refused.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initAuthority, issueClient, issueServer, revoke } from "@tsd/certs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output } from "../harness/command.ts";
import { hasDocker, repository, tsctlProgram } from "../harness/daemon.ts";
import { PORT, RemoteDaemon, SERVER_ADDRESS } from "../harness/remote.ts";

let remote: RemoteDaemon;
let alice: string;
let scratch: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-remote-"));
  remote = await RemoteDaemon.start("remote");
  await remote.daemon.importBusybox();
  alice = await remote.client("alice", "admin");
});
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await remote?.stop();
});

const dockerodeScript = `
import Docker from "dockerode";
import { readFileSync } from "node:fs";
const [host, port, certificates] = process.argv.slice(2);
const file = (name) => readFileSync(certificates + "/" + name + ".pem");
const docker = new Docker({ protocol: "https", host, port, ca: file("ca"), cert: file("cert"), key: file("key") });
const chunks = [];
const { Writable } = await import("node:stream");
const sink = new Writable({ write(chunk, _encoding, done) { chunks.push(chunk); done(); } });
const [result, container] = await docker.run("busybox", ["echo", "by dockerode"], sink);
await container.remove();
console.log(result.StatusCode, Buffer.concat(chunks).toString().trim());
`;

for (const program of ["docker", tsctlProgram])
  describe.skipIf(program === "docker" && !hasDocker)(`${program.split("/").at(-1)} over mutual TLS`, () => {
    const cli = (words: readonly string[], input = "") => remote.cli(program, alice, words, input);

    it("runs, and shows what was written and how it ended", async () => {
      const result = await cli(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]);
      expect(result).toMatchObject({ status: 3, stdout: "out\n", stderr: "err\n" });
    });
    it("passes the end of stdin on as a half-close", async () => {
      const text = "a line\n".repeat(20_000);
      const result = await cli(["run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end"], text);
      expect(result.stderr).toBe("");
      expect(result.stdout.length).toBe(text.length + "end\n".length);
    });
    it("executes, copies, reads logs", async () => {
      const name = `kept-${program === "docker" ? "d" : "t"}`;
      await cli(["run", "-d", "--name", name, "busybox", "sh", "-c", "echo begun; sleep 600"]);
      expect(await cli(["exec", name, "hostname"])).toMatchObject({ status: 0, stderr: "" });
      expect((await cli(["exec", "-i", name, "cat"], "through")).stdout).toBe("through");
      expect((await cli(["logs", name])).stdout).toBe("begun\n");
      expect((await cli(["cp", `${name}:/etc/passwd`, "-"])).stdout).toContain("root:x:0:0");
      expect(await cli(["rm", "-f", name])).toMatchObject({ status: 0 });
    });
  });

describe("other clients over mutual TLS", () => {
  it("curl, as docker-py talks", async () => {
    const post = (path: string, body?: object) =>
      remote.curl(alice, path, [
        "-X",
        "POST",
        ...(body ? ["-H", "Content-Type: application/json", "-d", JSON.stringify(body)] : []),
      ]);
    const created = await post("/v1.43/containers/create", {
      Image: "busybox",
      Cmd: ["echo", "by curl"],
      Tty: true,
    });
    expect(created.status).toBe(201);
    const { Id } = JSON.parse(created.text) as { Id: string };
    expect((await post(`/v1.43/containers/${Id}/start`)).status).toBe(204);
    expect(JSON.parse((await post(`/v1.43/containers/${Id}/wait`)).text)).toEqual({ StatusCode: 0 });
    expect((await remote.curl(alice, `/v1.43/containers/${Id}/logs?stdout=1`)).text).toContain("by curl");
    expect((await remote.curl(alice, `/v1.43/containers/${Id}`, ["-X", "DELETE"])).status).toBe(204);
  });
  it("dockerode", async () => {
    const script = join(repository, `e2e/remote/dockerode-${process.pid}.mjs`);
    writeFileSync(script, dockerodeScript);
    try {
      const words = [script, SERVER_ADDRESS, String(PORT), alice];
      const result = await remote.run("node", words);
      expect(result).toMatchObject({ status: 0, stdout: "0 by dockerode\n" });
    } finally {
      rmSync(script);
    }
  });
  it("certificates of elliptic curves that openssl made", async () => {
    const own = join(scratch, "ec");
    mkdirSync(own);
    const authority = join(remote.authority, "ca.pem");
    const make = [
      "openssl ecparam -name prime256v1 -genkey -noout -out key.pem",
      "openssl req -new -key key.pem -subj '/CN=ec-client' -out request.pem",
      "printf 'extendedKeyUsage=clientAuth' >extensions",
      `openssl x509 -req -in request.pem -CA ${authority} -CAkey ${remote.authority}/ca-key.pem -days 2 -extfile extensions -out cert.pem`,
      `cp ${authority} ca.pem`,
    ];
    await output("sh", ["-euc", `cd ${own}; ${make.join("; ")}`]);
    expect((await remote.curl(own, "/tsd/whoami")).text).toContain('"Caller":"cert:ec-client"');
  });
});

/** Somebody who is to be refused: the certificate's directory, and the words of the reason. */
type Refused = readonly [who: string, certificates: () => Promise<string | undefined>, reason: RegExp];

async function otherAuthority(): Promise<string> {
  const directory = join(scratch, "other");
  await initAuthority({ directory, name: "Another CA", bits: 2048 });
  await issueClient({ directory, name: "mallory", role: "admin", bits: 2048 });
  const own = join(directory, "clients/mallory");
  rmSync(join(own, "ca.pem"), { force: true });
  writeFileSync(join(own, "ca.pem"), await output("cat", [join(remote.authority, "ca.pem")]));
  return own;
}

const refused: readonly Refused[] = [
  ["no certificate", async () => undefined, /client certificate is required/],
  ["one of another authority", otherAuthority, /authority that this server (does not know|knows)/],
  [
    "an expired one",
    async () => {
      const lastYear = new Date(Date.now() - 40 * 24 * 3600_000);
      await issueClient({ directory: remote.authority, name: "late", days: 7, bits: 2048, now: lastYear });
      return join(remote.authority, "clients/late");
    },
    /it has expired/,
  ],
  [
    "a revoked one",
    async () => {
      const own = await remote.client("mole", "admin");
      await revoke({ directory: remote.authority, target: "mole" });
      await eventually("the daemon has read the list", () => remote.daemon.log.includes('"revoked":1'));
      return own;
    },
    /it was revoked/,
  ],
  ["one for servers only", async () => join(remote.authority, "server"), /not for clients/],
];

describe("refused, with the reason on both sides:", () => {
  for (const [who, make, reason] of refused)
    it(who, async () => {
      const own = await make();
      const before = remote.daemon.log.length;
      const answer = await remote.curl(own, "/containers/json");
      expect(answer.status).toBe(403);
      expect((JSON.parse(answer.text) as { message: string }).message).toMatch(reason);
      await eventually("the daemon says why", () => reason.test(remote.daemon.log.slice(before)));
      expect(remote.daemon.log.slice(before)).toContain('"from":"10.231.0.2');
      for (const program of hasDocker ? ["docker", tsctlProgram] : [tsctlProgram]) {
        const words = own
          ? ["ps"]
          : ["--tls", "--tlscacert", join(remote.authority, "ca.pem"), "-H", remote.host, "ps"];
        const result = own
          ? await remote.cli(program, own, words)
          : await remote.run(program, words, { env: { DOCKER_CERT_PATH: scratch } });
        expect(result.status).not.toBe(0);
        expect(result.stderr).toMatch(reason);
      }
    });

  it("a server of another name, by the client", async () => {
    const other = await issueServer({
      directory: remote.authority,
      name: "other",
      names: ["other.test"],
      bits: 2048,
    });
    expect(other.path).toContain("server-other");
    const wrong = await remote.run("curl", [
      ...["-sS", "--cacert", join(remote.authority, "ca.pem"), "--cert", join(alice, "cert.pem")],
      ...["--key", join(alice, "key.pem"), "--resolve", `elsewhere.test:${PORT}:${SERVER_ADDRESS}`],
      `https://elsewhere.test:${PORT}/_ping`,
    ]);
    expect(wrong.stderr).toMatch(/no alternative certificate subject name matches/);
    const env = { DOCKER_CERT_PATH: alice, DOCKER_TLS_VERIFY: "1" };
    // The address is right, but not one that the certificate is for.
    await output("nsenter", [
      `--net=/run/netns/${remote.daemon.namespace}`,
      ..."ip addr add 10.231.0.9/24 dev wire0".split(" "),
    ]);
    for (const program of hasDocker ? ["docker", tsctlProgram] : [tsctlProgram]) {
      const result = await remote.run(program, ["-H", `tcp://10.231.0.9:${PORT}`, "ps"], { env });
      expect(result.status).not.toBe(0);
      expect(result.stderr).toMatch(/10\.231\.0\.9/);
      expect(result.stderr).toMatch(/certificate/);
    }
  });
  it("plain HTTP at a TLS port", async () => {
    const result = await remote.run("curl", ["-sS", `http://${SERVER_ADDRESS}:${PORT}/_ping`]);
    expect(result.status).not.toBe(0);
  });
});
