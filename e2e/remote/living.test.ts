// What changes while connections live: revocations, new certificates, roles, expiry, sockets of systemd.
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueServer, revoke } from "@tsd/certs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { daemonProgram, TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { PORT, RemoteDaemon, SERVER_ADDRESS } from "../harness/remote.ts";

let remote: RemoteDaemon;
let rolesFile: string;
let scratch: string;

const writeRoles = (content: object): void =>
  writeFileSync(rolesFile, JSON.stringify({ version: 1, ...content }));

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-living-"));
  rolesFile = join(scratch, "roles.json");
  writeRoles({ defaults: { certificate: "operator" } });
  remote = await RemoteDaemon.start("living", ["--roles-file", rolesFile]);
  await remote.daemon.importBusybox();
});
afterAll(async () => {
  await remote?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

interface Stream {
  child: ChildProcess;
  output: string;
  ended: boolean;
}

/** An exec on the other host that stays, and has begun. */
async function openStream(certificates: string, container: string): Promise<Stream> {
  const words = ["exec", "-i", container, "sh", "-c", "echo begun; cat"];
  const child = spawn("nsenter", [`--net=/run/netns/${remote.namespace}`, tsctlProgram, ...words], {
    env: {
      ...process.env,
      TSD_HOST: remote.host,
      DOCKER_TLS_VERIFY: "1",
      DOCKER_CERT_PATH: certificates,
    },
  });
  const stream: Stream = { child, output: "", ended: false };
  for (const pipe of [child.stdout, child.stderr])
    pipe.on("data", (chunk: Buffer) => {
      stream.output += chunk.toString();
    });
  child.on("close", () => {
    stream.ended = true;
  });
  await eventually("the stream has begun", () => stream.output.includes("begun"));
  return stream;
}

const hangUp = (): Promise<string> => output("kill", ["-HUP", String(remote.daemon.pid)]);

async function sleeper(certificates: string, name: string): Promise<void> {
  const { status, stderr } = await remote.cli(tsctlProgram, certificates, [
    ...["run", "-d", "--name", name, "busybox", "sleep", "600"],
  ]);
  expect(stderr).toBe("");
  expect(status).toBe(0);
}

describe("while connections live", () => {
  it("a revocation ends them at once, streams too, and nobody else's", async () => {
    const [bob, carol] = [await remote.client("bob"), await remote.client("carol")];
    await sleeper(carol, "shared-one");
    const [his, hers] = [await openStream(bob, "shared-one"), await openStream(carol, "shared-one")];
    await revoke({ directory: remote.authority, target: "bob" });
    await eventually("his stream has ended", () => his.ended, 3000);
    hers.child.stdin?.write("still here\n");
    await eventually("hers goes on", () => hers.output.includes("still here"));
    hers.child.stdin?.end();
    await eventually("hers ends by itself", () => hers.ended);
    const again = await remote.curl(bob, "/_ping");
    expect(again).toMatchObject({ status: 403 });
    expect(again.text).toContain("it was revoked");
    expect((await remote.curl(carol, "/_ping")).text).toBe("OK");
  });

  it("a TLS session of before does not outlive its certificate", async () => {
    const eve = await remote.client("eve");
    const session = join(scratch, "session.pem");
    const connect = (words: string): Promise<string> =>
      output("nsenter", [
        `--net=/run/netns/${remote.namespace}`,
        ...["sh", "-c"],
        `(printf 'GET /_ping HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) | openssl s_client -quiet -no_ign_eof -connect ${SERVER_ADDRESS}:${PORT} -CAfile ${remote.authority}/ca.pem -cert ${eve}/cert.pem -key ${eve}/key.pem ${words} 2>&1 || true`,
      ]);
    expect(await connect(`-sess_out ${session}`)).toContain("200 OK");
    await revoke({ directory: remote.authority, target: "eve" });
    await eventually("the list was read", () => remote.daemon.log.includes('"revoked":2'));
    const resumed = await connect(`-sess_in ${session}`);
    expect(resumed).toContain("403 Forbidden");
    expect(resumed).toContain("it was revoked");
  });

  it("SIGHUP takes up a new server certificate, and no connection notices", async () => {
    const dave = await remote.client("dave");
    await sleeper(dave, "steady");
    const stream = await openStream(dave, "steady");
    const serial = (): Promise<string> =>
      output("nsenter", [
        `--net=/run/netns/${remote.namespace}`,
        ...["sh", "-c"],
        `openssl s_client -connect ${SERVER_ADDRESS}:${PORT} </dev/null 2>/dev/null | openssl x509 -noout -serial`,
      ]);
    const before = await serial();
    const { path } = await issueServer({
      directory: remote.authority,
      name: "next",
      names: [SERVER_ADDRESS],
      bits: 2048,
    });
    for (const file of ["cert.pem", "key.pem"]) {
      rmSync(join(remote.authority, "server", file));
      copyFileSync(join(path, file), join(remote.authority, "server", file));
    }
    expect(await serial()).toBe(before);
    await hangUp();
    await eventually("the new one is shown", async () => (await serial()) !== before);
    stream.child.stdin?.write("unharmed\n");
    await eventually("the stream goes on", () => stream.output.includes("unharmed"));
    stream.child.stdin?.end();
    await eventually("it ends by itself", () => stream.ended);
    expect((await remote.curl(dave, "/_ping")).text).toBe("OK");
  });

  it("SIGHUP with a broken certificate or roles file leaves everything as it was", async () => {
    const dora = await remote.client("dora");
    const before = remote.daemon.log.length;
    writeFileSync(rolesFile, '{"version":1,"roles":{"x":{"allow":["container:fly"]}}}');
    await hangUp();
    await eventually("it says so", () => remote.daemon.log.slice(before).includes("names no operation"));
    expect((await remote.curl(dora, "/containers/json")).status).toBe(200);
    writeRoles({ defaults: { certificate: "operator" } });
  });

  it("a role that is taken away ends what it allowed", async () => {
    const frank = await remote.client("frank");
    await sleeper(frank, "franks");
    const stream = await openStream(frank, "franks");
    writeRoles({
      callers: [{ match: { commonName: "frank" }, role: "viewer" }],
      defaults: { certificate: "operator" },
    });
    await hangUp();
    await eventually("his stream has ended", () => stream.ended, 3000);
    const answer = await remote.curl(frank, "/containers/franks/start", ["-X", "POST"]);
    expect(answer.status).toBe(403);
    expect(answer.text).toContain("role viewer of cert:frank does not allow container:start");
    expect((await remote.curl(frank, "/containers/json")).status).toBe(200);
  });

  it("certificates that expire soon are told of in the log", async () => {
    const before = remote.daemon.log.length;
    const { path } = await issueServer({
      directory: remote.authority,
      name: "brief",
      names: [SERVER_ADDRESS],
      days: 5,
      bits: 2048,
    });
    for (const file of ["cert.pem", "key.pem"]) {
      rmSync(join(remote.authority, "server", file));
      copyFileSync(join(path, file), join(remote.authority, "server", file));
    }
    await hangUp();
    await eventually("it is said", () =>
      /server's certificate .* expires in [45] days/.test(remote.daemon.log.slice(before)),
    );
  });
});

describe("other ways to listen", () => {
  it("without client certificates beyond loopback: refused, and said how to allow it", async () => {
    const start = (words: readonly string[]) =>
      run(daemonProgram, [...words, "--validate", "--data-root", scratch]);
    const plain = await start(["-H", "tcp://0.0.0.0:2375"]);
    expect(plain.status).toBe(1);
    expect(plain.stderr).toMatch(/refused without --tlsverify.*--allow-unauthenticated-tcp/);
    expect((await start(["-H", "tcp://127.0.0.1:2375"])).stdout).toBe("configuration OK\n");
    expect((await start(["-H", "tcp://0.0.0.0:2375", "--allow-unauthenticated-tcp"])).status).toBe(0);
  });

  it("loopback, without certificates, loudly; but not for a browser's page", async () => {
    const daemon = await TestDaemon.start("loopback", [daemonProgram], {
      flags: ["-H", "tcp://127.0.0.1:2375"],
    });
    try {
      const inside = (...words: string[]) =>
        run("nsenter", [
          `--net=/run/netns/${daemon.namespace}`,
          "curl",
          "-sS",
          "-w",
          "%{http_code}",
          ...words,
        ]);
      expect((await inside("http://127.0.0.1:2375/_ping")).stdout).toBe("OK200");
      expect(daemon.log).toMatch(/DANGER: tcp:\/\/127.0.0.1:2375/);
      const page = await inside("-H", "Origin: http://evil.test", "http://127.0.0.1:2375/containers/json");
      expect(page.stdout).toMatch(/403$/);
      const rebound = await inside("-H", "Host: evil.test:2375", "http://127.0.0.1:2375/containers/json");
      expect(rebound.stdout).toMatch(/403$/);
    } finally {
      await daemon.stop();
    }
  });

  it("/_ping without a certificate where that was configured, and nothing else", async () => {
    const open = await RemoteDaemon.start("ping", ["--anonymous-ping"]);
    try {
      expect((await open.curl(undefined, "/_ping")).text).toBe("OK");
      expect((await open.curl(undefined, "/v1.43/_ping")).text).toBe("OK");
      for (const path of ["/containers/json", "/version", "/_ping/../version", "/tsd/whoami"]) {
        const answer = await open.curl(undefined, path);
        expect(answer.status, path).toBe(403);
        expect(answer.text).toContain("a client certificate is required");
      }
      expect((await open.curl(await open.client("gina", "viewer"), "/version")).status).toBe(200);
    } finally {
      await open.stop();
    }
  });

  it("sockets that systemd opened, without handing them on", async () => {
    const launcher = join(scratch, "activate.py");
    // What systemd does: the sockets from 3 on, and the environment naming them, for this very process.
    writeFileSync(
      launcher,
      `import os, socket, sys
path, program, words = sys.argv[1], sys.argv[2], sys.argv[3:]
unix = socket.socket(socket.AF_UNIX); unix.bind(path); unix.listen()
tcp = socket.socket(); tcp.bind(("127.0.0.1", 2399)); tcp.listen()
os.dup2(unix.fileno(), 13); os.dup2(tcp.fileno(), 14)
os.dup2(13, 3, inheritable=True); os.dup2(14, 4, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(program, [program] + words)
`,
    );
    const path = join(scratch, "activated.sock");
    const daemon = await TestDaemon.start("activated", ["python3", launcher, path, daemonProgram], {
      flags: ["-H", "fd://"],
    });
    try {
      const answer = await run("curl", ["-sS", "--unix-socket", path, "http://d/tsd/whoami"]);
      expect(answer.stdout).toContain('"Caller":"unix:0"');
      const tcp = ["curl", "-sS", "http://127.0.0.1:2399/tsd/whoami"];
      const other = await run("nsenter", [`--net=/run/netns/${daemon.namespace}`, ...tcp]);
      expect(other.stdout).toContain('"Caller":"anonymous"');
      expect(daemon.log).toMatch(/DANGER: tcp:\/\/127.0.0.1:2399/);
      await daemon.importBusybox();
      await daemon.tsctl("run", "-d", "--name", "held", "busybox", "sleep", "60");
      // Neither the launcher, nor monitors, nor containers have the sockets.
      const holders = await output("sh", ["-c", `ss -xlpH src ${path} | grep -o 'pid=[0-9]*' | sort -u`]);
      expect(holders.split("\n")).toHaveLength(1);
    } finally {
      await daemon.stop();
    }
  });
});
