// Routes: networks, and who is in them.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import {
  type NetworkCreate,
  networkConnectSchema,
  networkCreateSchema,
  networkDisconnectSchema,
} from "../../api/schemas/network.ts";
import type { Caller } from "../../engine/access/caller.ts";
import { parseFilters } from "../../engine/containers/list.ts";
import { invalid } from "../../engine/errors.ts";
import { networkFilters, prunable, pruneFilters, selectNetworks } from "../../engine/networks/filters.ts";
import type { Network } from "../../engine/networks/network.ts";
import { networkView } from "../../engine/networks/view.ts";
import type { Engine } from "../engine.ts";
import { listsMembers } from "../older-versions.ts";
import { route } from "../route.ts";
import { body, query, truthy } from "../validation.ts";

const text = z.string().optional();
const listQuery = query(z.object({ filters: text }));
const createBody = body<NetworkCreate>(networkCreateSchema);
const connectBody = body<z.output<typeof networkConnectSchema>>(networkConnectSchema);
const disconnectBody = body<z.output<typeof networkDisconnectSchema>>(networkDisconnectSchema);
const inspectQuery = query(z.object({ verbose: text, scope: text }));

export const networkRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { networks, networkConnections, containers } = engine;
  const target = ({ reference, caller }: { reference: string; caller: Caller }): Network =>
    networks.find(reference, caller);
  const member = (reference: string, caller: Caller): ReturnType<typeof containers.find> => {
    if (!reference) throw invalid('invalid name or ID supplied: ""');
    return containers.find(reference, caller);
  };

  route(
    app,
    "GET",
    "/networks",
    { permission: "network:list", query: listQuery },
    ({ query: { filters }, caller, request }) => {
      const members = listsMembers(request.raw) ? containers.registry : undefined;
      return selectNetworks(networks.seenBy(caller), parseFilters(filters, networkFilters)).map((network) =>
        networkView(network, members, caller),
      );
    },
  );

  route(
    app,
    "GET",
    "/networks/:id",
    { permission: "network:inspect", query: inspectQuery, target },
    ({ target: network, caller, query: { verbose, scope } }) => {
      if (scope && scope !== "local") return networks.find("", caller);
      const view = networkView(network, containers.registry, caller);
      return truthy(verbose) ? { ...view, Services: {} } : view;
    },
  );

  route(
    app,
    "POST",
    "/networks/create",
    {
      permission: "network:create",
      body: createBody,
      asked: ({ body: asked }) => ({
        Name: asked.Name,
        Driver: asked.Driver,
        Options: asked.Options,
        Subnets: asked.IPAM.Config.map(({ Subnet }) => Subnet),
      }),
    },
    async ({ body: asked, caller, request, reply }) => {
      const { id } = await networks.create(asked, caller);
      request.trace.object = `network/${id}`;
      return reply.code(201).send({ Id: id, Warning: "" });
    },
  );

  route(
    app,
    "DELETE",
    "/networks/:id",
    { permission: "network:remove", target },
    async ({ target: network, reply }) => {
      await networks.remove(network);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/networks/:id/connect",
    {
      permission: "network:connect",
      body: connectBody,
      target,
      asked: ({ body: { Container } }) => ({ Container }),
    },
    async ({ target: network, body: { Container, EndpointConfig }, caller, reply }) => {
      await networkConnections.connect(member(Container, caller), network, EndpointConfig);
      return reply.code(200).send();
    },
  );

  route(
    app,
    "POST",
    "/networks/:id/disconnect",
    {
      permission: "network:connect",
      body: disconnectBody,
      target,
      asked: ({ body: { Container } }) => ({ Container }),
    },
    async ({ target: network, body: { Container, Force }, caller, reply }) => {
      await networkConnections.disconnect(member(Container, caller), network, Force);
      return reply.code(200).send();
    },
  );

  route(
    app,
    "POST",
    "/networks/prune",
    { permission: "network:prune", query: listQuery },
    async ({ query: { filters }, caller }) => {
      const deleted: string[] = [];
      for (const network of prunable(networks.seenBy(caller), parseFilters(filters, pruneFilters))) {
        await networks.remove(network);
        deleted.push(network.name);
      }
      return { NetworksDeleted: deleted.length > 0 ? deleted : null };
    },
  );
};
