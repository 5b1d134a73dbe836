// Errors to answers: one table of kinds and statuses, one shape of body.
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { EngineError, type ErrorKind } from "../engine/errors.ts";
import { noteMessage } from "./audit.ts";

const statuses: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  "not-found": 404,
  conflict: 409,
  "not-modified": 304,
  unauthorized: 401,
  forbidden: 403,
  "not-implemented": 501,
  unavailable: 503,
  system: 500,
};

/** The status and message that a client gets for an error. */
export function errorAnswer(error: Error): { status: number; message: string } {
  if (error instanceof EngineError) return { status: statuses[error.kind], message: error.message };
  const { statusCode } = error as FastifyError;
  if (statusCode && statusCode < 500) return { status: statusCode, message: error.message };
  return { status: 500, message: error.message || "internal error" };
}

/** Whether a request has ended only because its client went away: nobody failed then. */
const wasLeft = (error: Error, { raw }: FastifyRequest): boolean =>
  raw.socket.destroyed &&
  ((error as NodeJS.ErrnoException).code === "ECONNRESET" || error.name === "AbortError");

export function handleError(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const { status, message } = errorAnswer(error);
  noteMessage(request, message);
  if (status >= 500 && !(error instanceof EngineError) && !wasLeft(error, request))
    request.log.error({ err: error }, "request failed");
  if (status === 304) void reply.code(304).send();
  else void reply.code(status).send({ message });
}
