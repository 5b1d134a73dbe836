// Routes: what is ours alone about containers: their place in the control groups, and what they used in the last minutes.
import type { FastifyPluginAsync } from "fastify";
import { INTERVAL_SECONDS } from "../../engine/containers/stats-history.ts";
import type { Engine } from "../engine.ts";
import { containerTarget, route } from "../route.ts";

export const tsdContainerRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const target = containerTarget(engine);
  route(app, "GET", "/tsd/containers/:id/cgroup", { permission: "container:inspect", target }, (call) =>
    engine.operations.cgroup(call.target),
  );
  route(
    app,
    "GET",
    "/tsd/containers/:id/stats/history",
    { permission: "container:stats", target },
    (call) => ({
      Interval: INTERVAL_SECONDS,
      Samples: engine.statsHistory.of(call.target),
    }),
  );
};
