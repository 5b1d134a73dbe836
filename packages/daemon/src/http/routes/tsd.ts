// Routes: what is ours alone, below /tsd.
import { Readable } from "node:stream";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import type { Permission } from "../../engine/access/permissions.ts";
import { Policy } from "../../engine/access/policy.ts";
import { invalid } from "../../engine/errors.ts";
import { parseNanoseconds } from "../../engine/events/time-parameter.ts";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";
import { clientGone, sendStream } from "../stream.ts";
import { query, truthy } from "../validation.ts";

const text = z.string().optional();
const shutdownQuery = query(z.object({ "stop-containers": text }));
const auditQuery = query(
  z.object({
    since: text,
    until: text,
    caller: text,
    action: text,
    object: text,
    result: z.enum(["ok", "refused", "failed"]).optional(),
    tail: z.string().regex(/^\d+$/, "not a whole number").optional(),
    follow: text,
  }),
);
const JSON_LINES = "application/x-ndjson";

/** A route and the permission that it takes, for whoever writes or checks roles. */
export interface DeclaredRoute {
  Method: string;
  Path: string;
  Permission: Permission;
}

interface TsdOptions {
  engine: Engine;
  declared: readonly DeclaredRoute[];
}

export const tsdRoutes: FastifyPluginAsync<TsdOptions> = async (app, { engine, declared }) => {
  route(app, "GET", "/tsd/routes", { permission: "system:whoami" }, () => declared);

  route(
    app,
    "POST",
    "/tsd/shutdown",
    {
      permission: "system:shutdown",
      query: shutdownQuery,
      asked: (call) => ({ StopContainers: truthy(call.query["stop-containers"]) }),
    },
    async (call) => {
      await engine.shutdown({ stopContainers: truthy(call.query["stop-containers"]) });
      return call.reply.code(204).send();
    },
  );

  route(app, "GET", "/tsd/whoami", { permission: "system:whoami" }, ({ caller }) => ({
    Caller: caller.id,
    From: caller.from,
    Role: caller.role?.name ?? "",
    Scope: caller.role?.scope ?? "own",
    Allow: [...(caller.role?.permissions ?? [])].sort(),
    Limits: caller.role?.limits ?? null,
  }));

  const rolesFile = (value: unknown): unknown => value;
  route(app, "POST", "/tsd/roles/check", { permission: "role:check", body: rolesFile }, (call) => {
    try {
      const { roles, callers, warnings } = Policy.parse(call.body);
      return { Roles: [...roles.keys()], Callers: callers.length, Warnings: warnings };
    } catch (error) {
      throw invalid(`roles file: ${(error as Error).message}`);
    }
  });

  route(app, "GET", "/tsd/audit", { permission: "audit:read", query: auditQuery }, (call) => {
    const { since, until, tail, follow, ...filter } = call.query;
    const times = { since: parseNanoseconds(since, "invalid"), until: parseNanoseconds(until, "invalid") };
    const lines = engine.audit.lines(
      { ...filter, ...times },
      { tail: tail === undefined ? undefined : Number(tail), follow: truthy(follow) },
      clientGone(call.reply),
    );
    sendStream(call.reply, JSON_LINES, Readable.from(lines, { objectMode: false }), (error) =>
      call.request.log.error({ err: error }, "reading the audit record"),
    );
  });

  route(app, "GET", "/tsd/audit/export", { permission: "audit:read" }, ({ request, reply }) =>
    sendStream(reply, JSON_LINES, Readable.from(engine.audit.export(), { objectMode: false }), (error) =>
      request.log.error({ err: error }, "exporting the audit record"),
    ),
  );

  route(app, "GET", "/tsd/audit/key", { permission: "audit:read" }, () => ({
    PublicKey: engine.audit.publicKey.pem,
    Fingerprint: engine.audit.publicKey.fingerprint,
  }));
};
