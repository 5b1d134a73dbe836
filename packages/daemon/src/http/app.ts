// The HTTP application, apart from listening: who calls and what they may, versions, errors, and each resource's routes.
import type { Server } from "node:http";
import type { Socket } from "node:net";
import rateLimit from "@fastify/rate-limit";
import websocket from "@fastify/websocket";
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
} from "fastify";
import { ANONYMOUS, type Caller, denied } from "../engine/access/caller.ts";
import { isChange } from "../engine/access/permissions.ts";
import { invalid } from "../engine/errors.ts";
import { recordRequest } from "./audit.ts";
import { readJsonBodies } from "./bodies.ts";
import { refuseBrowsers } from "./browsers.ts";
import type { Engine } from "./engine.ts";
import { handleError } from "./errors.ts";
import { handleUpgrades } from "./hijack.ts";
import type { Metrics } from "./metrics.ts";
import { answerBrokenRequest, answerUnreadablePath, refuseInOurWords } from "./refusals.ts";
import { absentRoutes } from "./routes/absent.ts";
import { buildRoutes } from "./routes/build.ts";
import { chainRoutes } from "./routes/chains.ts";
import { containerArchiveRoutes } from "./routes/container-archives.ts";
import { containerOperationRoutes } from "./routes/container-operations.ts";
import { containerStreamRoutes } from "./routes/container-streams.ts";
import { containerRoutes } from "./routes/containers.ts";
import { eventRoutes } from "./routes/events.ts";
import { execRoutes } from "./routes/exec.ts";
import { imageRoutes } from "./routes/images.ts";
import { isolationRoutes } from "./routes/isolation.ts";
import { networkRoutes } from "./routes/networks.ts";
import { policyRoutes } from "./routes/policies.ts";
import { systemRoutes } from "./routes/system.ts";
import { type DeclaredRoute, tsdRoutes } from "./routes/tsd.ts";
import { tsdContainerRoutes } from "./routes/tsd-containers.ts";
import { tsdImageRoutes } from "./routes/tsd-images.ts";
import { volumeRoutes } from "./routes/volumes.ts";
import { checkVersion, rewriteUrl, versionOf } from "./version-prefix.ts";

/** Clients send registry credentials and detach keys in headers. */
const MAXIMUM_HEADERS = 64 << 10;
const HEADERS_MILLISECONDS = 10_000;
const IDLE_MILLISECONDS = 10 * 60_000;

export interface AppParts {
  engine: Engine;
  metrics: Metrics;
  /** Who is at the other end of a request's connection. */
  identify: (socket: Socket) => Caller;
  /** Told that a connection has become a raw stream. */
  streamBegins: (socket: Socket) => void;
  /** Requests that a caller may make in a second; 0 for any number. */
  requestsPerSecond: (caller: Caller) => number;
}

const standingHeaders = {
  "Api-Version": "1.51",
  "Docker-Experimental": "false",
  Ostype: "linux",
  Server: "tsd/0.1.0 (linux)",
};
const nothingAsked = {};

/** Throws unless the caller may have the route at all; before anything of the request's body is read. */
function judge(engine: Engine, { caller, raw, routeOptions }: FastifyRequest): void {
  const { permission } = routeOptions.config;
  if (caller.id === ANONYMOUS) refuseBrowsers(raw);
  if (!caller.allows(permission ?? "system:whoami")) throw denied(caller, permission ?? "anything");
  if (permission && isChange(permission)) engine.audit.checkWritable();
}

export function createApp(parts: AppParts, logger: FastifyBaseLogger | false): FastifyInstance {
  const { engine, metrics, identify, streamBegins, requestsPerSecond } = parts;
  const app: FastifyInstance = fastify({
    ...(logger ? { loggerInstance: logger } : { logger: false }),
    logController: new LogController({ disableRequestLogging: true }),
    rewriteUrl,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 4096 },
    http: {
      maxHeaderSize: MAXIMUM_HEADERS,
      headersTimeout: HEADERS_MILLISECONDS,
      connectionsCheckingInterval: 2000,
      requireHostHeader: false, // checked below, to be refused in the API's words
    },
    // Streams may be silent for days; clients keep connections for their next request.
    keepAliveTimeout: IDLE_MILLISECONDS,
    requestTimeout: 0,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: answerUnreadablePath,
  });
  // A route that anybody could call, because nobody thought of it, is a mistake that shows at once.
  const declared: DeclaredRoute[] = [];
  app.addHook("onRoute", ({ method, url, config }) => {
    if (!config?.permission) throw new Error(`route ${method} ${url} declares no permission`);
    declared.push({ Method: [method].flat().join(","), Path: url, Permission: config.permission });
  });
  app.setErrorHandler(handleError);
  app.decorate("streamBegins", streamBegins);
  app.decorateRequest("caller", null as never);
  app.decorateRequest("trace", null as never);
  app.decorateRequest("call", null);
  app.decorate("record", (request, status) => recordRequest(engine.audit, request, status));
  // Hooks call back instead of being asynchronous: a promise each would cost a third of a small request's time.
  app.addHook("onRequest", (request, reply, done) => {
    request.caller = identify(request.raw.socket);
    request.trace = { object: "", asked: nothingAsked, began: performance.now() };
    reply.headers(standingHeaders);
    try {
      const { headers, httpVersion } = request.raw;
      if (headers.host === undefined && httpVersion === "1.1") throw invalid("missing required Host header");
      checkVersion(versionOf(request.raw));
      judge(engine, request);
      done();
    } catch (error) {
      done(error as Error);
    }
  });
  app.setNotFoundHandler((request, reply) =>
    // Asked about its methods, Docker says that all is well, whatever the path.
    request.method === "OPTIONS"
      ? reply.code(200).send()
      : reply.code(404).send({ message: "page not found" }),
  );
  app.addHook("onSend", (request, reply, payload, done) => {
    app.record(request, reply.statusCode);
    // Docker's clients compare this header to the letter.
    if (reply.getHeader("content-type") === "application/json; charset=utf-8")
      reply.header("content-type", "application/json");
    done(null, payload);
  });
  readJsonBodies(app);
  app.register(async (routes) => {
    await routes.register(rateLimit, {
      timeWindow: 1000,
      max: (request) => requestsPerSecond(request.caller),
      allowList: (request) => requestsPerSecond(request.caller) === 0,
      keyGenerator: (request) => request.caller.id,
      addHeaders: { "x-ratelimit-limit": false, "x-ratelimit-remaining": false, "x-ratelimit-reset": false },
      errorResponseBuilder: (request, { max }) =>
        Object.assign(new Error(`too many requests: ${request.caller.id} may make ${max} in a second`), {
          statusCode: 429,
        }),
    });
    metrics.install(routes);
    routes.register(systemRoutes, { engine });
    routes.register(eventRoutes, { engine });
    routes.register(imageRoutes, { engine });
    routes.register(tsdImageRoutes, { engine });
    routes.register(buildRoutes, { engine });
    routes.register(containerRoutes, { engine });
    routes.register(containerOperationRoutes, { engine });
    routes.register(containerArchiveRoutes, { engine });
    await routes.register(websocket, { options: { maxPayload: 1 << 20 } });
    refuseInOurWords(routes);
    routes.register(containerStreamRoutes, { engine });
    routes.register(tsdRoutes, { engine, declared });
    routes.register(tsdContainerRoutes, { engine });
    routes.register(isolationRoutes, { engine });
    routes.register(execRoutes, { engine });
    routes.register(networkRoutes, { engine });
    routes.register(volumeRoutes, { engine });
    routes.register(policyRoutes, { engine });
    routes.register(chainRoutes, { engine });
    routes.register(absentRoutes);
  });
  handleUpgrades(app.server as Server, app);
  return app;
}
