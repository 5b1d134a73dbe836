// Routes: exec instances.
import type { FastifyPluginAsync } from "fastify";
import { execCreateSchema, execStartSchema } from "../../api/schemas/container-create.ts";
import { encodeLogLine } from "../../engine/containers/log-encoding.ts";
import type { Engine } from "../engine.ts";
import { openStream } from "../hijack.ts";
import { check } from "../validation.ts";
import { atLeast } from "../version-prefix.ts";
import { streamType } from "./container-streams.ts";
import { windowSize } from "./containers.ts";

interface ById {
  Params: { id: string };
}

export const execRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { execs } = engine;

  app.post<ById>("/containers/:id/exec", async (request, reply) => {
    const body = check(execCreateSchema, request.body ?? {}, "body");
    return reply.code(201).send({ Id: execs.create(request.params.id, body) });
  });

  app.post<ById>("/exec/:id/start", async (request, reply) => {
    const { id } = request.params;
    const body = check(execStartSchema, request.body, "body");
    const consoleSize = "ConsoleSize" in body ? (body.ConsoleSize ?? undefined) : undefined;
    const instance = execs.checkStartable(id);
    if (body.Detach) {
      await execs.start(id, { consoleSize });
      return reply.code(200).send();
    }
    const type = streamType(instance.record.request.Tty, atLeast(request.raw, 42));
    const client = openStream(request, reply, type);
    await execs.start(id, { consoleSize, client }).catch((error: Error) => {
      // The stream has begun, so the reason goes there, and the exit code tells the rest.
      const line = { log: `${error.message}\r\n`, stream: "stdout", time: "" } as const;
      client.end(encodeLogLine(line, { timestamps: false, terminal: instance.record.request.Tty }));
    });
    return reply;
  });

  app.post<ById>("/exec/:id/resize", async (request, reply) => {
    const { columns, rows } = windowSize(request.query);
    await execs.resize(request.params.id, columns, rows);
    return reply.code(200).send();
  });

  app.get<ById>("/exec/:id/json", async (request) => execs.inspect(request.params.id));
};
