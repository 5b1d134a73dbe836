// Routes: looking into containers and changing them: top, stats, changes, rename, update, pause, prune.
import { Readable } from "node:stream";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { containerUpdateSchema } from "../../api/schemas/container-create.ts";
import { parseFilters } from "../../engine/containers/list.ts";
import { invalid } from "../../engine/errors.ts";
import type { Engine } from "../engine.ts";
import { check, truthy } from "../validation.ts";

const text = z.string().optional();
const topQuery = z.object({ ps_args: text });
const statsQuery = z.object({ stream: text, "one-shot": text });
const renameQuery = z.object({ name: text });
const pruneQuery = z.object({ filters: text });

interface ById {
  Params: { id: string };
}

export const containerOperationRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { operations, archives } = engine;

  app.get<ById>("/containers/:id/top", async (request) => {
    const { ps_args } = check(topQuery, request.query, "query");
    return operations.top(request.params.id, ps_args ?? "");
  });

  app.get<ById>("/containers/:id/changes", async (request, reply) => {
    const changes = await archives.changes(request.params.id);
    // "null" is what Docker's clients get for nothing.
    return reply.type("application/json").send(JSON.stringify(changes));
  });

  app.get<ById>("/containers/:id/stats", async (request, reply) => {
    const query = check(statsQuery, request.query, "query");
    const { id } = request.params;
    const oneShot = truthy(query["one-shot"]);
    const streaming = query.stream === undefined || truthy(query.stream);
    if (oneShot && streaming && query.stream !== undefined)
      throw invalid("cannot have stream=true and one-shot=true");
    if (!streaming || oneShot) return operations.stats(id, oneShot);
    const gone = new AbortController();
    const lines = operations.streamStats(id, gone.signal);
    reply.raw.on("close", () => gone.abort());
    reply.type("application/json");
    reply.raw.writeHead(200, reply.getHeaders() as Record<string, string>);
    reply.raw.flushHeaders();
    reply.hijack();
    Readable.from(lines, { objectMode: false })
      .on("error", (error) => {
        request.log.error({ err: error }, "reading statistics");
        reply.raw.destroy();
      })
      .pipe(reply.raw);
    return reply;
  });

  app.post<ById>("/containers/:id/rename", async (request, reply) => {
    operations.rename(request.params.id, check(renameQuery, request.query, "query").name);
    return reply.code(204).send();
  });

  app.post<ById>("/containers/:id/update", async (request) =>
    operations.update(request.params.id, check(containerUpdateSchema, request.body ?? {}, "body")),
  );

  app.post<ById>("/containers/:id/pause", async (request, reply) => {
    await operations.pause(request.params.id);
    return reply.code(204).send();
  });

  app.post<ById>("/containers/:id/unpause", async (request, reply) => {
    await operations.unpause(request.params.id);
    return reply.code(204).send();
  });

  app.post("/containers/prune", async (request) => {
    const { filters } = check(pruneQuery, request.query, "query");
    const answer = await operations.prune(
      parseFilters(filters, ["label", "label!", "until"]),
      async (container) => (await archives.sizes(container, 0)).SizeRw,
    );
    engine.events.publish({
      Type: "container",
      Action: "prune",
      Actor: { ID: "", Attributes: { reclaimed: String(answer.SpaceReclaimed) } },
    });
    return answer;
  });
};
