// Routes: a container's streams: attach and logs.
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { parseDetachKeys } from "../../engine/containers/detach-keys.ts";
import { logDetails } from "../../engine/containers/log-attributes.ts";
import { type LogOptions, readLog } from "../../engine/containers/logs.ts";
import type { Container } from "../../engine/containers/registry.ts";
import { EngineError, invalid } from "../../engine/errors.ts";
import { parseNanoseconds } from "../../engine/events/time-parameter.ts";
import type { Engine } from "../engine.ts";
import { openStream } from "../hijack.ts";
import { containerTarget, route } from "../route.ts";
import { clientGone, sendStream } from "../stream.ts";
import { check, query, truthy } from "../validation.ts";
import { atLeast } from "../version-prefix.ts";
import { webSocketStream } from "../websocket.ts";

const text = z.string().optional();
const attachSchema = z.object({
  detachKeys: text,
  logs: text,
  stream: text,
  stdin: text,
  stdout: text,
  stderr: text,
});
const logsQuery = query(
  z.object({
    follow: text,
    stdout: text,
    stderr: text,
    since: text,
    until: text,
    timestamps: text,
    details: text,
    tail: text,
  }),
);

/** What an attach asks for. */
interface Attach {
  detachKeys: string;
  logs: boolean;
  stream: boolean;
  streams: { stdin: boolean; stdout: boolean; stderr: boolean };
}

function attachQuery(value: unknown): Attach {
  const asked = check(attachSchema, value, "query");
  if (asked.detachKeys) parseDetachKeys(asked.detachKeys);
  return {
    detachKeys: asked.detachKeys ?? "",
    logs: truthy(asked.logs),
    stream: truthy(asked.stream),
    streams: { stdin: truthy(asked.stdin), stdout: truthy(asked.stdout), stderr: truthy(asked.stderr) },
  };
}

/** Multiplexed streams have had a type of their own since API 1.42. */
export const streamType = (terminal: boolean, modern: boolean): string =>
  terminal || !modern ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream";

function checkNotPaused(container: Container, name: string): void {
  if (container.paused)
    throw new EngineError("conflict", `container ${name} is paused, unpause the container before attach`);
}

export const containerStreamRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { containers } = engine;
  const target = containerTarget(engine);

  /** A container's log, encoded for its clients; its files are open. */
  const openLog = async (
    container: Container,
    options: Omit<LogOptions, "terminal">,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<Buffer>> => {
    const { startedAt } = container.state;
    const log = readLog(
      containers.starter.logPath(container.id),
      { ...options, terminal: container.record.definition.config.Tty },
      {
        alive: () => container.alive && container.state.startedAt === startedAt,
        onExit: (listener) => container.onExit(listener),
      },
      signal,
    );
    await log.next();
    return log;
  };

  route(
    app,
    "POST",
    "/containers/:id/attach",
    { permission: "container:attach", query: attachQuery, target },
    async ({ target: container, reference, query: asked, request, reply }) => {
      if (container.removing)
        throw new EngineError("conflict", `container ${container.id} is marked for removal`);
      const type = streamType(container.record.definition.config.Tty, atLeast(request.raw, 42));
      checkNotPaused(container, reference);
      const socket = openStream(request, reply, type);
      if (asked.logs) {
        const options = {
          ...asked.streams,
          timestamps: false,
          details: undefined,
          follow: false,
          tail: undefined,
          since: undefined,
          until: undefined,
        };
        const past = Readable.from(await openLog(container, options, new AbortController().signal));
        await pipeline(past, socket, { end: false });
      }
      if (asked.stream) containers.attach(container, socket, asked.streams, asked.detachKeys);
      else socket.end();
    },
  );

  route(
    app,
    "GET",
    "/containers/:id/attach/ws",
    {
      permission: "container:attach",
      query: attachQuery,
      target: (call) => {
        const container = target(call);
        checkNotPaused(container, call.reference);
        return container;
      },
      webSocket: (socket, { target: container, query: asked }) => {
        // Bytes as they come: a WebSocket's client has no use for the multiplexed format.
        const multiplexed = !container.record.definition.config.Tty;
        const client = webSocketStream(socket);
        if (asked.stream) containers.attach(container, client, asked.streams, asked.detachKeys, multiplexed);
        else client.end();
      },
    },
    () => {
      throw invalid("attaching by WebSocket takes a request with Upgrade: websocket");
    },
  );

  route(
    app,
    "GET",
    "/containers/:id/logs",
    { permission: "container:logs", query: logsQuery, target },
    async ({ target: container, query: asked, request, reply }) => {
      const { config, hostConfig } = container.record.definition;
      if (!truthy(asked.stdout) && !truthy(asked.stderr))
        throw invalid("Bad parameters: you must choose at least one stream");
      const options = {
        stdout: truthy(asked.stdout),
        stderr: truthy(asked.stderr),
        timestamps: truthy(asked.timestamps),
        details: truthy(asked.details) ? logDetails(container) : undefined,
        follow: truthy(asked.follow),
        tail: asked.tail && /^\d+$/.test(asked.tail) ? Number(asked.tail) : undefined,
        since: parseNanoseconds(asked.since === "0" ? "" : asked.since),
        until: parseNanoseconds(asked.until === "0" ? "" : asked.until),
      };
      if (hostConfig.LogConfig.Type === "none")
        throw new EngineError("system", "configured logging driver does not support reading");
      // Who has the answer's head may remove the container.
      const chunks = await openLog(container, options, clientGone(reply));
      sendStream(
        reply,
        streamType(config.Tty, atLeast(request.raw, 42)),
        Readable.from(chunks, { objectMode: false, highWaterMark: 1 << 16 }),
        (error) => request.log.error({ err: error }, "reading a log"),
      );
    },
  );
};
