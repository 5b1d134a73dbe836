// Routes: ping, version, info, auth.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { versionView } from "../../engine/system/info.ts";
import type { Engine } from "../engine.ts";
import { imageFor, informationFor } from "../older-versions.ts";
import { credentialsSchema, withAuth } from "../registry-auth.ts";
import { route } from "../route.ts";
import { clientGone } from "../stream.ts";
import { body, query } from "../validation.ts";

const pingHeaders = {
  "Builder-Version": "1",
  Swarm: "inactive",
  "Cache-Control": "no-cache, no-store, must-revalidate",
  Pragma: "no-cache",
  "Content-Type": "text/plain; charset=utf-8",
};

const credentialsBody = body(credentialsSchema);
const usageQuery = query(
  z.object({ type: z.union([z.string(), z.array(z.string())]).optional(), verbose: z.string().optional() }),
);

export const systemRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  route(app, ["GET", "HEAD"], "/_ping", { permission: "system:ping" }, ({ request, reply }) => {
    reply.headers(pingHeaders).send(request.method === "HEAD" ? "" : "OK");
  });
  route(app, "GET", "/version", { permission: "system:version" }, () => versionView());
  route(app, "GET", "/info", { permission: "system:info" }, ({ caller, request }) =>
    informationFor(request.raw, engine.info(caller)),
  );
  route(
    app,
    "GET",
    "/system/df",
    { permission: "system:df", query: usageQuery },
    async ({ query: { type }, caller, request }) => {
      const usage = await engine.diskUsage(type === undefined ? [] : [type].flat(), caller);
      return { ...usage, Images: usage.Images?.map((image) => imageFor(request.raw, image)) ?? null };
    },
  );
  route(
    app,
    "POST",
    "/auth",
    {
      permission: "system:login",
      body: credentialsBody,
      asked: ({ body: { serveraddress, username } }) => ({
        Registry: serveraddress ?? "",
        User: username ?? "",
      }),
    },
    async ({ body: credentials, reply }) => {
      await engine.registries.login(
        credentials.serveraddress ?? "",
        withAuth(credentials),
        clientGone(reply),
      );
      return { IdentityToken: "", Status: "Login Succeeded" };
    },
  );
};
