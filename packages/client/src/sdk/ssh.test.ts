// ssh:// hosts, with a script in ssh's place.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { answerJson, received } from "../testing/servers.ts";
import { parseHost, type Target } from "./hosts.ts";
import { collect, TsdClient } from "./index.ts";
import { sshCommand } from "./ssh.ts";

const directory = mkdtempSync(join(tmpdir(), "tsd-ssh-"));
const socket = join(directory, "engine.sock");
const words = join(directory, "words");
let engine: Server;

/** A program in ssh's place. */
function standIn(name: string, script: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Carries bytes both ways, each direction with an end of its own. */
const bridge = (): string =>
  standIn(
    "bridge",
    `printf '%s\\n' "$@" > ${words}
exec ${process.execPath} -e '
const s = require("node:net").connect({ path: "${socket}", allowHalfOpen: true });
process.stdin.pipe(s); s.pipe(process.stdout); s.on("end", () => process.exit(0));'`,
  );

const client = (ssh: string): TsdClient => {
  vi.stubEnv("TSD_SSH", ssh);
  return new TsdClient({ host: "ssh://root@engine.test:2222" });
};

beforeAll(async () => {
  engine = createServer({ allowHalfOpen: true }, (connection) => {
    connection.once("data", (chunk: Buffer) => {
      if (!chunk.includes("/attach")) {
        connection.unshift(chunk);
        answerJson({ Version: "far" })(connection);
        return;
      }
      connection.write("HTTP/1.1 101 UPGRADED\r\n\r\n");
      void received(connection).then((bytes) => connection.end(`got ${bytes}`));
    });
  });
  await new Promise<void>((resolve) => engine.listen(socket, resolve));
});
afterAll(() => {
  vi.unstubAllEnvs();
  engine.close();
  rmSync(directory, { recursive: true });
});

const target = (text: string) => parseHost(text) as Extract<Target, { kind: "ssh" }>;

describe("the command", () => {
  it.each([
    ["ssh://h", "-o ConnectTimeout=30 -T -- h tsctl system dial-stdio"],
    ["ssh://u@h:22", "-o ConnectTimeout=30 -T -l u -p 22 -- h tsctl system dial-stdio"],
    ["ssh://h/run/x.sock", "-o ConnectTimeout=30 -T -- h tsctl --host unix:///run/x.sock system dial-stdio"],
    // ssh hands it to a shell.
    ["ssh://h/a;b'c", "-o ConnectTimeout=30 -T -- h tsctl --host 'unix:///a;b'\\''c' system dial-stdio"],
  ])("%s", (text, line) => {
    const [program, given] = sshCommand(target(text), {});
    expect([program, given.join(" ")]).toEqual(["ssh", line]);
  });
});

describe("the connection", () => {
  it("carries requests", async () => {
    expect(await client(bridge()).version()).toEqual({ Version: "far" });
    expect(readFileSync(words, "utf8").trim().split("\n").join(" ")).toBe(
      "-o ConnectTimeout=30 -T -l root -p 2222 -- engine.test tsctl system dial-stdio",
    );
  });
  it("is closed in one direction at a time", async () => {
    const stream = await client(bridge()).containers.attach("x", { stdin: true });
    stream.input.end("input");
    expect((await collect(stream.output)).toString()).toBe("got input");
  });
  it("that fails tells ssh's own words", async () => {
    const ssh = standIn("refusing", "echo 'root@engine.test: Permission denied (publickey).' >&2; exit 255");
    await expect(client(ssh).version()).rejects.toThrow(
      `Cannot connect to the tsd daemon at ssh://root@engine.test:2222: ${ssh} ended with status 255: root@engine.test: Permission denied (publickey).`,
    );
  });
  it("that finds no tsctl says so", async () => {
    const ssh = standIn("empty", "echo 'sh: tsctl: not found' >&2; exit 127");
    await expect(client(ssh).version()).rejects.toThrow(/tsctl: not found Is tsctl installed there/);
  });
  it("without an ssh program", async () => {
    await expect(client("/nosuch/ssh").version()).rejects.toThrow(
      "cannot run /nosuch/ssh, which ssh://root@engine.test:2222 needs: no such program",
    );
  });
});
