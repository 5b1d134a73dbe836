// Routes: the volumes there are, to be looked at; making them is still to come (not-built.ts).
import type { FastifyPluginAsync } from "fastify";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";

export const volumeRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { volumes } = engine;
  route(app, "GET", "/volumes", { permission: "volume:list" }, async ({ caller }) => ({
    Volumes: await volumes.list(caller),
    Warnings: null,
  }));
  route(app, "GET", "/volumes/:name", { permission: "volume:inspect" }, ({ reference, caller }) =>
    volumes.inspect(reference, caller),
  );
};
