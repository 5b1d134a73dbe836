// Endpoints of API v1.51 that are not built yet: refused by name, so that nobody mistakes them for missing.
import type { FastifyPluginAsync, HTTPMethods } from "fastify";
import type { Permission } from "../../engine/access/permissions.ts";
import { notImplemented } from "../../engine/errors.ts";
import { route } from "../route.ts";

const endpoints: readonly (readonly [HTTPMethods, string, Permission])[] = [
  ["GET", "/plugins", "plugin:list"],
  ["POST", "/session", "build:run"],
  ["POST", "/swarm/init", "swarm:change"],
  ["POST", "/swarm/join", "swarm:change"],
  ["GET", "/swarm", "swarm:inspect"],
  ["GET", "/nodes", "swarm:inspect"],
  ["GET", "/services", "swarm:inspect"],
  ["GET", "/tasks", "swarm:inspect"],
  ["GET", "/secrets", "swarm:inspect"],
  ["GET", "/configs", "swarm:inspect"],
];

export const notBuiltRoutes: FastifyPluginAsync = async (app) => {
  for (const [method, url, permission] of endpoints)
    route(app, method, url, { permission, rawBody: true }, () => {
      throw notImplemented(`not implemented: ${method} ${url}`);
    });
};
