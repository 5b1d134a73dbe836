// Streams under strain: slow readers, many followers, clients that vanish, rotation under way, a quick writer.
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("streams");
  await daemon.importBusybox();
});
afterEach(() => daemon.clear());
afterAll(() => daemon.stop());

async function run(command: string, HostConfig: object = {}): Promise<string> {
  const { text } = await daemon.api("POST", "/containers/create", {
    Image: "busybox",
    Cmd: ["sh", "-c", command],
    HostConfig,
  });
  const { Id } = JSON.parse(text) as { Id: string };
  expect((await daemon.api("POST", `/containers/${Id}/start`)).status).toBe(204);
  return Id;
}

const resident = (): number =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/smaps_rollup`, "utf8"))?.[1]);
const descriptors = (): number => readdirSync(`/proc/${daemon.pid}/fd`).length;

/** A connection that reads nothing of its answer. */
function stubborn(head: string): Socket {
  const socket = connect(daemon.socket);
  socket.write(`${head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  socket.pause();
  return socket;
}

/** All of a stream's text. */
function follow(path: string): { text: () => string; done: Promise<void>; destroy: () => void } {
  const chunks: Buffer[] = [];
  const sending = request({ socketPath: daemon.socket, path });
  const done = new Promise<void>((resolve) => {
    sending.on("response", (response) => {
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("close", () => resolve());
    });
    sending.on("error", () => resolve());
  });
  sending.end();
  return {
    text: () => Buffer.concat(chunks).toString("latin1"),
    done,
    destroy: () => sending.destroy(),
  };
}

describe("a slow reader", () => {
  it("of logs -f never grows the daemon", async () => {
    const id = await run("yes 0123456789012345678901234567890123456789012345678901234567890123456789", {
      LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "2" } },
    });
    const before = resident();
    const readers = Array.from({ length: 20 }, () =>
      stubborn(`GET /containers/${id}/logs?follow=1&stdout=1`),
    );
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(resident() - before).toBeLessThan(60_000);
    for (const reader of readers) reader.destroy();
  });

  it("of an attached container holds that container up, and nothing else", async () => {
    const id = await run(
      "sleep 0.5; i=0; while [ $i -lt 300000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done",
    );
    const reader = stubborn(`POST /containers/${id}/attach?stream=1&stdout=1`);
    const before = resident();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const state = JSON.parse((await daemon.api("GET", `/containers/${id}/json`)).text) as {
      State: { Running: boolean };
    };
    expect(state.State.Running).toBe(true);
    expect(resident() - before).toBeLessThan(20_000);
    reader.destroy(); // then it goes on without its reader
    await daemon.api("POST", `/containers/${id}/wait`);
    const lines = (await daemon.tsctl("logs", "--tail", "3", id)).stdout;
    expect(lines).toBe(`${"0123456789".repeat(4)}\n`.repeat(3));
  });

  it("of the events loses its stream before the daemon its memory", async () => {
    const reader = stubborn("GET /events");
    const id = await run("sleep 1000");
    const before = resident();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let round = 0; round < 100; round++)
          await daemon.api("POST", `/containers/${id}/kill?signal=URG`);
      }),
    );
    expect(resident() - before).toBeLessThan(20_000);
    reader.destroy();
  });
});

describe("followers", () => {
  it("two hundred at once get every line once, and leave nothing behind when they vanish", async () => {
    const id = await run("i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.005; done");
    const before = descriptors();
    const path = `/containers/${id}/logs?follow=1&stdout=1`;
    const staying = Array.from({ length: 150 }, () => follow(path));
    const leaving = Array.from({ length: 50 }, () => follow(path));
    await eventually("all of them follow", () => leaving.every(({ text }) => text().includes("line 20\n")));
    for (const follower of leaving) follower.destroy();
    await eventually("those who left are cleaned up", () => descriptors() < before + 320);
    await Promise.all(staying.map(({ done }) => done));
    const expected = Array.from({ length: 400 }, (_, index) => `line ${index}`);
    for (const { text } of staying)
      expect(
        text()
          .split("\n")
          .slice(0, -1)
          .map((line) => line.slice(8)),
      ).toEqual(expected);
    await eventually("nothing stays open", () => descriptors() <= before + 5);
  }, 30_000);

  it("come to an end, also when the container ended while they were still reading", async () => {
    const id = await run("yes 01234567890123456789012345678901234567890123456789 | head -n 400000");
    const reader = stubborn(`GET /containers/${id}/logs?follow=1&stdout=1`);
    await daemon.api("POST", `/containers/${id}/wait`);
    const ended = new Promise((resolve) => reader.on("end", resolve));
    reader.resume();
    await ended;
  });

  it("get every line across rotation, while there are files to read them from", async () => {
    const id = await run(
      "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); [ $((i % 50)) = 0 ] && sleep 0.02; done",
      { LogConfig: { Type: "json-file", Config: { "max-size": "20k", "max-file": "5" } } },
    );
    const follower = follow(`/containers/${id}/logs?follow=1&stdout=1`);
    await follower.done;
    const numbers = follower
      .text()
      .split("\n")
      .slice(0, -1)
      .map((line) => Number(line.slice(8)));
    expect(numbers).toEqual(Array.from({ length: 3000 }, (_, index) => index));
    const kept = (await daemon.tsctl("logs", id)).stdout.trim().split("\n").map(Number);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => 3000 - kept.length + index));
    expect(kept.length).toBeGreaterThan(1000);
    expect((await daemon.tsctl("logs", "--tail", "500", id)).stdout.split("\n").length).toBe(501);
  });
});

describe("logs", () => {
  it("a writer of a gigabyte a minute loses nothing and does not slow the daemon", async () => {
    const total = 700_000; // 85 MB, as fast as it will go
    const id = await run(
      `yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890 | head -n ${total}; echo end`,
      { LogConfig: { Type: "json-file", Config: { "max-size": "1g" } } },
    );
    const latencies: number[] = [];
    let over = false;
    const ended = daemon.api("POST", `/containers/${id}/wait`).then(() => {
      over = true;
    });
    while (!over) {
      const begin = performance.now();
      await daemon.api("GET", "/_ping");
      latencies.push(performance.now() - begin);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await ended;
    const counted = await daemon.cli("sh", ["-c", `docker logs ${id} | wc -l`]);
    expect(counted.stdout.trim()).toBe(String(total + 1));
    // No promise about time: only that the daemon answered all along.
    expect(latencies.length).toBeGreaterThan(3);
  });

  it("keep binary output, long lines and what has no newline, as dockerd does", async () => {
    const id = await run(
      'printf "\\001\\002\\377\\000x\\n"; head -c 40000 /dev/zero | tr "\\0" a; echo; printf "tab\\tquote\\"back\\\\slash\\n"; echo error >&2; printf end',
    );
    await daemon.api("POST", `/containers/${id}/wait`);
    const { text } = await daemon.api("GET", `/containers/${id}/logs?stdout=1`);
    expect(text).toContain("\u0001\u0002\ufffd\u0000x\n");
    expect(text).toContain('tab\tquote"back\\slash\n');
    expect(text.replaceAll(/[^a]/g, "").length).toBeGreaterThanOrEqual(40_000);
    expect(text.endsWith("end")).toBe(true);
    expect((await daemon.api("GET", `/containers/${id}/logs?stderr=1`)).text.slice(8)).toBe("error\n");
  });

  it("drivers: local is read as json-file is, none is not", async () => {
    const local = await run("echo kept", { LogConfig: { Type: "local" } });
    const none = await run("echo lost", { LogConfig: { Type: "none" } });
    for (const id of [local, none]) await daemon.api("POST", `/containers/${id}/wait`);
    expect((await daemon.tsctl("logs", local)).stdout).toBe("kept\n");
    expect((await daemon.tsctl("logs", none)).stderr).toContain(
      "configured logging driver does not support reading",
    );
  });
});

describe("events", () => {
  it("none is lost between the replay and the stream", async () => {
    const id = await run("sleep 1000");
    const since = (Date.now() / 1000).toFixed(3);
    let over = false;
    let sent = 0;
    const sending = (async () => {
      while (!over) {
        await daemon.api("POST", `/containers/${id}/kill?signal=URG`);
        sent++;
      }
    })();
    const followers: ReturnType<typeof follow>[] = [];
    for (let index = 0; index < 10; index++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      followers.push(follow(`/events?since=${since}&filters={"event":["kill"]}`));
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    over = true;
    await sending;
    const times = (text: string): string[] =>
      [...text.matchAll(/"timeNano":(\d+)/g)].map(([, time = ""]) => time);
    await eventually("all of them", () => followers.every(({ text }) => times(text()).length >= sent));
    for (const { text, destroy } of followers) {
      const seen = times(text());
      expect(seen.length).toBe(sent);
      expect(new Set(seen).size).toBe(sent);
      expect(seen).toEqual(times(followers[0]?.text() ?? ""));
      destroy();
    }
  });
});
