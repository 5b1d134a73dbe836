// The API as programs use it: headers, versions, hijacked connections in all their forms, and a daemon that dies.
import { connect } from "node:net";
import supertest from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
let api: ReturnType<typeof supertest>;
beforeAll(async () => {
  daemon = await TestDaemon.start("api");
  await daemon.importBusybox();
  api = supertest(`http+unix://${encodeURIComponent(daemon.socket)}`);
});
afterAll(() => daemon.stop());

async function create(body: object): Promise<string> {
  const { status, text } = await daemon.api("POST", "/containers/create", { Image: "busybox", ...body });
  expect(status, text).toBe(201);
  return (JSON.parse(text) as { Id: string }).Id;
}

interface Raw {
  write(text: string): void;
  end(): void;
  /** Everything received so far. */
  received(): string;
  closed: Promise<void>;
}

/** A connection without any HTTP library. */
function raw(head: string): Raw {
  const socket = connect({ path: daemon.socket, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.on("end", resolve).on("close", () => resolve()));
  socket.write(head);
  return {
    write: (text) => socket.write(text),
    end: () => socket.end(),
    received: () => Buffer.concat(chunks).toString("latin1"),
    closed,
  };
}

describe("headers and versions", () => {
  it("answers pings as Docker does", async () => {
    await api
      .get("/_ping")
      .expect(200, "OK")
      .expect("Api-Version", "1.51")
      .expect("Ostype", "linux")
      .expect("Builder-Version", "1")
      .expect("Cache-Control", "no-cache, no-store, must-revalidate");
    await api.head("/_ping").expect(200).expect("Api-Version", "1.51");
  });
  it("speaks every version from 1.24, and none", async () => {
    for (const prefix of ["", "/v1.24", "/v1.41", "/v1.51"])
      await api.get(`${prefix}/version`).expect(200).expect("Content-Type", "application/json");
  });
  it("tells errors as application/json, to the letter", async () => {
    await api
      .get("/containers/nosuch/json")
      .expect(404)
      .expect("Content-Type", "application/json")
      .expect({ message: "No such container: nosuch" });
  });
});

describe("containers that are created side by side", () => {
  it("each have a name of their own", async () => {
    // With as few words as there are, a hundred at a time invent the same name several times; volumes take them a while.
    const ids = await Promise.all(Array.from({ length: 100 }, () => create({ Volumes: { "/v": {} } })));
    const { text } = await daemon.api("GET", "/containers/json?all=1");
    const names = (JSON.parse(text) as { Names: string[] }[]).flatMap(({ Names }) => Names);
    expect(new Set(names).size).toBe(ids.length);
    await daemon.clear();
  });
  it("with one name are one, and leave nothing of the others", async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        daemon.api("POST", "/containers/create?name=one", { Image: "busybox", Volumes: { "/v": {} } }),
      ),
    );
    const [made, ...others] = answers.sort((a, b) => a.status - b.status);
    expect(made?.status).toBe(201);
    const { Id } = JSON.parse(made?.text ?? "") as { Id: string };
    for (const { status, text } of others)
      expect([status, text]).toEqual([
        409,
        expect.stringContaining(`already in use by container \\"${Id}\\"`),
      ]);
    const { Volumes } = JSON.parse((await daemon.api("GET", "/volumes")).text) as { Volumes: object[] };
    expect(Volumes).toHaveLength(1);
    await daemon.clear();
  });
});

describe("hijacked connections", () => {
  it("attach with an upgrade: both ways, half-closed by the client", async () => {
    const id = await create({ Cmd: ["cat"], OpenStdin: true, StdinOnce: true });
    const stream = raw(
      `POST /v1.51/containers/${id}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`,
    );
    await eventually("the upgrade", () => stream.received().includes("101 UPGRADED"));
    expect(stream.received()).toContain("application/vnd.docker.multiplexed-stream");
    await daemon.api("POST", `/containers/${id}/start`);
    stream.write("one\n");
    await eventually("the echo", () => stream.received().endsWith("\x01\0\0\0\0\0\0\x04one\n"));
    stream.end();
    await stream.closed;
    expect(JSON.parse((await daemon.api("POST", `/containers/${id}/wait`)).text)).toEqual({ StatusCode: 0 });
  });

  it("attach without an upgrade: stdin follows the response", async () => {
    const id = await create({ Cmd: ["head", "-n", "1"], OpenStdin: true, StdinOnce: true, Tty: false });
    const stream = raw(
      `POST /v1.41/containers/${id}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    await eventually("the response", () => stream.received().includes("200 OK"));
    expect(stream.received()).toContain("application/vnd.docker.raw-stream");
    await daemon.api("POST", `/containers/${id}/start`);
    stream.write("typed\n");
    await stream.closed;
    expect(stream.received().endsWith("\x01\0\0\0\0\0\0\x06typed\n")).toBe(true);
  });

  it("exec with its body in the upgrade request, in pieces", async () => {
    const id = await create({ Cmd: ["sleep", "60"] });
    await daemon.api("POST", `/containers/${id}/start`);
    const exec = JSON.parse(
      (
        await daemon.api("POST", `/containers/${id}/exec`, {
          Cmd: ["cat"],
          AttachStdin: true,
          AttachStdout: true,
        })
      ).text,
    ) as { Id: string };
    const body = '{"Detach":false,"Tty":false}';
    const stream = raw(
      `POST /exec/${exec.Id}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    // What follows the body in the same packet is already stdin.
    stream.write(`${body.slice(5)}early\n`);
    await eventually("the echo", () => stream.received().endsWith("early\n"));
    stream.end();
    await stream.closed;
    expect(JSON.parse((await daemon.api("GET", `/exec/${exec.Id}/json`)).text)).toMatchObject({
      Running: false,
      ExitCode: 0,
      ContainerID: id,
    });
    const again = await daemon.api("POST", `/exec/${exec.Id}/start`, {});
    expect([again.status, JSON.parse(again.text).message]).toEqual([
      409,
      `exec command ${exec.Id} has already run`,
    ]);
    await daemon.api("DELETE", `/containers/${id}?force=1`);
  });

  it("errors are ordinary answers", async () => {
    const stream = raw(
      "POST /containers/nosuch/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    await stream.closed;
    expect(stream.received()).toMatch(/^HTTP\/1.1 404 Not Found\r\n/);
    expect(stream.received()).toContain('{"message":"No such container: nosuch"}');
  });

  it("a client that vanishes lets the container go on", async () => {
    const id = await create({ Cmd: ["sh", "-c", "while :; do echo x; done"] });
    const stream = raw(
      `POST /containers/${id}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`,
    );
    await eventually("the upgrade", () => stream.received().includes("101 UPGRADED"));
    await daemon.api("POST", `/containers/${id}/start`);
    await eventually("output", () => stream.received().length > 1000);
    stream.end();
    const exec = await daemon.tsctl("exec", id, "echo", "alive");
    expect(exec.stdout).toBe("alive\n");
    await daemon.api("DELETE", `/containers/${id}?force=1`);
  });
});

describe("a daemon that is killed", () => {
  it("in the middle of a start leaves either a container that runs, or nothing of it", async () => {
    for (let round = 0; round < 8; round++) {
      const id = await create({ Cmd: ["sleep", "600"] });
      const answer = daemon.api("POST", `/containers/${id}/start`).then(
        ({ status }) => status,
        () => 0,
      );
      await new Promise((resolve) => setTimeout(resolve, round * 3));
      await daemon.end("SIGKILL");
      const told = await answer;
      await daemon.launch();
      const { State } = JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as {
        State: { Status: string };
      };
      if (told === 204) expect(State.Status).toBe("running");
      expect(["created", "running"]).toContain(State.Status);
      await daemon.api("DELETE", `/containers/${id}?force=1`);
      expect(await daemon.lastingLeaks()).toEqual([]);
    }
  });

  it("leaves containers running, and finds them, their logs and their ends again", async () => {
    const id = await create({ Cmd: ["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"] });
    const short = await create({ Cmd: ["sh", "-c", "sleep 0.5; exit 3"] });
    await daemon.api("POST", `/containers/${id}/start`);
    await daemon.api("POST", `/containers/${short}/start`);
    const pid = (text: string): number => (JSON.parse(text) as { State: { Pid: number } }).State.Pid;
    const before = pid((await daemon.api("GET", `/containers/${id}/json`)).text);
    await daemon.end("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await daemon.launch();
    const { text } = await daemon.api("GET", `/containers/${id}/json`);
    expect(pid(text)).toBe(before);
    const ended = JSON.parse((await daemon.api("GET", `/containers/${short}/json`)).text) as {
      State: { ExitCode: number; Status: string };
    };
    expect(ended.State).toMatchObject({ Status: "exited", ExitCode: 3 });
    const lines = (await daemon.tsctl("logs", id)).stdout.trim().split("\n").map(Number);
    expect(lines).toEqual(lines.map((_, index) => index));
    expect(lines.length).toBeGreaterThan(15);
    expect((await daemon.tsctl("exec", id, "echo", "still here")).stdout).toBe("still here\n");
    await daemon.tsctl("stop", "-t", "0", id);
  });
});
