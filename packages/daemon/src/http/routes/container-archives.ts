// Routes: files into and out of containers: archive, export, commit.
import { Readable } from "node:stream";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { configSchema } from "../../api/schemas/container-create.ts";
import type { PathStat } from "../../engine/containers/archives.ts";
import { invalid, notImplemented } from "../../engine/errors.ts";
import type { Engine } from "../engine.ts";
import { containerTarget, route } from "../route.ts";
import { sendArchive } from "../send-archive.ts";
import { check, truthy } from "../validation.ts";

const text = z.string().optional();
const archiveSchema = z.object({ path: text, noOverwriteDirNonDir: text, copyUIDGID: text });
const commitSchema = z.object({
  container: text,
  repo: text,
  tag: text,
  comment: text,
  author: text,
  pause: text,
  changes: z.union([z.string(), z.array(z.string())]).optional(),
});

const STAT_HEADER = "X-Docker-Container-Path-Stat";
const encodeStat = (stat: PathStat): string => Buffer.from(JSON.stringify(stat)).toString("base64");

function archiveQuery(value: unknown): z.output<typeof archiveSchema> & { path: string } {
  const checked = check(archiveSchema, value, "query");
  if (!checked.path) throw invalid("bad parameter: path cannot be empty");
  if (checked.path.includes("\0")) throw invalid("bad parameter: path cannot contain a NUL");
  return { ...checked, path: checked.path };
}

function commitQuery(value: unknown): z.output<typeof commitSchema> & { container: string } {
  const checked = check(commitSchema, value, "query");
  if (!checked.container) throw invalid("bad parameter: container cannot be empty");
  return { ...checked, container: checked.container };
}

export const containerArchiveRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { archives, containers } = engine;
  const target = containerTarget(engine);
  const asked = (call: { query: { path: string } }): { Path: string } => ({ Path: call.query.path });
  const url = "/containers/:id/archive";

  route(
    app,
    "HEAD",
    url,
    { permission: "container:copy-out", query: archiveQuery, target, asked },
    async ({ target: container, reference, query: { path }, reply }) => {
      const stat = await archives.stat(container, reference, path);
      return reply.header(STAT_HEADER, encodeStat(stat)).code(200).send();
    },
  );

  route(
    app,
    "GET",
    url,
    { permission: "container:copy-out", query: archiveQuery, target, asked },
    async ({ target: container, reference, query: { path }, reply }) => {
      await archives.copyOut(container, reference, path, (stat, archive) =>
        sendArchive(reply, archive, { [STAT_HEADER]: encodeStat(stat) }),
      );
      return reply;
    },
  );

  route(
    app,
    "PUT",
    url,
    { permission: "container:copy-in", query: archiveQuery, target, asked, rawBody: true },
    async ({ target: container, reference, query, request, reply }) => {
      const body = (request.body as Readable | undefined) ?? Readable.from([]);
      await archives.copyIn(container, reference, query.path, body, {
        sameKind: truthy(query.noOverwriteDirNonDir),
        userOwned: truthy(query.copyUIDGID),
      });
      return reply.code(200).send();
    },
  );

  route(
    app,
    "GET",
    "/containers/:id/export",
    { permission: "container:export", target },
    async ({ target: container, reply }) => {
      await archives.export(container, (archive) => sendArchive(reply, archive, {}));
      return reply;
    },
  );

  route(
    app,
    "POST",
    "/commit",
    {
      permission: "container:commit",
      query: commitQuery,
      body: (value) => (value ? check(configSchema.partial(), value, "body") : {}),
      target: ({ query: { container }, caller }) => containers.find(container, caller),
      asked: ({ query: { container, repo, tag } }) => ({
        Container: container,
        Repository: repo ?? "",
        Tag: tag ?? "",
      }),
    },
    async ({ target: container, query, body: config, caller, reply }) => {
      const options = {
        reference: query.repo ? `${query.repo}${query.tag ? `:${query.tag}` : ""}` : undefined,
        comment: query.comment ?? "",
        author: query.author ?? "",
        pause: query.pause === undefined || truthy(query.pause),
        changes: query.changes === undefined ? [] : [query.changes].flat(),
        config,
      };
      return reply.code(201).send({ Id: await engine.commits.commit(container, options, caller) });
    },
  );

  for (const [method, path] of [
    ["GET", "/containers/:id/checkpoints"],
    ["POST", "/containers/:id/checkpoints"],
    ["DELETE", "/containers/:id/checkpoints/:checkpoint"],
  ] as const)
    route(app, method, path, { permission: "container:checkpoint", target, rawBody: true }, () => {
      throw notImplemented("not implemented: checkpoints");
    });
};
