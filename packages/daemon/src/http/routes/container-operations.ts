// Routes: looking into containers and changing them: top, stats, changes, rename, update, pause, prune.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { containerUpdateSchema } from "../../api/schemas/container-create.ts";
import { parseFilters } from "../../engine/containers/list.ts";
import { invalid } from "../../engine/errors.ts";
import type { Engine } from "../engine.ts";
import { updateBy } from "../older-versions.ts";
import { containerTarget, route } from "../route.ts";
import { beginStream } from "../stream.ts";
import { body, query, truthy } from "../validation.ts";

const text = z.string().optional();
const topQuery = query(z.object({ ps_args: text }));
const statsQuery = query(z.object({ stream: text, "one-shot": text }));
const renameQuery = query(z.object({ name: text }));
const updateBody = body(containerUpdateSchema);
const pruneQuery = query(z.object({ filters: text }));

export const containerOperationRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { operations, archives } = engine;
  const target = containerTarget(engine);

  route(app, "GET", "/containers/:id/top", { permission: "container:top", query: topQuery, target }, (call) =>
    operations.top(call.target, call.query.ps_args ?? ""),
  );

  route(
    app,
    "GET",
    "/containers/:id/changes",
    { permission: "container:changes", target },
    async ({ target: container, reply }) =>
      // "null" is what Docker's clients get for nothing.
      reply.type("application/json").send(JSON.stringify(await archives.changes(container))),
  );

  route(
    app,
    "GET",
    "/containers/:id/stats",
    { permission: "container:stats", query: statsQuery, target },
    async ({ target: container, query: asked, request, reply }) => {
      const oneShot = truthy(asked["one-shot"]);
      const streaming = asked.stream === undefined || truthy(asked.stream);
      if (oneShot && streaming && asked.stream !== undefined)
        throw invalid("cannot have stream=true and one-shot=true");
      if (!streaming || oneShot) {
        const text = await operations.stats(container, oneShot);
        return reply.type("application/json").send(text);
      }
      const raw = beginStream(reply, "application/json");
      operations.streamStats(container, raw, (error) => {
        request.log.error({ err: error }, "reading statistics");
        raw.destroy();
      });
      return reply;
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/rename",
    {
      permission: "container:rename",
      query: renameQuery,
      target,
      asked: (call) => ({ Name: call.query.name ?? "" }),
    },
    ({ target: container, query: { name }, caller, reply }) => {
      operations.rename(container, name, caller);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/update",
    { permission: "container:update", body: updateBody, target, asked: (call) => given(call.body) },
    (call) => operations.update(call.target, updateBy(call.request.raw, call.body), call.caller),
  );

  route(
    app,
    "POST",
    "/containers/:id/pause",
    { permission: "container:pause", target },
    async ({ target: container, reply }) => {
      await operations.pause(container);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/unpause",
    { permission: "container:pause", target },
    async ({ target: container, reply }) => {
      await operations.unpause(container);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/prune",
    { permission: "container:prune", query: pruneQuery },
    async ({ query: { filters }, caller }) => {
      const answer = await operations.prune(
        parseFilters(filters, ["label", "label!", "until"]),
        caller,
        async (container) => (await archives.sizes(container, 0)).SizeRw,
      );
      engine.events.publish({
        Type: "container",
        Action: "prune",
        Actor: { ID: "", Attributes: { reclaimed: String(answer.SpaceReclaimed) } },
        owner: caller.id,
      });
      return answer;
    },
  );
};

/** What an update sets, without what it leaves alone. */
const given = (update: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(update).filter(
      ([, value]) => value !== 0 && value !== "" && value !== null && value !== undefined,
    ),
  );
