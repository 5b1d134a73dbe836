// The rest of a container's life under measurement: logs, attach, stop, remove, lists of many, a daemon that comes back.

import { request } from "node:http";
import { connect } from "node:net";
import { Connection, type Engine } from "./engine.ts";

const LINE = "0123456789".repeat(12);
const idOf = (text: string): string => (JSON.parse(text) as { Id: string }).Id;

/** A container that writes so many lines and ends. */
function writer(connection: Connection, lines: number, driver: "json-file" | "none"): Promise<string> {
  const Config = driver === "none" ? {} : { "max-size": "2g", "max-file": "1" };
  return connection
    .send("POST", "/containers/create", {
      Image: "busybox",
      Cmd: ["sh", "-c", `yes ${LINE} | head -n ${lines}`],
      HostConfig: { LogConfig: { Type: driver, Config }, NetworkMode: "none" },
    })
    .then(idOf);
}

const megabytes = (lines: number): number => (lines * (LINE.length + 1)) / 1e6;

/** Megabytes of output per second from a container into its log. */
export async function logWriting(connection: Connection, lines: number): Promise<number> {
  const id = await writer(connection, lines, "json-file");
  const begin = performance.now();
  await connection.send("POST", `/containers/${id}/start`);
  await connection.send("POST", `/containers/${id}/wait`);
  const seconds = (performance.now() - begin) / 1000;
  await connection.send("DELETE", `/containers/${id}?force=1`);
  return megabytes(lines) / seconds;
}

/** Bytes that a request's answer has, read as fast as they come. */
function drain(engine: Engine, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sending = request({ socketPath: engine.socket, path }, (response) => {
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
      });
      response.on("end", () => resolve(size));
      response.on("error", reject);
    });
    sending.on("error", reject).end();
  });
}

/** Megabytes per second to a client that follows a log from its beginning while it is written. */
export async function logFollowing(engine: Engine, connection: Connection, lines: number): Promise<number> {
  const id = await writer(connection, lines, "json-file");
  await connection.send("POST", `/containers/${id}/start`);
  const begin = performance.now();
  const size = await drain(engine, `/containers/${id}/logs?follow=1&stdout=1`);
  const seconds = (performance.now() - begin) / 1000;
  await connection.send("DELETE", `/containers/${id}?force=1`);
  const expected = lines * (LINE.length + 1 + 8);
  if (size !== expected) throw new Error(`${engine.name}: ${size} bytes of ${expected} came`);
  return megabytes(lines) / seconds;
}

/** Megabytes per second from a container to an attached client, without a log. */
export async function attachThroughput(
  engine: Engine,
  connection: Connection,
  lines: number,
): Promise<number> {
  const id = await writer(connection, lines, "none");
  const socket = connect(engine.socket);
  socket.write(
    `POST /containers/${id}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`,
  );
  let size = 0;
  await new Promise((resolve) => socket.once("data", resolve));
  const ended = new Promise((resolve) => socket.on("close", resolve));
  socket.on("data", (chunk: Buffer) => {
    size += chunk.length;
  });
  const begin = performance.now();
  await connection.send("POST", `/containers/${id}/start`);
  await ended;
  const seconds = (performance.now() - begin) / 1000;
  await connection.send("DELETE", `/containers/${id}?force=1`);
  if (size < lines * LINE.length) throw new Error(`${engine.name}: only ${size} bytes came`);
  return megabytes(lines) / seconds;
}

/** Milliseconds that stopping a container takes that ends at once when it is told to, and removing it. */
export async function stopAndRemove(connection: Connection): Promise<{ stop: number; remove: number }> {
  const id = idOf(
    await connection.send("POST", "/containers/create", {
      Image: "busybox",
      Cmd: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"],
    }),
  );
  await connection.send("POST", `/containers/${id}/start`);
  await new Promise((resolve) => setTimeout(resolve, 50)); // the trap must stand
  const begin = performance.now();
  await connection.send("POST", `/containers/${id}/stop`);
  const stopped = performance.now();
  await connection.send("DELETE", `/containers/${id}`);
  return { stop: stopped - begin, remove: performance.now() - stopped };
}

/** Milliseconds that removing a running container takes, by force. */
export async function removeRunning(connection: Connection): Promise<number> {
  const id = idOf(
    await connection.send("POST", "/containers/create", { Image: "busybox", Cmd: ["sleep", "1000"] }),
  );
  await connection.send("POST", `/containers/${id}/start`);
  const begin = performance.now();
  await connection.send("DELETE", `/containers/${id}?force=1`);
  return performance.now() - begin;
}

/** Makes containers that are not started; returns their ids. */
export async function makeMany(engine: Engine, count: number): Promise<string[]> {
  const ids: string[] = [];
  let left = count;
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const connection = new Connection(engine);
      while (left-- > 0)
        ids.push(
          idOf(await connection.send("POST", "/containers/create", { Image: "busybox", Cmd: ["true"] })),
        );
      connection.close();
    }),
  );
  return ids;
}

export async function removeMany(engine: Engine, ids: readonly string[]): Promise<void> {
  const left = [...ids];
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const connection = new Connection(engine);
      for (let id = left.pop(); id; id = left.pop())
        await connection.send("DELETE", `/containers/${id}?force=1`);
      connection.close();
    }),
  );
}

/** Starts containers that stay; returns their ids. */
export async function startMany(engine: Engine, count: number): Promise<string[]> {
  const ids: string[] = [];
  let left = count;
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const connection = new Connection(engine);
      while (left-- > 0) {
        const id = idOf(
          await connection.send("POST", "/containers/create", { Image: "busybox", Cmd: ["sleep", "100000"] }),
        );
        await connection.send("POST", `/containers/${id}/start`);
        ids.push(id);
      }
      connection.close();
    }),
  );
  return ids;
}

/** Milliseconds from now until an engine, having been gone, says of so many containers that they run. */
export async function untilRunning(engine: Engine, count: number): Promise<number> {
  const begin = performance.now();
  let gone = false;
  for (;;) {
    const text = await new Promise<string>((resolve) => {
      const sending = request(
        { socketPath: engine.socket, path: '/containers/json?filters={"status":["running"]}' },
        (response) => {
          let body = "";
          response.on("data", (chunk: Buffer) => {
            body += chunk.toString("utf8");
          });
          response.on("close", () => resolve(body));
        },
      );
      sending.on("error", () => resolve("")).end();
    });
    gone ||= text === "";
    if (!gone) continue;
    if (text.startsWith("[") && (JSON.parse(text) as object[]).length >= count)
      return performance.now() - begin;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
