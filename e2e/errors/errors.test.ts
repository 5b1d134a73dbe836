// Bad input: each row of the table, against tsd, and against a real dockerd where TSD_PEER_DOCKER_HOST names its socket.
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiRequest } from "../harness/api.ts";
import { run } from "../harness/command.ts";
import { daemonProgram, TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { type BadRequest, badOperations, badRequests, badStarts } from "./table.ts";
import { badVolumeRequests, badVolumeStarts } from "./volumes-table.ts";

const peer = (process.env.TSD_PEER_DOCKER_HOST ?? "").replace("unix://", "");
const hasPeer = peer !== "" && existsSync(peer);
const STOPPED = "tsd-error-table";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("errors");
  await daemon.importBusybox();
  await daemon.api("POST", `/containers/create?name=${STOPPED}`, { Image: "busybox" });
  if (hasPeer) await ask(peer, "POST", `/containers/create?name=${STOPPED}`, { Image: "busybox" });
});
afterAll(async () => {
  if (hasPeer) await ask(peer, "DELETE", `/containers/${STOPPED}?force=1`);
  await daemon.stop();
});

interface Told {
  status: number;
  message: string;
  id: string | undefined;
}

/** One request to either engine. */
async function ask(socket: string, method: string, path: string, body?: unknown): Promise<Told> {
  const { status, text } = await apiRequest(socket, method, `/v1.45${path}`, body);
  const answer = (text.trimStart().startsWith("{") ? JSON.parse(text) : {}) as {
    message?: string;
    Id?: string;
  };
  return { status, message: answer.message ?? "", id: answer.Id };
}

const send = (socket: string, row: BadRequest): Promise<Told> =>
  ask(socket, row.method ?? "POST", (row.path ?? "/containers/create").replaceAll("{}", STOPPED), row.body);

function compare(told: Told, expected: { status: number; message: string | RegExp }): void {
  expect(told.status, told.message).toBe(expected.status);
  if (typeof expected.message === "string") expect(told.message).toBe(expected.message);
  else expect(told.message).toMatch(expected.message);
}

describe.each(
  [...badRequests, ...badOperations, ...badVolumeRequests].map((row) => [row.what, row] as const),
)("%s", (_, row) => {
  it("is refused in these words", async () => {
    compare(await send(daemon.socket, row), row);
  });
  it.skipIf(!hasPeer || row.differs !== undefined)("as by dockerd", async () => {
    compare(await send(peer, row), row);
  });
});

describe.each([...badStarts, ...badVolumeStarts].map((row) => [row.what, row] as const))(
  "start with: %s",
  (_, row) => {
    /** Creates, starts, removes; what the start said. */
    async function start(socket: string): Promise<Told> {
      const created = await ask(socket, "POST", "/containers/create", {
        Image: "busybox",
        Cmd: ["true"],
        ...row.body,
      });
      expect(created.status, created.message).toBe(201);
      const told = await ask(socket, "POST", `/containers/${created.id}/start`);
      await ask(socket, "DELETE", `/containers/${created.id}?force=1&v=1`);
      return told;
    }
    it("is refused, and nothing is left of it", async () => {
      compare(await start(daemon.socket), row);
      expect(await daemon.lastingLeaks()).toEqual([]);
    });
    it.skipIf(!hasPeer || !row.shared)("in dockerd's words", async () => {
      expect((await start(peer)).message).toMatch(row.shared ?? /^/);
    });
  },
);

describe("what is no request's fault", () => {
  it("an ambiguous id prefix", async () => {
    // Seventeen ids can't begin with sixteen different digits.
    const ids: string[] = [];
    for (let i = 0; i < 17; i++)
      ids.push((await ask(daemon.socket, "POST", "/containers/create", { Image: "busybox" })).id ?? "");
    const firsts = ids.map((id) => id.charAt(0));
    const twice = firsts.find((first, index) => firsts.indexOf(first) !== index) ?? "";
    compare(await ask(daemon.socket, "GET", `/containers/${twice}/json`), {
      status: 400,
      message: `multiple IDs found with provided prefix: ${twice}`,
    });
    for (const id of ids) await ask(daemon.socket, "DELETE", `/containers/${id}`);
  });

  it("API versions that nobody speaks", async () => {
    const old = await daemon.api("GET", "/v1.23/info");
    expect([old.status, JSON.parse(old.text).message]).toEqual([
      400,
      "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
    ]);
    const strange = await daemon.api("GET", "/v1.99/info");
    expect([strange.status, JSON.parse(strange.text).message]).toEqual([
      400,
      "client version 1.99 is too new. Maximum supported API version is 1.51",
    ]);
  });

  it("no daemon", async () => {
    const { status, stderr } = await run(tsctlProgram, ["-H", "unix:///nosuch/tsd.sock", "ps"]);
    expect(stderr).toBe(
      "Cannot connect to the tsd daemon at unix:///nosuch/tsd.sock. Is the tsd daemon running?\n",
    );
    expect(status).toBe(1);
  });

  it("not being root, wrong flags, a data root in use", async () => {
    const somebody = await run("setpriv", ["--reuid=65534", "--clear-groups", daemonProgram]);
    expect([somebody.status, somebody.stderr]).toEqual([
      1,
      expect.stringContaining("needs to be run as root"),
    ]);
    const flag = await run(daemonProgram, ["--nosuch"]);
    expect([flag.status, flag.stderr]).toEqual([1, expect.stringContaining("--nosuch")]);
    const second = await run(daemonProgram, [
      "-H",
      `unix://${daemon.root}/other.sock`,
      "--data-root",
      `${daemon.root}/data`,
    ]);
    expect([second.status, second.stderr]).toEqual([
      1,
      expect.stringContaining("is in use by the daemon with pid"),
    ]);
  });

  it("endpoints that are not built yet", async () => {
    const { status, text } = await daemon.api("POST", "/swarm/init", {});
    expect([status, JSON.parse(text).message]).toEqual([501, "not implemented: POST /swarm/init"]);
  });

  it("what there is none of: plugins, and a swarm", async () => {
    expect(await daemon.api("GET", "/plugins")).toMatchObject({ status: 200, text: "[]" });
    const plugin = await daemon.api("POST", "/plugins/nosuch/enable");
    expect([plugin.status, JSON.parse(plugin.text).message]).toEqual([404, 'plugin "nosuch" not found']);
    for (const path of ["/swarm", "/nodes", "/services/x", "/tasks", "/secrets", "/configs"]) {
      const { status, text } = await daemon.api("GET", path);
      expect([path, status, text]).toEqual([path, 503, expect.stringContaining("not a swarm manager")]);
    }
    const left = await daemon.api("POST", "/swarm/leave");
    expect([left.status, JSON.parse(left.text).message]).toEqual([503, "This node is not part of a swarm"]);
  });
});
