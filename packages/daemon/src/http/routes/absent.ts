// What this engine is no part of, or does not have: swarms and plugins, answered as an engine answers that is in no swarm and
// has no plugins; and what is not built, refused by name, so that nobody mistakes it for missing.
import type { FastifyPluginAsync, HTTPMethods } from "fastify";
import type { Permission } from "../../engine/access/permissions.ts";
import { EngineError, notFound, notImplemented } from "../../engine/errors.ts";
import { route } from "../route.ts";

const inNoSwarm = (): EngineError =>
  new EngineError(
    "unavailable",
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  );
const noPart = (): EngineError => new EngineError("unavailable", "This node is not part of a swarm");

type Row = readonly [method: HTTPMethods, url: string, permission: Permission];

/** What a manager of a swarm has of each kind, and does with one. */
const managed = (kind: string, ...verbs: readonly string[]): Row[] => [
  ["GET", `/${kind}`, "swarm:inspect"],
  ["GET", `/${kind}/:id`, "swarm:inspect"],
  ["DELETE", `/${kind}/:id`, "swarm:change"],
  ...verbs.map((verb): Row => ["POST", `/${kind}/${verb}`, "swarm:change"]),
];

const managers: readonly Row[] = [
  ["GET", "/swarm", "swarm:inspect"],
  ["GET", "/swarm/unlockkey", "swarm:change"],
  ["POST", "/swarm/unlock", "swarm:change"],
  ["POST", "/swarm/update", "swarm:change"],
  ...managed("nodes", ":id/update"),
  ...managed("services", "create", ":id/update"),
  ["GET", "/services/:id/logs", "swarm:inspect"],
  ["GET", "/tasks", "swarm:inspect"],
  ["GET", "/tasks/:id", "swarm:inspect"],
  ["GET", "/tasks/:id/logs", "swarm:inspect"],
  ...managed("secrets", "create", ":id/update"),
  ...managed("configs", "create", ":id/update"),
];

const notBuilt: readonly Row[] = [
  ["POST", "/session", "build:run"],
  ["POST", "/swarm/init", "swarm:change"],
  ["POST", "/swarm/join", "swarm:change"],
  ["GET", "/plugins/privileges", "plugin:list"],
  ["POST", "/plugins/pull", "plugin:change"],
  ["POST", "/plugins/create", "plugin:change"],
];

/** What can be done with a plugin, of which there are none. */
const plugins: readonly Row[] = [
  ["GET", "/plugins/:name/json", "plugin:list"],
  ["DELETE", "/plugins/:name", "plugin:change"],
  ...["enable", "disable", "upgrade", "push", "set"].map(
    (verb): Row => ["POST", `/plugins/:name/${verb}`, "plugin:change"],
  ),
];

export const absentRoutes: FastifyPluginAsync = async (app) => {
  for (const [method, url, permission] of managers)
    route(app, method, url, { permission, rawBody: true }, () => {
      throw inNoSwarm();
    });
  route(app, "POST", "/swarm/leave", { permission: "swarm:change", rawBody: true }, () => {
    throw noPart();
  });
  route(app, "GET", "/plugins", { permission: "plugin:list" }, () => []);
  for (const [method, url, permission] of plugins)
    route(app, method, url, { permission, rawBody: true }, ({ reference }) => {
      throw notFound(`plugin ${JSON.stringify(reference)} not found`);
    });
  for (const [method, url, permission] of notBuilt)
    route(app, method, url, { permission, rawBody: true }, () => {
      throw notImplemented(`not implemented: ${method} ${url}`);
    });
};
