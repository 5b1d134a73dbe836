// Every endpoint of the API's container and exec sections: exercised, and each request and answer held against the
// description (paths, parameters, statuses, fields, types).
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { description, type Exchange, problems } from "./contract.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("matrix");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

const exchanges: Exchange[] = [];

interface Told {
  status: number;
  body: unknown;
  text: string;
  headers: NodeJS.Dict<string | string[]>;
}

interface Asking {
  query?: Record<string, string>;
  body?: unknown;
  /** Sent as it is. */
  raw?: Buffer;
  headers?: Record<string, string>;
  /** Ends the exchange after so many bytes of the answer: for streams that don't end. */
  enough?: number;
}

/** One exchange with an endpoint, remembered for the judgement; placeholders are filled in from `id`. */
function ask(method: string, path: string, id: string, asking: Asking = {}): Promise<Told> {
  return new Promise((resolve, reject) => {
    const search = new URLSearchParams(asking.query).toString();
    const url = `/v1.51${path.replace("{id}", id)}${search ? `?${search}` : ""}`;
    const content = asking.raw ?? (asking.body === undefined ? undefined : JSON.stringify(asking.body));
    const headers = {
      ...(asking.body === undefined ? {} : { "content-type": "application/json" }),
      ...asking.headers,
    };
    const sending = request({ socketPath: daemon.socket, method, path: url, headers });
    const told = (status: number, text: string, from: NodeJS.Dict<string | string[]>): void => {
      const isJson = String(from["content-type"] ?? "") === "application/json";
      const first = text.trimStart().split("\n", 1)[0] ?? "";
      const body = isJson && text.trim() ? JSON.parse(path === "/events" ? first : text) : undefined;
      exchanges.push({
        method,
        path,
        query: Object.keys(asking.query ?? {}),
        requestBody: asking.body,
        status,
        body,
      });
      resolve({ status, body, text, headers: from });
    };
    sending.on("upgrade", (response, socket) => {
      told(response.statusCode ?? 0, "", {});
      socket.destroy();
    });
    sending.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        if (asking.enough !== undefined && Buffer.concat(chunks).length >= asking.enough) sending.destroy();
      });
      response.on("close", () =>
        told(response.statusCode ?? 0, Buffer.concat(chunks).toString("latin1"), response.headers),
      );
    });
    sending.on("error", (error) => {
      if (asking.enough === undefined) reject(error);
    });
    sending.end(content);
  });
}

const idOf = ({ body }: Told): string => (body as { Id: string }).Id;
const create = async (body: object = {}, query: Record<string, string> = {}): Promise<string> =>
  idOf(await ask("POST", "/containers/create", "", { query, body: { Image: "busybox", ...body } }));
async function running(body: object = {}): Promise<string> {
  const id = await create({ Cmd: ["sleep", "1000"], ...body });
  await ask("POST", "/containers/{id}/start", id);
  return id;
}
const MISSING = "nosuchcontainer";

/** The sections that this suite goes through; others have suites of their own. */
const isOurs = ({ path }: { path: string }): boolean =>
  /^\/(?:containers|exec)\//.test(path) || path === "/commit" || path === "/events";

describe("the container section", () => {
  it("create, list, inspect", async () => {
    const everything = {
      Hostname: "h",
      Domainname: "d",
      User: "nobody",
      Env: ["A=1", "B="],
      Cmd: ["sh"],
      Entrypoint: ["env"],
      Labels: { a: "b" },
      WorkingDir: "/tmp",
      StopSignal: "SIGINT",
      StopTimeout: 3,
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/v": {} },
      Healthcheck: { Test: ["CMD", "true"], Interval: 1e9, Timeout: 1e9, Retries: 1, StartPeriod: 1e9 },
      HostConfig: {
        Memory: 64 << 20,
        CpuShares: 512,
        PidsLimit: 50,
        Binds: ["/tmp:/host:ro"],
        Tmpfs: { "/run": "size=1m" },
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 },
        CapAdd: ["NET_ADMIN"],
        CapDrop: ["CHOWN"],
        Dns: ["192.0.2.1"],
        ExtraHosts: ["x:192.0.2.2"],
        Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }],
        LogConfig: { Type: "json-file", Config: { "max-size": "1m" } },
        Mounts: [{ Type: "volume", Source: "named", Target: "/named" }],
        Init: true,
        ReadonlyRootfs: true,
        SecurityOpt: ["no-new-privileges"],
        ShmSize: 1 << 20,
        Sysctls: { "net.ipv4.ip_forward": "1" },
        OomScoreAdj: 500,
      },
      NetworkingConfig: { EndpointsConfig: {} },
    };
    const id = await create(everything, { name: "everything" });
    await ask("GET", "/containers/{id}/json", id);
    await ask("POST", "/containers/{id}/start", id);
    await ask("GET", "/containers/{id}/json", id, { query: { size: "1" } });
    for (const query of [
      {},
      { all: "1" },
      { limit: "1" },
      { all: "1", size: "1" },
      { filters: JSON.stringify({ label: ["a=b"], status: ["running", "exited"] }) },
      { filters: JSON.stringify({ ancestor: { busybox: true }, name: ["every"] }) },
    ])
      expect((await ask("GET", "/containers/json", "", { query })).status).toBe(200);
    await ask("GET", "/containers/json", "", { query: { filters: "{" } });
    await ask("POST", "/containers/create", "", { body: { Image: "busybox", WorkingDir: "relative" } });
    await ask("POST", "/containers/create", "", { body: { Image: "nosuchimage" } });
    await ask("POST", "/containers/create", "", {
      query: { name: "everything" },
      body: { Image: "busybox" },
    });
    await ask("GET", "/containers/{id}/json", MISSING);
  });

  it("start, stop, restart, kill, wait, remove", async () => {
    const id = await running();
    await ask("POST", "/containers/{id}/start", id);
    await ask("POST", "/containers/{id}/restart", id, { query: { t: "0", signal: "KILL" } });
    await ask("POST", "/containers/{id}/kill", id, { query: { signal: "URG" } });
    await ask("POST", "/containers/{id}/kill", id, { query: { signal: "NOPE" } });
    await ask("DELETE", "/containers/{id}", id);
    await ask("POST", "/containers/{id}/stop", id, { query: { t: "0", signal: "TERM" } });
    await ask("POST", "/containers/{id}/stop", id);
    await ask("POST", "/containers/{id}/kill", id);
    await ask("POST", "/containers/{id}/wait", id, { query: { condition: "not-running" } });
    await ask("POST", "/containers/{id}/wait", id, { query: { condition: "tomorrow" } });
    await ask("DELETE", "/containers/{id}", id, { query: { v: "1", force: "1" } });
    await ask("DELETE", "/containers/{id}", await create(), { query: { link: "1" } });
    const bad = await create({ Cmd: ["/nosuchprogram"] });
    await ask("POST", "/containers/{id}/start", bad);
    for (const action of ["start", "stop", "restart", "kill", "wait"])
      await ask("POST", `/containers/{id}/${action}`, MISSING);
    await ask("DELETE", "/containers/{id}", MISSING);
  });

  it("pause, unpause, rename, update, resize, top, stats, changes", async () => {
    const id = await running({ Tty: true });
    await ask("POST", "/containers/{id}/pause", id);
    await ask("POST", "/containers/{id}/attach", id, { query: { stream: "1" } });
    await ask("GET", "/containers/{id}/json", id);
    await ask("POST", "/containers/{id}/unpause", id);
    await ask("POST", "/containers/{id}/unpause", id);
    await ask("POST", "/containers/{id}/pause", await create());
    await ask("POST", "/containers/{id}/rename", id, { query: { name: "renamed" } });
    await ask("POST", "/containers/{id}/rename", await create(), { query: { name: "renamed" } });
    await ask("POST", "/containers/{id}/update", id, {
      body: { Memory: 128 << 20, MemorySwap: -1, CpuShares: 300, RestartPolicy: { Name: "no" } },
    });
    await ask("POST", "/containers/{id}/update", id, { body: { Memory: 1 } });
    await ask("POST", "/containers/{id}/resize", id, { query: { h: "40", w: "100" } });
    await ask("POST", "/containers/{id}/resize", id, { query: { h: "x", w: "1" } });
    await ask("GET", "/containers/{id}/top", id);
    await ask("GET", "/containers/{id}/top", id, { query: { ps_args: "-o pid,comm" } });
    await ask("GET", "/containers/{id}/top", id, { query: { ps_args: "--nonsense" } });
    await ask("GET", "/containers/{id}/top", await create());
    await ask("GET", "/containers/{id}/stats", id, { query: { stream: "0" } });
    await ask("GET", "/containers/{id}/stats", id, { query: { stream: "0", "one-shot": "1" } });
    await ask("GET", "/containers/{id}/stats", await create(), { query: { stream: "false" } });
    expect((await ask("GET", "/containers/{id}/changes", id)).body).toBeNull();
    await daemon.tsctl("exec", id, "touch", "/new");
    await ask("GET", "/containers/{id}/changes", id);
    for (const action of ["pause", "unpause", "rename", "resize"])
      await ask("POST", `/containers/{id}/${action}`, MISSING, {
        query: action === "rename" ? { name: "x" } : action === "resize" ? { h: "1", w: "1" } : {},
      });
    await ask("POST", "/containers/{id}/update", MISSING, { body: {} });
    for (const view of ["top", "stats", "changes", "logs", "export"])
      await ask("GET", `/containers/{id}/${view}`, MISSING, {
        query: view === "logs" ? { stdout: "1" } : {},
      });
  });

  it("logs, attach, attach by WebSocket, archive, export, prune, commit, events", async () => {
    const id = await running({ Cmd: ["sh", "-c", "echo out; echo err >&2; sleep 1000"], OpenStdin: true });
    await eventually("its lines", async () =>
      (await daemon.api("GET", `/containers/${id}/logs?stderr=1`)).text.includes("err"),
    );
    const logs = {
      follow: "0",
      stdout: "1",
      stderr: "1",
      since: "0",
      until: "0",
      timestamps: "1",
      tail: "10",
    };
    await ask("GET", "/containers/{id}/logs", id, { query: logs });
    await ask("GET", "/containers/{id}/logs", id);
    const streams = { logs: "1", stream: "1", stdin: "1", stdout: "1", stderr: "1", detachKeys: "ctrl-a" };
    await ask("POST", "/containers/{id}/attach", id, { query: streams, enough: 10 });
    const upgrade = { connection: "Upgrade", upgrade: "tcp" };
    await ask("POST", "/containers/{id}/attach", id, { query: streams, headers: upgrade });
    await ask("POST", "/containers/{id}/attach", id, { query: { detachKeys: "nonsense" } });
    await ask("POST", "/containers/{id}/attach", MISSING);
    const socket = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    await ask("GET", "/containers/{id}/attach/ws", id, { query: { stream: "1" }, headers: socket });
    await ask("GET", "/containers/{id}/attach/ws", id, { query: { stream: "1" } });
    await ask("GET", "/containers/{id}/attach/ws", MISSING, { headers: socket });

    await ask("HEAD", "/containers/{id}/archive", id, { query: { path: "/bin" } });
    await ask("HEAD", "/containers/{id}/archive", id, { query: { path: "/nope" } });
    await ask("HEAD", "/containers/{id}/archive", id);
    const tar = await ask("GET", "/containers/{id}/archive", id, { query: { path: "/etc/passwd" } });
    expect(tar.headers["content-type"]).toBe("application/x-tar");
    await ask("GET", "/containers/{id}/archive", id, { query: { path: "/nope" } });
    await ask("GET", "/containers/{id}/archive", id);
    const raw = Buffer.from(tar.text, "latin1");
    const put = { path: "/tmp", noOverwriteDirNonDir: "1", copyUIDGID: "1" };
    await ask("PUT", "/containers/{id}/archive", id, { query: put, raw });
    await ask("PUT", "/containers/{id}/archive", id, { query: { path: "/bin/busybox" }, raw });
    await ask("PUT", "/containers/{id}/archive", id, { query: { path: "/nope" }, raw });
    const readOnly = await running({ HostConfig: { ReadonlyRootfs: true } });
    await ask("PUT", "/containers/{id}/archive", readOnly, { query: { path: "/" }, raw });
    await ask("GET", "/containers/{id}/export", id);
    const commit = {
      container: id,
      repo: "made",
      tag: "t",
      comment: "c",
      author: "a",
      pause: "1",
      changes: "ENV X=1",
    };
    await ask("POST", "/commit", "", { query: commit, body: {} });
    await ask("POST", "/commit", "", { query: { container: MISSING }, body: {} });
    await create();
    await ask("POST", "/containers/prune", "", { query: { filters: JSON.stringify({ until: ["10m"] }) } });
    await ask("POST", "/containers/prune", "");
    await ask("POST", "/containers/prune", "", { query: { filters: '{"nope":["1"]}' } });
    const until = String(Math.floor(Date.now() / 1000) + 1);
    await ask("GET", "/events", "", { query: { since: "0", until, filters: '{"type":["container"]}' } });
    await ask("GET", "/events", "", { query: { filters: '{"nope":["1"]}' } });
  });
});

describe("the exec section", () => {
  it("create, start, resize, inspect", async () => {
    const id = await running();
    const exec = async (body: object): Promise<string> =>
      idOf(await ask("POST", "/containers/{id}/exec", id, { body }));
    const plain = await exec({
      Cmd: ["sh", "-c", "exit 3"],
      AttachStdout: true,
      AttachStderr: true,
      Env: ["A=b"],
      User: "nobody",
      WorkingDir: "/tmp",
      Privileged: false,
      DetachKeys: "ctrl-a",
    });
    await ask("GET", "/exec/{id}/json", plain);
    await ask("POST", "/exec/{id}/start", plain, { body: { Detach: false, Tty: false } });
    await eventually("its end", async () =>
      (await daemon.api("GET", `/exec/${plain}/json`)).text.includes('"ExitCode":3'),
    );
    await ask("GET", "/exec/{id}/json", plain);
    await ask("POST", "/exec/{id}/start", plain, { body: { Detach: true } });
    const terminal = await exec({ Cmd: ["sleep", "100"], Tty: true });
    await ask("POST", "/exec/{id}/start", terminal, {
      body: { Detach: true, Tty: true, ConsoleSize: [10, 20] },
    });
    await ask("POST", "/exec/{id}/resize", terminal, { query: { h: "30", w: "90" } });
    await ask("POST", "/exec/{id}/resize", terminal, { query: { h: "x", w: "90" } });
    await ask("GET", "/exec/{id}/json", terminal);
    await ask("POST", "/containers/{id}/exec", id, { body: {} });
    await ask("POST", "/containers/{id}/exec", MISSING, { body: { Cmd: ["true"] } });
    await ask("POST", "/containers/{id}/exec", await create(), { body: { Cmd: ["true"] } });
    for (const [method, path] of [
      ["POST", "/exec/{id}/start"],
      ["POST", "/exec/{id}/resize"],
      ["GET", "/exec/{id}/json"],
    ] as const)
      await ask(method, path, MISSING, {
        query: path.endsWith("resize") ? { h: "1", w: "1" } : {},
        ...(path.endsWith("start") ? { body: {} } : {}),
      });
    await output("true", []);
  });
});

describe("the judgement", () => {
  it("every request and answer is as the description says", () => {
    expect([...new Set(exchanges.flatMap(problems))]).toEqual([]);
  });

  it("every endpoint was exercised, with every status that can be brought about", () => {
    const seen = new Set(exchanges.map(({ method, path, status }) => `${method} ${path} ${status}`));
    const missing = description.endpoints.filter(isOurs).flatMap(({ method, path, responses }) =>
      Object.keys(responses)
        // A server error takes a broken server: e2e/faults brings those about.
        .filter((status) => status !== "500" && !seen.has(`${method} ${path} ${status}`))
        .map((status) => `${method} ${path} ${status}`),
    );
    expect(missing).toEqual([
      // The connection of a WebSocket is upgraded, never answered.
      "GET /containers/{id}/attach/ws 200",
      // Only for a beginning that two ids share.
      "DELETE /containers/{id} 400",
    ]);
  });
});
