// Routes: ping, version, info, auth.
import type { FastifyPluginAsync } from "fastify";
import { notImplemented } from "../../engine/errors.ts";
import { versionView } from "../../engine/system/info.ts";
import type { Engine } from "../engine.ts";

export const systemRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  app.route({
    method: ["GET", "HEAD"],
    url: "/_ping",
    handler: async (request, reply) => {
      reply
        .header("Builder-Version", "2")
        .header("Swarm", "inactive")
        .header("Cache-Control", "no-cache, no-store, must-revalidate")
        .header("Pragma", "no-cache")
        .type("text/plain; charset=utf-8");
      return reply.send(request.method === "HEAD" ? "" : "OK");
    },
  });
  app.get("/version", async () => versionView());
  app.get("/info", async () => engine.info());
  app.post("/auth", async () => {
    throw notImplemented("not implemented: registries (auth)");
  });
};
