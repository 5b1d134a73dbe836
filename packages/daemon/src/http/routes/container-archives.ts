// Routes: files into and out of containers: archive, export, commit.
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyPluginAsync, FastifyReply } from "fastify";
import { z } from "zod";
import { configSchema } from "../../api/schemas/container-create.ts";
import type { PathStat } from "../../engine/containers/archives.ts";
import { invalid, notImplemented } from "../../engine/errors.ts";
import type { Engine } from "../engine.ts";
import { check, truthy } from "../validation.ts";

const text = z.string().optional();
const archiveQuery = z.object({ path: text, noOverwriteDirNonDir: text, copyUIDGID: text });
const commitQuery = z.object({
  container: text,
  repo: text,
  tag: text,
  comment: text,
  author: text,
  pause: text,
  changes: z.union([z.string(), z.array(z.string())]).optional(),
});

interface ById {
  Params: { id: string };
}

const STAT_HEADER = "X-Docker-Container-Path-Stat";
const encodeStat = (stat: PathStat): string => Buffer.from(JSON.stringify(stat)).toString("base64");

/** Sends an archive as it comes; the headers go out with its first bytes, so that what fails before is an error. */
async function sendArchive(
  reply: FastifyReply,
  archive: Readable,
  headers: Record<string, string>,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    archive.once("readable", resolve).once("end", resolve).once("error", reject);
  });
  reply.type("application/x-tar");
  reply.raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), ...headers });
  reply.hijack();
  // A client that goes away is its own business; an archive that breaks off ends the connection, so that it shows.
  await pipeline(archive, reply.raw).catch(() => reply.raw.destroy());
}

export const containerArchiveRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { archives } = engine;

  const pathOf = (query: unknown): z.output<typeof archiveQuery> & { path: string } => {
    const checked = check(archiveQuery, query, "query");
    if (!checked.path) throw invalid("bad parameter: path cannot be empty");
    return { ...checked, path: checked.path };
  };

  app.head<ById>("/containers/:id/archive", async (request, reply) => {
    const stat = await archives.stat(request.params.id, pathOf(request.query).path);
    return reply.header(STAT_HEADER, encodeStat(stat)).code(200).send();
  });

  app.get<ById>("/containers/:id/archive", async (request, reply) => {
    await archives.copyOut(request.params.id, pathOf(request.query).path, (stat, archive) =>
      sendArchive(reply, archive, { [STAT_HEADER]: encodeStat(stat) }),
    );
    return reply;
  });

  app.put<ById>("/containers/:id/archive", { config: { rawBody: true } }, async (request, reply) => {
    const { path, noOverwriteDirNonDir, copyUIDGID } = pathOf(request.query);
    const body = (request.body as Readable | undefined) ?? Readable.from([]);
    await archives.copyIn(request.params.id, path, body, {
      sameKind: truthy(noOverwriteDirNonDir),
      userOwned: truthy(copyUIDGID),
    });
    return reply.code(200).send();
  });

  app.get<ById>("/containers/:id/export", async (request, reply) => {
    await archives.export(request.params.id, (archive) => sendArchive(reply, archive, {}));
    return reply;
  });

  app.post("/commit", async (request, reply) => {
    const query = check(commitQuery, request.query, "query");
    if (!query.container) throw invalid("bad parameter: container cannot be empty");
    const id = await engine.commits.commit(query.container, {
      reference: query.repo ? `${query.repo}${query.tag ? `:${query.tag}` : ""}` : undefined,
      comment: query.comment ?? "",
      author: query.author ?? "",
      pause: query.pause === undefined || truthy(query.pause),
      changes: query.changes === undefined ? [] : [query.changes].flat(),
      config: request.body ? check(configSchema.partial(), request.body, "body") : {},
    });
    return reply.code(201).send({ Id: id });
  });

  for (const [method, url] of [
    ["GET", "/containers/:id/checkpoints"],
    ["POST", "/containers/:id/checkpoints"],
    ["DELETE", "/containers/:id/checkpoints/:checkpoint"],
  ] as const)
    app.route<ById>({
      method,
      url,
      handler: async (request) => {
        engine.containers.find(request.params.id);
        throw notImplemented("not implemented: checkpoints");
      },
    });
};
