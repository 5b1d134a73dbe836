// Clients that ask for streams and never read them: what they don't take is not kept for them, and when they go nothing of
// theirs stays open.
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { Crowd } from "./crowd.ts";
import { figure, residentKilobytes } from "./metrics.ts";

const READERS = 20;
const RENAMES = 3000;
/** Each event carries its container's labels. */
const LABEL_BYTES = 50_000;

let daemon: TestDaemon;
let crowd: Crowd;
beforeAll(async () => {
  daemon = await TestDaemon.start("slow");
  await daemon.importBusybox();
  crowd = await Crowd.gather();
});
afterAll(async () => {
  await crowd?.leave();
  await daemon?.stop();
});

async function start(name: string, labels: Record<string, string> = {}): Promise<void> {
  const made = await daemon.api("POST", `/containers/create?name=${name}`, {
    Image: "busybox",
    Cmd: ["yes", "x".repeat(1000)],
    Labels: labels,
    HostConfig: { LogConfig: { Type: "json-file", Config: { "max-size": "4m", "max-file": "2" } } },
  });
  expect(made.status, made.text).toBe(201);
  expect((await daemon.api("POST", `/containers/${name}/start`)).status).toBe(204);
}

/** Not counting those of the daemon's own look at containers, which it keeps. */
function openFiles(): number {
  const directory = `/proc/${daemon.pid}/fd`;
  return readdirSync(directory).filter((descriptor) => {
    try {
      return !readlinkSync(join(directory, descriptor)).startsWith("/sys/fs/cgroup/");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false; // closed in this moment
      throw error;
    }
  }).length;
}

describe("clients that never read", () => {
  it("cost the daemon no memory that grows, and leave nothing open", async () => {
    await start("logging");
    await start("attached");
    await daemon.api("POST", "/containers/create?name=renamed-0", {
      Image: "busybox",
      Labels: { large: "l".repeat(LABEL_BYTES) },
    });
    const rename = (index: number) =>
      daemon.api("POST", `/containers/renamed-${index}/rename?name=renamed-${index + 1}`);
    let index = 0;
    for (; index < 500; index++) expect((await rename(index)).status).toBe(204);
    const before = residentKilobytes(daemon.pid);
    const files = openFiles();

    const requests = [
      "GET /events",
      "GET /events?since=1",
      "GET /containers/logging/logs?follow=1&stdout=1",
      "POST /containers/attached/attach?stream=1&stdout=1",
      "GET /containers/logging/stats",
      "GET /tsd/audit/export",
      "GET /tsd/audit?follow=1",
    ];
    for (const request of requests) {
      const text = `${request} HTTP/1.1\r\nHost: x\r\n\r\n`;
      await crowd.open({
        open: "unread",
        count: READERS,
        target: { path: daemon.socket },
        request: text,
      });
    }
    await eventually(
      "all of them are there",
      async () => (await figure(daemon, "tsd_connections")) >= READERS * requests.length,
    );
    for (; index < RENAMES; index++) expect((await rename(index)).status).toBe(204);
    const most = residentKilobytes(daemon.pid);
    console.log(
      `resident: ${before} kB before, ${most} with ${READERS * requests.length} clients that don't read`,
    );
    expect(most - before).toBeLessThan(120_000);
    expect((await daemon.api("GET", "/containers/logging/json")).status).toBe(200);

    await crowd.leave();
    await eventually(
      "their connections are gone",
      async () => (await figure(daemon, "tsd_connections")) <= 3,
    );
    await eventually("their files are closed", () => openFiles() <= files + 3).catch((error: Error) => {
      throw new Error(`${error.message}: ${files} before, ${openFiles()} now`);
    });
  }, 120_000);
});
