// Routes: images. Names may contain slashes, so that what follows them is told apart here.
import { Readable } from "node:stream";
import type { FastifyPluginAsync, FastifyReply } from "fastify";
import { z } from "zod";
import { parseFilters } from "../../engine/containers/list.ts";
import { invalid, notImplemented } from "../../engine/errors.ts";
import { loadImages } from "../../engine/images/load.ts";
import { imageFilters, imageHistory, inspectImage, listImages } from "../../engine/images/view.ts";
import type { Engine } from "../engine.ts";
import { check, truthy } from "../validation.ts";

const text = z.string().optional();
const listQuery = z.object({ all: text, filters: text, digests: text, "shared-size": text });
const createQuery = z.object({
  fromImage: text,
  fromSrc: text,
  repo: text,
  tag: text,
  message: text,
  platform: text,
  changes: z.union([z.string(), z.array(z.string())]).optional(),
});
const tagQuery = z.object({ repo: text, tag: text });
const deleteQuery = z.object({ force: text, noprune: text });

/** An answer of progress lines: once it began, errors are lines too. */
async function progress(reply: FastifyReply, work: () => Promise<object[]>): Promise<void> {
  const lines = await work();
  await reply.type("application/json").send(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(""));
}

export const imageRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { images } = engine;

  app.get("/images/json", async (request) => {
    const query = check(listQuery, request.query, "query");
    return listImages(images, {
      filters: parseFilters(query.filters, imageFilters),
      sharedSize: truthy(query["shared-size"]),
    });
  });

  app.post("/images/create", { config: { rawBody: true } }, async (request, reply) => {
    const query = check(createQuery, request.query, "query");
    if (query.fromImage) throw notImplemented("not implemented: registries (fromImage)");
    if (query.fromSrc !== "-") throw notImplemented("not implemented: fromSrc other than -");
    const reference = query.repo ? `${query.repo}${query.tag ? `:${query.tag}` : ""}` : undefined;
    const changes = query.changes === undefined ? [] : [query.changes].flat();
    const body = (request.body as Readable | undefined) ?? Readable.from([]);
    await progress(reply, async () => [
      { status: await images.import(body, { reference, message: query.message ?? "", changes }) },
    ]);
  });

  app.post("/images/load", { config: { rawBody: true } }, async (request, reply) => {
    const body = (request.body as Readable | undefined) ?? Readable.from([]);
    await progress(reply, async () =>
      (await loadImages(images, body, engine.spool)).map((stream) => ({ stream })),
    );
  });

  app.get("/images/*", async (request, reply) => {
    const path = (request.params as { "*": string })["*"];
    const match = /^(.+)\/(json|history|get)$/.exec(path);
    if (!match?.[1]) return reply.callNotFound();
    if (match[2] === "json") return inspectImage(images, match[1]);
    if (match[2] === "history") return imageHistory(images, match[1]);
    throw notImplemented("not implemented: image save");
  });

  app.post("/images/*", async (request, reply) => {
    const path = (request.params as { "*": string })["*"];
    const match = /^(.+)\/(tag|push)$/.exec(path);
    if (!match?.[1]) return reply.callNotFound();
    if (match[2] === "push") throw notImplemented("not implemented: registries (push)");
    const { repo, tag } = check(tagQuery, request.query, "query");
    if (!repo) throw invalid("invalid reference format");
    images.tag(match[1], repo, tag ?? "");
    return reply.code(201).send();
  });

  app.delete("/images/*", async (request) => {
    const { force, noprune } = check(deleteQuery, request.query, "query");
    const reference = (request.params as { "*": string })["*"];
    return images.remove(reference, { force: truthy(force), prune: !truthy(noprune) });
  });
};
