// Clients that ask for a stream and are gone before it begins, or in the middle of it: the daemon notices, and lives.
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { figure } from "./metrics.ts";

const TIMES = 150;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("hang-up");
  await daemon.importBusybox();
});
afterAll(() => daemon?.stop());

const idOf = (text: string): string => (JSON.parse(text) as { Id: string }).Id;

/** Sends a request and hangs up: at once, or after a moment. */
function hangUp(head: string, body: string, milliseconds: number | undefined): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(daemon.socket, () => {
      socket.write(
        `${head} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      if (milliseconds === undefined) socket.destroy();
      else setTimeout(() => socket.destroy(), milliseconds);
    });
    socket.on("error", () => socket.destroy()).on("close", () => resolve());
  });
}

describe("clients that hang up", () => {
  it("before or while they are answered end nothing but their own requests", async () => {
    const { pid } = daemon;
    const made = await daemon.api("POST", "/containers/create?name=box", {
      Image: "busybox",
      Cmd: ["sh", "-c", "while :; do echo line; sleep 0.01; done"],
      HostConfig: { Init: true, NetworkMode: "none" },
    });
    expect(made.status, made.text).toBe(201);
    expect((await daemon.api("POST", "/containers/box/start")).status).toBe(204);
    const heads = [
      "POST /containers/box/attach",
      "POST /containers/box/attach?stream=1&stdout=1&stdin=1",
      "POST /containers/box/attach?logs=1&stream=1&stdout=1",
      "POST /containers/box/wait",
      "GET /containers/box/logs?follow=1&stdout=1",
      "GET /containers/box/stats",
      "GET /containers/box/export",
      "GET /containers/box/archive?path=/",
      "GET /events?since=1",
      "GET /tsd/audit?follow=1",
    ];
    for (const milliseconds of [undefined, 0, 2])
      for (const head of heads)
        await Promise.all(Array.from({ length: TIMES / heads.length }, () => hangUp(head, "", milliseconds)));
    // An exec that can't be executed is told of in its stream, where nobody is any more.
    for (let index = 0; index < TIMES; index++) {
      const command = index % 2 === 0 ? "/nothing" : "true";
      const exec = await daemon.api("POST", "/containers/box/exec", { Cmd: [command], AttachStdout: true });
      await hangUp(`POST /exec/${idOf(exec.text)}/start`, "{}", index % 3 === 0 ? undefined : index % 3);
    }
    await eventually("nobody is there any more", async () => (await figure(daemon, "tsd_streams")) === 0);
    expect(daemon.isRunning && daemon.pid === pid, daemon.log.slice(-2000)).toBe(true);
    expect((await daemon.api("DELETE", "/containers/box?force=1")).status).toBe(204);
  });
});
