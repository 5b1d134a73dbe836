// dockerode, as Node programs use it: its container, exec and event methods, unchanged, against this engine.
import { PassThrough, type Readable } from "node:stream";
import Docker from "dockerode";
import { pack } from "tar-stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
let docker: Docker;
beforeAll(async () => {
  daemon = await TestDaemon.start("dockerode");
  await daemon.importBusybox();
  docker = new Docker({ socketPath: daemon.socket });
});
afterEach(() => daemon.clear());
afterAll(() => daemon.stop());

/** Collects a stream's text. */
function collect(stream: NodeJS.ReadableStream): { text: () => string; ended: Promise<void> } {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(Buffer.from(chunk)));
  const ended = new Promise<void>((resolve) => {
    for (const event of ["end", "close", "error"]) stream.on(event, () => resolve());
  });
  return { text: () => Buffer.concat(chunks).toString("utf8"), ended };
}

/** A multiplexed stream's two halves. */
function halves(stream: NodeJS.ReadableStream): {
  out: () => string;
  err: () => string;
  ended: Promise<void>;
} {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  docker.modem.demuxStream(stream, stdout, stderr);
  const out = collect(stdout);
  const err = collect(stderr);
  const ended = new Promise<void>((resolve) => {
    for (const event of ["end", "close"]) stream.on(event, () => resolve());
  });
  return { out: out.text, err: err.text, ended };
}

const sleeper = async (options: object = {}): Promise<Docker.Container> => {
  const container = await docker.createContainer({ Image: "busybox", Cmd: ["sleep", "1000"], ...options });
  await container.start();
  return container;
};

describe("containers", () => {
  it("createContainer, start, inspect, listContainers, rename, remove", async () => {
    const container = await docker.createContainer({
      name: "one",
      Image: "busybox",
      Cmd: ["sleep", "1000"],
      Labels: { of: "dockerode" },
    });
    await container.start();
    await container.rename({ name: "two" });
    const info = await docker.getContainer("two").inspect({ size: true } as object);
    expect(info).toMatchObject({ Name: "/two", State: { Running: true }, SizeRw: 0 });
    const list = await docker.listContainers({ filters: { label: ["of=dockerode"] } });
    expect(list.map(({ Names }) => Names)).toEqual([["/two"]]);
    await expect(container.remove()).rejects.toMatchObject({ statusCode: 409 });
    await container.remove({ force: true });
    await expect(container.inspect()).rejects.toMatchObject({ statusCode: 404 });
  });

  it("stop, restart, kill, pause, unpause, wait", async () => {
    const container = await sleeper({ StopTimeout: 0 });
    await container.pause();
    expect((await container.inspect()).State.Paused).toBe(true);
    await container.unpause();
    await container.restart({ t: 0 });
    const waiting = container.wait({ condition: "next-exit" });
    await container.kill({ signal: "SIGKILL" });
    expect(await waiting).toEqual({ StatusCode: 137 });
    await expect(container.stop()).rejects.toMatchObject({ statusCode: 304 });
  });

  it("update, top, stats, changes, resize", async () => {
    const container = await sleeper({ Tty: true });
    await container.update({ Memory: 96 << 20, MemorySwap: 192 << 20 });
    expect((await container.inspect()).HostConfig.Memory).toBe(96 << 20);
    const { Titles, Processes } = (await container.top({ ps_args: "-o pid,args" })) as {
      Titles: string[];
      Processes: string[][];
    };
    expect(Titles).toEqual(["PID", "COMMAND"]);
    expect(Processes.map(([, command]) => command)).toEqual(["sleep 1000"]);
    const stats = await container.stats({ stream: false });
    expect(stats.memory_stats.limit).toBe(96 << 20);
    const samples = (await container.stats({ stream: true })) as unknown as Readable;
    const lines = collect(samples);
    await eventually("two samples", () => lines.text().trim().split("\n").length >= 2);
    samples.destroy();
    const second = JSON.parse(lines.text().trim().split("\n")[1] ?? "") as Docker.ContainerStats;
    expect(second.cpu_stats.system_cpu_usage).toBeGreaterThan(second.precpu_stats.system_cpu_usage);
    expect(second.networks.eth0?.rx_bytes).toBeGreaterThanOrEqual(0);
    await container.resize({ h: 20, w: 60 });
    await (await container.exec({ Cmd: ["touch", "/new"] })).start({ Detach: true });
    await eventually("the change", async () =>
      JSON.stringify((await container.changes()) ?? []).includes('{"Path":"/new","Kind":1}'),
    );
  });

  it("logs as a buffer, and as a stream that follows", async () => {
    const container = await docker.createContainer({
      Image: "busybox",
      Cmd: ["sh", "-c", "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; sleep 0.1; done"],
    });
    await container.start();
    const stream = await container.logs({ follow: true, stdout: true, stderr: true });
    const { out, err, ended } = halves(stream);
    await ended;
    expect(out()).toBe("out 1\nout 2\nout 3\nout 4\nout 5\n");
    expect(err()).toBe("err 1\nerr 2\nerr 3\nerr 4\nerr 5\n");
    const buffer = (await container.logs({ stdout: true, tail: 2, timestamps: true })) as unknown as Buffer;
    expect(buffer.toString("latin1").match(/out \d/g)).toEqual(["out 5"]); // the last two are of both streams
  });

  it("attach: both ways, and run", async () => {
    const container = await docker.createContainer({
      Image: "busybox",
      Cmd: ["cat"],
      OpenStdin: true,
      StdinOnce: true,
      AttachStdin: true,
      AttachStdout: true,
    });
    const stream = await container.attach({
      stream: true,
      stdin: true,
      stdout: true,
      stderr: true,
      hijack: true,
    });
    const { out, ended } = halves(stream);
    await container.start();
    stream.write("through\n");
    await eventually("the echo", () => out() === "through\n");
    stream.end();
    await ended;
    expect(await container.wait()).toEqual({ StatusCode: 0 });
    const output = new PassThrough();
    const text = collect(output);
    const [result] = (await docker.run("busybox", ["echo", "ran"], output)) as [{ StatusCode: number }];
    expect([result.StatusCode, text.text()]).toEqual([0, "ran\r\n"]);
  });

  it("attach by WebSocket, in the way of browsers", async () => {
    const container = await docker.createContainer({
      Image: "busybox",
      Cmd: ["sh", "-c", "while read line; do echo got $line; done"],
      OpenStdin: true,
    });
    await container.start();
    // The global WebSocket of newer Nodes can't reach a Unix socket: the handshake and frames by hand (RFC 6455).
    const { connect } = await import("node:net");
    const socket = connect(daemon.socket);
    const received = collect(socket);
    socket.write(
      `GET /v1.51/containers/${container.id}/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await eventually("the handshake", () => received.text().includes("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    const text = Buffer.from("hello\n");
    const frame = Buffer.concat([Buffer.from([0x82, 0x80 | text.length, 0, 0, 0, 0]), text]);
    socket.write(frame);
    await eventually("the answer", () => received.text().includes("got hello\n"));
    socket.destroy();
    expect((await container.inspect()).State.Running).toBe(true);
  });

  it("getArchive, putArchive, infoArchive, export, commit, prune", async () => {
    const container = await sleeper();
    const archive = pack();
    archive.entry({ name: "dir/file", mode: 0o640, uid: 5, gid: 6 }, "contents");
    archive.finalize();
    await container.putArchive(archive as unknown as NodeJS.ReadableStream, { path: "/tmp" });
    const info = (await container.infoArchive({ path: "/tmp/dir/file" })) as unknown as {
      headers: Record<string, string>;
    };
    const stat = JSON.parse(
      Buffer.from(info.headers["x-docker-container-path-stat"] ?? "", "base64").toString("utf8"),
    ) as object;
    expect(stat).toMatchObject({ name: "file", size: 8, mode: 0o640, linkTarget: "" });
    const tar = collect(await container.getArchive({ path: "/tmp/dir" }));
    await tar.ended;
    expect(tar.text()).toContain("dir/file");
    expect(tar.text()).toContain("contents");
    const exported = collect(await container.export());
    await exported.ended;
    expect(exported.text()).toContain("bin/busybox");
    const { Id } = (await container.commit({
      repo: "made",
      tag: "one",
      changes: "CMD cat /tmp/dir/file",
    })) as {
      Id: string;
    };
    expect(Id).toMatch(/^sha256:/);
    expect((await daemon.docker("run", "--rm", "made:one")).stdout).toBe("contents");
    await docker.createContainer({ Image: "busybox" });
    const pruned = await docker.pruneContainers();
    expect(pruned.ContainersDeleted).toHaveLength(1);
  });
});

describe("exec", () => {
  it("attached, with stdin, a terminal, an exit code; inspect and resize", async () => {
    const container = await sleeper();
    const exec = await container.exec({
      Cmd: ["sh", "-c", "read line; echo out $line; echo err >&2; exit 7"],
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
    });
    const stream = await exec.start({ hijack: true, stdin: true });
    const { out, err, ended } = halves(stream);
    stream.write("typed\n");
    await ended;
    expect([out(), err()]).toEqual(["out typed\n", "err\n"]);
    expect(await exec.inspect()).toMatchObject({ Running: false, ExitCode: 7 });
    const terminal = await container.exec({ Cmd: ["sleep", "100"], Tty: true, AttachStdout: true });
    await terminal.start({ hijack: true, Tty: true });
    await terminal.resize({ h: 10, w: 30 });
    expect(await terminal.inspect()).toMatchObject({ Running: true });
    const without = await container.exec({ Cmd: ["echo", "plain"], AttachStdout: true });
    const plain = halves(await without.start({}));
    await plain.ended;
    expect(plain.out()).toBe("plain\n");
  });

  it("hundreds at once", async () => {
    const container = await sleeper();
    const codes = await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const exec = await container.exec({
          Cmd: ["sh", "-c", `echo ${index}; exit ${index % 50}`],
          AttachStdout: true,
        });
        const { out, ended } = halves(await exec.start({ hijack: true, stdin: false }));
        await ended;
        expect(out()).toBe(`${index}\n`);
        return (await exec.inspect()).ExitCode;
      }),
    );
    expect(codes).toEqual(Array.from({ length: 300 }, (_, index) => index % 50));
  });

  it("instances outlive the daemon: what runs is found again, what ended is still known", async () => {
    const container = await sleeper();
    const untilTold = "until [ -e /told ]; do sleep 0.1; done; exit 21"; // the next daemon may take its time
    const running = await container.exec({ Cmd: ["sh", "-c", untilTold], AttachStdout: true });
    const ended = await container.exec({ Cmd: ["sh", "-c", "exit 22"], AttachStdout: true });
    const ending = await container.exec({ Cmd: ["sh", "-c", "sleep 0.3; exit 23"] });
    const waiting = await container.exec({ Cmd: ["sh", "-c", "exit 24"], AttachStdout: true });
    await running.start({ Detach: true });
    await ending.start({ Detach: true });
    await halves(await ended.start({})).ended;
    await eventually("the end", async () => (await ended.inspect()).ExitCode === 22);
    await daemon.end("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 500));
    await daemon.launch();
    expect(await ended.inspect()).toMatchObject({ Running: false, ExitCode: 22 });
    expect(await ending.inspect()).toMatchObject({ Running: false, ExitCode: 23 });
    expect(await running.inspect()).toMatchObject({ Running: true, ExitCode: null });
    expect(await waiting.inspect()).toMatchObject({ Running: false, ExitCode: null });
    await halves(await waiting.start({})).ended;
    await eventually("its end", async () => (await waiting.inspect()).ExitCode === 24);
    const telling = await container.exec({ Cmd: ["touch", "/told"], AttachStdout: true });
    await halves(await telling.start({})).ended;
    await eventually("the other's", async () => (await running.inspect()).ExitCode === 21);
  });
});

describe("events", () => {
  it("getEvents, live and from the past", async () => {
    const since = Math.floor(Date.now() / 1000);
    const stream = (await docker.getEvents({ filters: { type: ["container"] } })) as unknown as Readable;
    const live = collect(stream);
    const container = await sleeper({ name: "told" });
    await container.kill();
    await container.wait();
    await container.remove();
    const actions = (text: string): string[] =>
      text
        .split("\n")
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as { Action: string }).Action);
    await eventually("the destroy", () => actions(live.text()).includes("destroy"));
    const expected = ["create", "start", "kill", "die", "destroy"];
    expect(actions(live.text())).toEqual(expected);
    stream.destroy();
    const past = collect(
      await docker.getEvents({
        since,
        until: Math.floor(Date.now() / 1000) + 1,
        filters: { container: [container.id] },
      }),
    );
    await past.ended;
    expect(actions(past.text())).toEqual(expected);
  });
});
