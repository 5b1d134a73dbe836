// Routes: service chains, the containers that traffic between others goes through (ours alone).
import type { FastifyPluginAsync } from "fastify";
import { type ChainRequest, chainSchema } from "../../api/schemas/chain.ts";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";
import { body } from "../validation.ts";

const createBody = body<ChainRequest>(chainSchema);

export const chainRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine: { chains } }) => {
  route(app, "GET", "/tsd/chains", { permission: "chain:inspect" }, ({ caller }) => chains.list(caller));
  route(app, "GET", "/tsd/chains/:name", { permission: "chain:inspect" }, ({ reference, caller }) =>
    chains.view(reference, caller),
  );
  route(
    app,
    "POST",
    "/tsd/chains",
    {
      permission: "chain:create",
      body: createBody,
      asked: ({ body: { Name, Network, From, To, Via, Mode, OnFailure } }) => ({
        Name,
        Network,
        From,
        To,
        Via,
        Mode,
        OnFailure,
      }),
    },
    ({ body: request, caller, request: { trace }, reply }) => {
      const { name } = chains.create(request, caller);
      trace.object = `chain/${name}`;
      return reply.code(201).send(chains.view(name, caller));
    },
  );
  route(
    app,
    "DELETE",
    "/tsd/chains/:name",
    { permission: "chain:remove" },
    ({ reference, caller, reply }) => {
      chains.remove(reference, caller);
      return reply.code(204).send();
    },
  );
};
