// Routes: exec instances.
import type { FastifyPluginAsync } from "fastify";
import { execCreateSchema, execStartSchema } from "../../api/schemas/container-create.ts";
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
    const type = streamType(instance.request.Tty, atLeast(request.raw, 42));
    let opened: ReturnType<typeof openStream> | undefined;
    try {
      await execs.start(id, {
        consoleSize,
        open: () => {
          opened = openStream(request, reply, type);
          return opened;
        },
      });
    } catch (error) {
      if (!opened) throw error;
      // The stream has begun: Docker tells the reason in it.
      opened.end(`${(error as Error).message}\r\n`);
    }
    return reply;
  });

  app.post<ById>("/exec/:id/resize", async (request, reply) => {
    const { columns, rows } = windowSize(request.query);
    execs.resize(request.params.id, columns, rows);
    return reply.code(200).send();
  });

  app.get<ById>("/exec/:id/json", async (request) => execs.inspect(request.params.id));
};
