// Routes: what is ours alone about containers: their place in the control groups, what they used in the last minutes, and
// the ports of those that run.
import type { FastifyPluginAsync } from "fastify";
import type { z } from "zod";
import { portChangeSchema } from "../../api/schemas/network.ts";
import { INTERVAL_SECONDS } from "../../engine/containers/stats-history.ts";
import { type PortRequest, requestedPorts } from "../../engine/networks/ports.ts";
import { portsView } from "../../engine/networks/view.ts";
import type { Engine } from "../engine.ts";
import { containerTarget, route } from "../route.ts";
import { body } from "../validation.ts";

const portsBody = body<z.output<typeof portChangeSchema>>(portChangeSchema);

export const tsdContainerRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const target = containerTarget(engine);
  route(app, "GET", "/tsd/containers/:id/cgroup", { permission: "container:inspect", target }, (call) =>
    engine.operations.cgroup(call.target),
  );
  route(
    app,
    "GET",
    "/tsd/containers/:id/seccomp-trace",
    { permission: "container:inspect", target },
    (call) => engine.operations.seccompTrace(call.target),
  );
  route(app, "GET", "/tsd/containers/:id/shape", { permission: "container:inspect", target }, (call) =>
    engine.operations.shape(call.target),
  );
  route(
    app,
    "POST",
    "/tsd/containers/:id/ports",
    {
      permission: "container:update",
      target,
      body: portsBody,
      asked: ({ body: { Add, Remove } }) => ({ Add, Remove }),
    },
    async ({ target: container, body: { Add, Remove } }) => {
      const requests = (PortBindings: typeof Add): PortRequest[] =>
        requestedPorts({ PortBindings, PublishAllPorts: false }, null);
      await engine.networkConnections.publish(container, requests(Add), requests(Remove));
      return portsView(container);
    },
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
