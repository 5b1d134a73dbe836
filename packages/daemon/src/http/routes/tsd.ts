// Routes: what is ours alone, below /tsd.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import type { Engine } from "../engine.ts";
import { check, truthy } from "../validation.ts";

const shutdownQuery = z.object({ "stop-containers": z.string().optional() });

export const tsdRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  app.post("/tsd/shutdown", async (request, reply) => {
    const query = check(shutdownQuery, request.query, "query");
    await engine.shutdown({ stopContainers: truthy(query["stop-containers"]) });
    return reply.code(204).send();
  });
};
