// Routes: the networks and volumes there are, to be looked at; making them is still to come (not-built.ts).
import type { FastifyPluginAsync } from "fastify";
import { inspectNetwork, listNetworks } from "../../engine/networks/view.ts";
import type { Engine } from "../engine.ts";

export const networkRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { network, containers, volumes } = engine;
  app.get("/networks", async () => listNetworks(network.info));
  app.get<{ Params: { id: string } }>("/networks/:id", async (request) =>
    inspectNetwork(network.info, request.params.id, containers.registry.all()),
  );
  app.get("/volumes", async () => ({ Volumes: await volumes.list(), Warnings: null }));
  app.get<{ Params: { name: string } }>("/volumes/:name", async (request) =>
    volumes.inspect(request.params.name),
  );
};
