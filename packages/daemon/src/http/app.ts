// The HTTP application, apart from listening: versions, errors, and the routes of each resource.

import type { Server } from "node:http";
import websocket from "@fastify/websocket";
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import type { Engine } from "./engine.ts";
import { handleError } from "./errors.ts";
import { handleUpgrades } from "./hijack.ts";
import { containerArchiveRoutes } from "./routes/container-archives.ts";
import { containerOperationRoutes } from "./routes/container-operations.ts";
import { containerStreamRoutes } from "./routes/container-streams.ts";
import { containerRoutes } from "./routes/containers.ts";
import { eventRoutes } from "./routes/events.ts";
import { execRoutes } from "./routes/exec.ts";
import { imageRoutes } from "./routes/images.ts";
import { networkRoutes } from "./routes/networks.ts";
import { notBuiltRoutes } from "./routes/not-built.ts";
import { systemRoutes } from "./routes/system.ts";
import { tsdRoutes } from "./routes/tsd.ts";
import { checkVersion, stripVersion, versionOf } from "./version-prefix.ts";

const MAXIMUM_JSON_BODY = 16 << 20;

export function createApp(engine: Engine, logger: FastifyBaseLogger | false): FastifyInstance {
  const app: FastifyInstance = fastify({
    ...(logger ? { loggerInstance: logger } : { logger: false }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAXIMUM_JSON_BODY,
    rewriteUrl: stripVersion,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 4096 },
    // Streams may be silent for days; clients keep connections for their next request.
    keepAliveTimeout: 10 * 60_000,
    requestTimeout: 0,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
  });
  app.setErrorHandler(handleError);
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ message: "page not found" }));
  app.addHook("onRequest", async (request, reply) => {
    checkVersion(versionOf(request.raw));
    reply
      .header("Api-Version", "1.51")
      .header("Docker-Experimental", "false")
      .header("Ostype", "linux")
      .header("Server", "tsd/0.1.0 (linux)");
  });
  // Docker's clients compare this header to the letter.
  app.addHook("onSend", async (_request, reply, payload) => {
    if (String(reply.getHeader("content-type") ?? "").startsWith("application/json"))
      reply.header("content-type", "application/json");
    return payload;
  });
  // Clients send JSON with all sorts of content types, or with none; archives are left as streams.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request, payload, done) => {
    if (request.routeOptions.config.rawBody) {
      done(null, payload);
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    payload.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAXIMUM_JSON_BODY) chunks.push(chunk);
    });
    payload.on("error", done);
    payload.on("end", () => {
      if (size > MAXIMUM_JSON_BODY)
        done(Object.assign(new Error("http: request body too large"), { statusCode: 413 }));
      else parseJson(Buffer.concat(chunks), done);
    });
  });
  app.register(systemRoutes, { engine });
  app.register(eventRoutes, { engine });
  app.register(imageRoutes, { engine });
  app.register(containerRoutes, { engine });
  app.register(containerOperationRoutes, { engine });
  app.register(containerArchiveRoutes, { engine });
  app.register(websocket, { options: { maxPayload: 1 << 20 } });
  app.register(containerStreamRoutes, { engine });
  app.register(tsdRoutes, { engine });
  app.register(execRoutes, { engine });
  app.register(networkRoutes, { engine });
  app.register(notBuiltRoutes);
  handleUpgrades(app.server as Server, app);
  return app;
}

function parseJson(bytes: Buffer, done: (error: Error | null, body?: unknown) => void): void {
  if (bytes.length === 0) {
    done(null, undefined);
    return;
  }
  try {
    done(null, JSON.parse(bytes.toString("utf8")));
  } catch (error) {
    done(Object.assign(new Error(`invalid JSON: ${(error as Error).message}`), { statusCode: 400 }));
  }
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** The handler reads the body as a stream. */
    rawBody?: boolean;
  }
}
