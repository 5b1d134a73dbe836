// How every route is declared: what permission it needs, how its request is read, what it acts on. All of that is settled
// before its handler runs, once, and the handler gets the outcome: it can't act on what was not judged.
import type { Socket } from "node:net";
import type { WebSocket } from "@fastify/websocket";
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from "fastify";
import type { Caller } from "../engine/access/caller.ts";
import type { Permission } from "../engine/access/permissions.ts";
import type { Container } from "../engine/containers/registry.ts";
import type { Engine } from "./engine.ts";

/** A request that was read and allowed. */
export interface Call<Q = unknown, B = unknown, T = undefined> {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly caller: Caller;
  /** What the path names: an id, a name. */
  readonly reference: string;
  readonly query: Q;
  readonly body: B;
  /** What the reference stands for, found among what exists for the caller. */
  readonly target: T;
}

export interface RouteOptions<Q, B, T> {
  permission: Permission;
  /** Reads the query string; throws for what is wrong. */
  query?: (value: unknown) => Q;
  /** Reads the parsed body; throws for what is wrong. */
  body?: (value: unknown) => B;
  /** The body is a stream, and the handler's to read. */
  rawBody?: boolean;
  /** Finds what the request acts on; throws when it is not there for the caller. */
  target?: (call: { reference: string; query: Q; caller: Caller }) => T;
  /** What the audit record says was asked for; nothing secret. */
  asked?: (call: Call<Q, B, T>) => Readonly<Record<string, unknown>>;
  /** Reachable by WebSocket as well. */
  webSocket?: (socket: WebSocket, call: Call<Q, B, T>) => void;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** The handler reads the body as a stream. */
    rawBody?: boolean;
    /** The route reads the body as JSON. */
    jsonBody?: boolean;
    permission?: Permission;
  }
  interface FastifyInstance {
    /** Told that a connection has become a raw stream. */
    streamBegins: (socket: Socket) => void;
  }
  interface FastifyRequest {
    caller: Caller;
    /** What the audit record will say of it. */
    trace: RequestTrace;
    /** What its route read of it. */
    call: Call | null;
  }
}

/** What becomes known of a request while it is read. */
export interface RequestTrace {
  object: string;
  asked: Readonly<Record<string, unknown>>;
  /** performance.now() at its beginning. */
  began: number;
}

type Handler<Q, B, T> = (call: Call<Q, B, T>) => unknown;

/** The only way to add a route: one without a permission does not compile, and does not start (app.ts). */
export function route<Q = unknown, B = unknown, T = undefined>(
  app: FastifyInstance,
  method: HTTPMethods | HTTPMethods[],
  url: string,
  options: RouteOptions<Q, B, T>,
  handler: Handler<Q, B, T>,
): void {
  const { permission, rawBody = false, webSocket } = options;
  const callOf = ({ call }: FastifyRequest): Call<Q, B, T> => {
    if (!call) throw new Error("a handler was reached without its request having been judged");
    return call as Call<Q, B, T>;
  };
  const resource = permission.split(":")[0] ?? "";
  app.route({
    method,
    url,
    config: { permission, rawBody, jsonBody: options.body !== undefined },
    preHandler: (request, reply, done) => {
      try {
        const call = read(options, resource, request, reply);
        request.call = call as Call;
        if (options.asked) request.trace.asked = options.asked(call);
        done();
      } catch (error) {
        done(error as Error);
      }
    },
    handler: (request) => handler(callOf(request)),
    ...(webSocket
      ? {
          wsHandler: (socket, request) => {
            app.record(request, 101);
            app.streamBegins(request.raw.socket);
            webSocket(socket, callOf(request));
          },
        }
      : {}),
  });
}

function read<Q, B, T>(
  options: RouteOptions<Q, B, T>,
  resource: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Call<Q, B, T> {
  const { caller } = request;
  const parameters = request.params as Readonly<Record<string, string>>;
  const reference = Object.values(parameters)[0] ?? "";
  if (reference) request.trace.object = `${resource}/${reference}`;
  const query = options.query?.(request.query) as Q;
  const body = options.body?.(request.body) as B;
  const target = options.target?.({ reference, query, caller }) as T;
  return { request, reply, caller, reference, query, body, target };
}

/** For routes whose first parameter names a container. */
export const containerTarget =
  (engine: Engine) =>
  ({ reference, caller }: { reference: string; caller: Caller }): Container =>
    engine.containers.find(reference, caller);
