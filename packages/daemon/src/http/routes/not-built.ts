// Endpoints of API v1.51 that are not built yet: refused by name, so that nobody mistakes them for missing.
import type { FastifyPluginAsync, HTTPMethods } from "fastify";
import { notImplemented } from "../../engine/errors.ts";

const endpoints: readonly (readonly [HTTPMethods, string])[] = [
  ["POST", "/build"],
  ["POST", "/build/prune"],
  ["GET", "/images/search"],
  ["GET", "/images/get"],
  ["POST", "/images/prune"],
  ["GET", "/system/df"],
  ["POST", "/volumes/create"],
  ["PUT", "/volumes/:name"],
  ["DELETE", "/volumes/:name"],
  ["POST", "/volumes/prune"],
  ["DELETE", "/networks/:id"],
  ["POST", "/networks/create"],
  ["POST", "/networks/:id/connect"],
  ["POST", "/networks/:id/disconnect"],
  ["POST", "/networks/prune"],
  ["GET", "/distribution/*"],
  ["GET", "/plugins"],
  ["POST", "/session"],
  ["POST", "/swarm/init"],
  ["POST", "/swarm/join"],
  ["GET", "/swarm"],
  ["GET", "/nodes"],
  ["GET", "/services"],
  ["GET", "/tasks"],
  ["GET", "/secrets"],
  ["GET", "/configs"],
];

export const notBuiltRoutes: FastifyPluginAsync = async (app) => {
  for (const [method, url] of endpoints)
    app.route({
      method,
      url,
      handler: async () => {
        throw notImplemented(`not implemented: ${method} ${url}`);
      },
    });
};
