// Routes: who may talk to whom within a network (ours alone).
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import {
  type PolicyRequest,
  type PolicyTest,
  policySchema,
  policyTestSchema,
} from "../../api/schemas/policy.ts";
import type { Caller } from "../../engine/access/caller.ts";
import type { Network } from "../../engine/networks/network.ts";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";
import { body, query, truthy } from "../validation.ts";

const applyQuery = query(z.object({ dryrun: z.string().optional() }));
const applyBody = body<PolicyRequest>(policySchema);
const testBody = body<PolicyTest>(policyTestSchema);

export const policyRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { policies, networks, containers } = engine;
  const target = ({ reference, caller }: { reference: string; caller: Caller }): Network =>
    networks.find(reference, caller);

  route(app, "GET", "/tsd/policies", { permission: "policy:inspect" }, ({ caller }) => policies.list(caller));
  route(app, "GET", "/tsd/policies/:network", { permission: "policy:inspect", target }, (call) =>
    policies.view(call.target),
  );
  route(
    app,
    "PUT",
    "/tsd/policies/:network",
    {
      permission: "policy:apply",
      target,
      query: applyQuery,
      body: applyBody,
      asked: ({ body: { Default, Rules } }) => ({ Default, Rules }),
    },
    ({ target: network, body: request, query: { dryrun } }) => {
      const { removed, added } = policies.apply(network, request, truthy(dryrun));
      return { Removed: removed, Added: added };
    },
  );
  route(
    app,
    "DELETE",
    "/tsd/policies/:network",
    { permission: "policy:remove", target },
    ({ target: network, reply }) => {
      policies.remove(network);
      return reply.code(204).send();
    },
  );
  route(
    app,
    "POST",
    "/tsd/policies/:network/test",
    { permission: "policy:inspect", target, body: testBody },
    ({ target: network, body: { From, To, Traffic }, caller }) =>
      policies.test(network, containers.find(From, caller), containers.find(To, caller), Traffic),
  );
  route(
    app,
    "GET",
    "/tsd/policies/:network/graph",
    { permission: "policy:inspect", target },
    ({ target: network, caller }) => policies.graph(network, caller),
  );
};
