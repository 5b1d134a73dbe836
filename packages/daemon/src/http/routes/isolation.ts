// Routes: how containers are isolated (ours alone): explained, verified, and by which namespaces.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { ociText } from "../../api/oci-config.ts";
import { reaching } from "../../engine/access/create-limits.ts";
import type { Engine } from "../engine.ts";
import { containerTarget, route } from "../route.ts";
import { query } from "../validation.ts";
import { createBody } from "./containers.ts";

const explainQuery = query(z.object({ name: z.string().optional(), platform: z.string().optional() }));

export const isolationRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const target = containerTarget(engine);

  route(
    app,
    "GET",
    "/tsd/containers/:id/verify",
    { permission: "container:verify", target },
    async (call) => {
      const [result] = await engine.isolation.verifier.verify([call.target]);
      return result;
    },
  );
  route(
    app,
    "GET",
    "/tsd/containers/:id/namespaces",
    { permission: "container:inspect", target },
    ({ caller, target: container }) => engine.isolation.namespaces.report(caller, container),
  );
  route(app, "GET", "/tsd/namespaces", { permission: "container:inspect" }, ({ caller }) =>
    engine.isolation.namespaces.report(caller),
  );
  route(app, "GET", "/tsd/audit-config", { permission: "system:audit-config" }, () =>
    engine.isolation.auditor.audit(),
  );
  route(app, "GET", "/tsd/verify", { permission: "container:verify" }, ({ caller }) =>
    engine.isolation.verifier.verify(engine.containers.registry.seenBy(caller).filter(({ alive }) => alive)),
  );

  route(app, "GET", "/tsd/containers/:id/explain", { permission: "container:explain", target }, (call) =>
    engine.isolation.explanations.ofContainer(call.target),
  );
  route(
    app,
    "POST",
    "/tsd/explain",
    {
      permission: "container:explain",
      query: explainQuery,
      body: createBody,
      asked: ({ body }) => ({ Image: body.Image, ...reaching(body) }),
    },
    ({ body, query: { name }, caller }) => engine.isolation.explanations.ofRequest(body, name, caller),
  );

  route(app, "GET", "/tsd/containers/:id/spec", { permission: "container:explain", target }, (call) =>
    call.reply.type("application/json").send(ociText(engine.isolation.bundles.ofContainer(call.target))),
  );
  route(
    app,
    "POST",
    "/tsd/spec",
    {
      permission: "container:explain",
      query: explainQuery,
      body: createBody,
      asked: ({ body }) => ({ Image: body.Image, ...reaching(body) }),
    },
    async ({ body, query: { name }, caller, reply }) =>
      reply
        .type("application/json")
        .send(ociText(await engine.isolation.bundles.ofRequest(body, name, caller))),
  );
};
