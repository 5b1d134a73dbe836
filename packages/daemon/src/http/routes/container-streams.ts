// Routes: a container's streams: attach and logs.
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { parseDetachKeys } from "../../engine/containers/detach-keys.ts";
import { type LogOptions, readLog } from "../../engine/containers/logs.ts";
import type { Container } from "../../engine/containers/registry.ts";
import { EngineError, invalid } from "../../engine/errors.ts";
import { parseNanoseconds } from "../../engine/events/time-parameter.ts";
import type { Engine } from "../engine.ts";
import { openStream } from "../hijack.ts";
import { check, truthy } from "../validation.ts";
import { atLeast } from "../version-prefix.ts";
import { webSocketStream } from "../websocket.ts";

const text = z.string().optional();
const attachQuery = z.object({
  detachKeys: text,
  logs: text,
  stream: text,
  stdin: text,
  stdout: text,
  stderr: text,
});
const logsQuery = z.object({
  follow: text,
  stdout: text,
  stderr: text,
  since: text,
  until: text,
  timestamps: text,
  tail: text,
});

interface ById {
  Params: { id: string };
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

  /** A container's log, encoded for its clients. */
  const logChunks = (
    container: Container,
    options: Omit<LogOptions, "terminal">,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> => {
    const { startedAt } = container.state;
    return readLog(
      containers.starter.logPath(container.id),
      { ...options, terminal: container.record.definition.config.Tty },
      {
        alive: () => container.alive && container.state.startedAt === startedAt,
        onExit: (listener) => container.onExit(listener),
      },
      signal,
    );
  };

  app.post<ById>("/containers/:id/attach", async (request, reply) => {
    const query = check(attachQuery, request.query, "query");
    const container = containers.find(request.params.id);
    if (query.detachKeys) parseDetachKeys(query.detachKeys);
    if (container.removing)
      throw new EngineError("conflict", `container ${container.id} is marked for removal`);
    const streams = {
      stdin: truthy(query.stdin),
      stdout: truthy(query.stdout),
      stderr: truthy(query.stderr),
    };
    const type = streamType(container.record.definition.config.Tty, atLeast(request.raw, 42));
    checkNotPaused(container, request.params.id);
    const socket = openStream(request, reply, type);
    if (truthy(query.logs)) {
      const options = {
        ...streams,
        timestamps: false,
        follow: false,
        tail: undefined,
        since: undefined,
        until: undefined,
      };
      const past = Readable.from(logChunks(container, options, new AbortController().signal));
      await pipeline(past, socket, { end: false });
    }
    if (truthy(query.stream)) containers.attach(container.id, socket, streams, query.detachKeys ?? "");
    else socket.end();
  });

  app.route<ById>({
    method: "GET",
    url: "/containers/:id/attach/ws",
    preValidation: async (request) => {
      const query = check(attachQuery, request.query, "query");
      if (query.detachKeys) parseDetachKeys(query.detachKeys);
      checkNotPaused(containers.find(request.params.id), request.params.id);
    },
    handler: async () => {
      throw invalid("attaching by WebSocket takes a request with Upgrade: websocket");
    },
    wsHandler: (socket, request) => {
      const query = check(attachQuery, request.query, "query");
      const container = containers.find((request.params as { id: string }).id);
      const streams = {
        stdin: truthy(query.stdin),
        stdout: truthy(query.stdout),
        stderr: truthy(query.stderr),
      };
      // Bytes as they come: a WebSocket's client has no use for the multiplexed format.
      const multiplexed = !container.record.definition.config.Tty;
      const client = webSocketStream(socket);
      if (truthy(query.stream))
        containers.attach(container.id, client, streams, query.detachKeys ?? "", multiplexed);
      else client.end();
    },
  });

  app.get<ById>("/containers/:id/logs", async (request, reply) => {
    const query = check(logsQuery, request.query, "query");
    const container = containers.find(request.params.id);
    const { config, hostConfig } = container.record.definition;
    if (!truthy(query.stdout) && !truthy(query.stderr))
      throw invalid("Bad parameters: you must choose at least one stream");
    const tail = query.tail && /^\d+$/.test(query.tail) ? Number(query.tail) : undefined;
    const options = {
      stdout: truthy(query.stdout),
      stderr: truthy(query.stderr),
      timestamps: truthy(query.timestamps),
      follow: truthy(query.follow),
      tail,
      since: parseNanoseconds(query.since === "0" ? "" : query.since),
      until: parseNanoseconds(query.until === "0" ? "" : query.until),
    };
    if (hostConfig.LogConfig.Type === "none")
      throw new EngineError("system", "configured logging driver does not support reading");
    const gone = new AbortController();
    reply.raw.on("close", () => gone.abort());
    reply.type(streamType(config.Tty, atLeast(request.raw, 42)));
    reply.raw.writeHead(200, reply.getHeaders() as Record<string, string>);
    reply.raw.flushHeaders();
    reply.hijack();
    Readable.from(logChunks(container, options, gone.signal), { objectMode: false, highWaterMark: 1 << 16 })
      .on("error", (error) => {
        request.log.error({ err: error }, "reading a log");
        reply.raw.destroy();
      })
      .pipe(reply.raw);
  });
};
