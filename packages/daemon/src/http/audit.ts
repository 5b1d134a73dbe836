// Writes down every request that changes something, or that was refused: once, before its answer goes out. Answers that the
// framework sends are written down as they go out (app.ts), streams when they begin (stream.ts, hijack.ts).
import type { FastifyRequest } from "fastify";
import { isChange } from "../engine/access/permissions.ts";
import type { AuditLog } from "../engine/audit/log.ts";

const written = new WeakSet<FastifyRequest>();
/** What refused or failed requests were told, for their records. */
const messages = new WeakMap<FastifyRequest, string>();

const REFUSED = new Set([401, 403]);

export const noteMessage = (request: FastifyRequest, message: string): void => {
  messages.set(request, message);
};

/** Writes a request down, with the status it is answered with, unless that was done or need not be. */
export function recordRequest(audit: AuditLog, request: FastifyRequest, status: number): void {
  const { permission } = request.routeOptions.config;
  if (!permission || written.has(request)) return;
  const refused = REFUSED.has(status);
  if (!isChange(permission) && !refused) return;
  written.add(request);
  const { caller, trace } = request;
  audit.append({
    caller: caller.id,
    role: caller.role?.name ?? "",
    from: caller.from,
    action: permission,
    method: request.method,
    path: request.routeOptions.url ?? "",
    object: trace.object,
    asked: trace.asked,
    status,
    result: refused ? "refused" : status >= 400 ? "failed" : "ok",
    message: messages.get(request) ?? "",
    duration: Math.round(performance.now() - trace.began),
  });
}

declare module "fastify" {
  interface FastifyInstance {
    /** Writes a request down with the status of its answer. */
    record: (request: FastifyRequest, status: number) => void;
  }
}
