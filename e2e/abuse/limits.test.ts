// Limits of connections and of requests: whoever goes over one is told so, and others are not made to wait for it.
import { writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { PORT, RemoteDaemon, SERVER_ADDRESS } from "../harness/remote.ts";
import { Crowd } from "./crowd.ts";
import { figure } from "./metrics.ts";

const CONNECTIONS = 100;
const REQUESTS = 20;
const ROLE_REQUESTS = 5;

let remote: RemoteDaemon;
let crowd: Crowd;
beforeAll(async () => {
  const authority = await RemoteDaemon.makeAuthority();
  const roles = join(authority, "roles.json");
  writeFileSync(
    roles,
    JSON.stringify({
      version: 1,
      roles: { seldom: { allow: ["container:list"], scope: "all", requestsPerSecond: ROLE_REQUESTS } },
      defaults: { certificate: "operator" },
    }),
  );
  remote = await RemoteDaemon.start(
    "limits",
    [
      ...["--max-connections-per-caller", String(CONNECTIONS)],
      ...["--max-requests-per-second", String(REQUESTS)],
      ...["--roles-file", roles],
    ],
    authority,
  );
  crowd = await Crowd.gather(remote.namespace);
});
afterAll(async () => {
  await crowd?.leave();
  await remote?.stop();
});

/** What the daemon says, within a second, to a connection that says nothing. */
function firstWords(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    let text = "";
    socket.on("data", (data: Buffer) => {
      text += data.toString("utf8");
    });
    socket.on("close", () => resolve(text));
    setTimeout(() => socket.destroy(), 1000);
    socket.on("error", reject);
  });
}

/** The statuses of so many requests at once, and what the refused ones were told. */
async function burst(
  count: number,
  ask: () => Promise<{ status: number; text: string }>,
): Promise<{ good: number; refused: string[] }> {
  const answers = await Promise.all(Array.from({ length: count }, ask));
  for (const { status, text } of answers) expect([200, 429], text).toContain(status);
  const refused = answers.filter(({ status }) => status === 429).map(({ text }) => text);
  return { good: count - refused.length, refused };
}

const second = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1100));

describe("connections of one caller", () => {
  it("over the limit are refused with the reason; others get in", async () => {
    const { daemon } = remote;
    const greedy = await remote.client("greedy");
    const modest = await remote.client("modest");
    const target = { host: SERVER_ADDRESS, port: PORT, certificates: greedy };
    await second();
    const { opened } = await crowd.open({ open: "silent", count: CONNECTIONS, target });
    expect(opened).toBe(CONNECTIONS);
    const { status, text } = await remote.curl(greedy, "/_ping");
    expect([status, JSON.parse(text)]).toEqual([503, { message: "too many connections of this caller" }]);
    expect(await figure(daemon, 'tsd_connections_refused_total{reason="too many connections"}')).toBe(1);

    expect((await remote.curl(modest, "/_ping")).status).toBe(200);
    expect((await daemon.api("GET", "/_ping")).status).toBe(200);

    await eventually(
      "they were silent and are closed",
      async () => (await crowd.tally("silent")).closed === CONNECTIONS,
      16_000,
    );
    expect((await remote.curl(greedy, "/_ping")).status).toBe(200);
  }, 30_000);

  it("at a unix socket are counted by user", async () => {
    const { daemon } = remote;
    const near = await Crowd.gather();
    await second();
    await near.open({ open: "silent", count: CONNECTIONS - 5, target: { path: daemon.socket } });
    const words = await Promise.all(Array.from({ length: 10 }, () => firstWords(daemon.socket)));
    const refused = words.filter((text) => text.startsWith("HTTP/1.1 503 Service Unavailable\r\n"));
    expect(refused.length).toBeGreaterThanOrEqual(5);
    for (const text of refused) expect(text).toContain('{"message":"too many connections of this caller"}');
    await near.leave();
    await eventually("there is room again", async () => (await daemon.api("GET", "/_ping")).status === 200);
  }, 30_000);
});

describe("requests of one caller", () => {
  it("over the limit of a second are answered 429; others' are not", async () => {
    const { daemon } = remote;
    const other = await remote.client("other");
    await second();
    const { good, refused } = await burst(REQUESTS * 3, () => daemon.api("GET", "/containers/json"));
    // A second may end in the middle of it.
    expect(good).toBeGreaterThanOrEqual(REQUESTS);
    expect(good).toBeLessThanOrEqual(REQUESTS * 2);
    expect(JSON.parse(refused[0] ?? "")).toEqual({
      message: `too many requests: unix:0 may make ${REQUESTS} in a second`,
    });
    expect((await remote.curl(other, "/containers/json")).status).toBe(200);
    await second();
    expect((await daemon.api("GET", "/containers/json")).status).toBe(200);
  });

  it("are limited by their role where it says so", async () => {
    const seldom = await remote.client("seldom", "seldom");
    const requests = Array.from({ length: ROLE_REQUESTS * 4 }, () => ({
      certificates: seldom,
      method: "GET",
      path: "/containers/json",
    }));
    const answers = await remote.send(requests);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(ROLE_REQUESTS * 2);
    expect(JSON.parse(refused[0]?.text ?? "")).toEqual({
      message: `too many requests: cert:seldom may make ${ROLE_REQUESTS} in a second`,
    });
    await second();
    expect((await remote.send(requests.slice(0, 1)))[0]?.status).toBe(200);
  });

  it("are as many as are liked without a limit", async () => {
    const free = await RemoteDaemon.start("free");
    try {
      const { refused } = await burst(300, () => free.daemon.api("GET", "/_ping"));
      expect(refused).toEqual([]);
    } finally {
      await free.stop();
    }
  });
});
