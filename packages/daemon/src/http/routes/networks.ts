// Routes: the networks and volumes there are, to be looked at; making them is still to come (not-built.ts).
import type { FastifyPluginAsync } from "fastify";
import { inspectNetwork, listNetworks } from "../../engine/networks/view.ts";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";

export const networkRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { network, containers, volumes } = engine;
  route(app, "GET", "/networks", { permission: "network:list" }, () => listNetworks(network.info));
  route(app, "GET", "/networks/:id", { permission: "network:inspect" }, ({ reference, caller }) =>
    inspectNetwork(network.info, reference, containers.registry.seenBy(caller)),
  );
  route(app, "GET", "/volumes", { permission: "volume:list" }, async ({ caller }) => ({
    Volumes: await volumes.list(caller),
    Warnings: null,
  }));
  route(app, "GET", "/volumes/:name", { permission: "volume:inspect" }, ({ reference, caller }) =>
    volumes.inspect(reference, caller),
  );
};
