// Log drivers that pass lines on: syslog and journald, each with something that listens in the service's place.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("log-drivers");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

const JOURNAL = "/run/systemd/journal/socket";

/** What a datagram socket at `path` receives, by python: Node has none of these. */
function datagrams(path: string): { text: () => string; close: () => void } {
  const script =
    "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nwhile True:\n sys.stdout.buffer.write(s.recv(65536)+b'\\n--\\n')\n sys.stdout.flush()";
  const child = spawn("python3", ["-c", script, path]);
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  return { text: () => text, close: () => child.kill() };
}

describe("details", () => {
  it("are the tag, and the labels and variables that were asked for, before each line", async () => {
    const words = ["--label", "team=a b", "--label", "other=1", "-e", "STAGE=x&y", "-e", "LEFT=1"];
    const options = ["labels=team", "env-regex=^STA", "tag={{.Name}}"].flatMap((one) => ["--log-opt", one]);
    const script = "echo out; printf 'tab\\t\\n'";
    await daemon.tsctl("run", "--name", "detailed", ...words, ...options, "busybox", "sh", "-c", script);
    const { stdout } = await daemon.tsctl("logs", "--details", "detailed");
    expect(stdout).toBe("STAGE=x%26y,tag=detailed,team=a+b out\nSTAGE=x%26y,tag=detailed,team=a+b tab\t\n");
    const [first = ""] = (await daemon.tsctl("logs", "--details", "-t", "detailed")).stdout.split("\n");
    expect(first).toMatch(/^\S+Z STAGE=x%26y,tag=detailed,team=a\+b out$/);
    expect((await daemon.tsctl("logs", "detailed")).stdout).toBe("out\ntab\t\n");
    // Where there is nothing to tell, only its place is left.
    await daemon.tsctl("run", "--name", "plain", ...words, "busybox", "echo", "out");
    expect((await daemon.tsctl("logs", "--details", "plain")).stdout).toBe(" out\n");
  });
});

describe("syslog", () => {
  it("over a stream socket, with tag, facility and severity; what it keeps can be read", async () => {
    const path = join(daemon.root, "syslog.sock");
    let text = "";
    const server: Server = createServer((socket) => {
      socket.on("data", (chunk) => {
        text += chunk.toString("utf8");
      });
    }).listen(path);
    const { stdout, stderr, status } = await daemon.tsctl(
      ...["run", "--name", "logged", "--log-driver", "syslog", "--log-opt", `syslog-address=unix://${path}`],
      ...["--log-opt", "tag={{.Name}}/{{.ImageName}}", "--log-opt", "syslog-facility=local3"],
      ...["busybox", "sh", "-c", "echo out; echo err >&2"],
    );
    expect([stdout, stderr, status]).toEqual(["out\n", "err\n", 0]);
    await eventually("both lines", () => text.includes("err\n") && text.includes("out\n"));
    expect(text).toMatch(/^<158>\w{3} [ \d]\d [\d:]{8} logged\/busybox\[\d+\]: out$/m); // local3, informational
    expect(text).toMatch(/^<155>.* logged\/busybox\[\d+\]: err$/m);
    expect((await daemon.tsctl("logs", "logged")).stdout).toBe("out\n");
    await daemon.tsctl("rm", "logged");
    server.close();
  });

  it("over a datagram socket, as RFC 5424; a service that is started anew is found again", async () => {
    const path = join(daemon.root, "datagram.sock");
    const first = datagrams(path);
    await eventually("the socket", () => existsSync(path));
    const { stdout } = await daemon.tsctl(
      ...["run", "-d", "--log-driver", "syslog", "--log-opt", `syslog-address=unixgram://${path}`],
      ...["--log-opt", "syslog-format=rfc5424", "busybox"],
      ...["sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.05; done"],
    );
    await eventually("lines", () => first.text().includes("line 3"));
    expect(first.text()).toMatch(
      /^<30>1 \d{4}-\d\d-\d\dT[\d:]+Z \S+ [0-9a-f]{12} \d+ [0-9a-f]{12} - line 0$/m,
    );
    first.close();
    rmSync(path);
    const second = datagrams(path);
    await eventually("more lines", () => second.text().includes("line"));
    second.close();
    await daemon.tsctl("rm", "-f", stdout.trim());
  });

  it("that is not there, or can't be, is named", async () => {
    const { status, stderr } = await daemon.tsctl(
      ...[
        "run",
        "--rm",
        "--log-driver",
        "syslog",
        "--log-opt",
        "syslog-address=unix:///no/such",
        "busybox",
        "true",
      ],
    );
    expect([status, stderr]).toEqual([
      127,
      expect.stringContaining(
        "failed to initialize logging driver: dial /no/such: no such file or directory",
      ),
    ]);
    for (const [option, words] of [
      ["syslog-facility=nope", "invalid syslog facility: nope"],
      ["syslog-format=nope", "Invalid syslog format: nope"],
      ["syslog-address=http://x", "invalid syslog-address: http://x"],
      ["tag={{.Nope}}", "no field Nope"],
      ["max-size=1m", "unknown log opt 'max-size' for syslog log driver"],
    ] as const)
      expect(
        (await daemon.tsctl("create", "--log-driver", "syslog", "--log-opt", option, "busybox")).stderr,
      ).toContain(words);
    expect(await daemon.lastingLeaks()).toEqual([]);
  });
});

describe("journald", () => {
  it("gets each line with its container's fields", async (context) => {
    if (existsSync(JOURNAL)) return context.skip("a journald of this machine's own runs");
    mkdirSync(dirname(JOURNAL), { recursive: true });
    const journal = datagrams(JOURNAL);
    try {
      await eventually("the socket", () => existsSync(JOURNAL));
      await daemon.tsctl(
        ...["run", "--rm", "--name", "told", "--log-driver", "journald", "--label", "a.b=c", "-e", "X=y"],
        ...[
          "--log-opt",
          "labels=a.b",
          "--log-opt",
          "env=X",
          "busybox",
          "sh",
          "-c",
          "echo hello; echo bad >&2",
        ],
      );
      await eventually("both", () => journal.text().includes("bad"));
      const [first = ""] = journal.text().split("\n--\n");
      expect(first).toContain("PRIORITY=6\n");
      expect(first).toMatch(
        /CONTAINER_ID=[0-9a-f]{12}\nCONTAINER_ID_FULL=[0-9a-f]{64}\nCONTAINER_NAME=told\n/,
      );
      expect(first).toContain("A_B=c\nX=y\n");
      expect(first).toContain("MESSAGE\n\u0005\0\0\0\0\0\0\0hello\n");
      expect(journal.text()).toContain("PRIORITY=3\n");
    } finally {
      journal.close();
      rmSync(JOURNAL, { force: true });
    }
  });
});
