// Routes: images. Names may contain slashes: version-prefix.ts makes one path segment of them.
import { Readable } from "node:stream";
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Caller } from "../../engine/access/caller.ts";
import { parseFilters } from "../../engine/containers/list.ts";
import { invalid, notImplemented } from "../../engine/errors.ts";
import type { ImageRecord } from "../../engine/images/image.ts";
import { loadImages } from "../../engine/images/load.ts";
import { imageFilters, imageHistory, inspectImage, listImages } from "../../engine/images/view.ts";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";
import { query, truthy } from "../validation.ts";

const text = z.string().optional();
const listQuery = query(z.object({ all: text, filters: text, digests: text, "shared-size": text }));
const createQuery = query(
  z.object({
    fromImage: text,
    fromSrc: text,
    repo: text,
    tag: text,
    message: text,
    platform: text,
    changes: z.union([z.string(), z.array(z.string())]).optional(),
  }),
);
const tagQuery = query(z.object({ repo: text, tag: text }));
const deleteQuery = query(z.object({ force: text, noprune: text }));

/** An answer of progress lines: once it began, errors are lines too. */
async function progress(reply: FastifyReply, work: () => Promise<object[]>): Promise<void> {
  const lines = await work();
  await reply.type("application/json").send(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(""));
}

const bodyOf = (request: FastifyRequest): Readable =>
  (request.body as Readable | undefined) ?? Readable.from([]);

export const imageRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { images } = engine;
  const target = ({ reference, caller }: { reference: string; caller: Caller }): ImageRecord =>
    images.get(reference, caller);

  route(app, "GET", "/images/json", { permission: "image:list", query: listQuery }, (call) =>
    listImages(
      images,
      {
        filters: parseFilters(call.query.filters, imageFilters),
        sharedSize: truthy(call.query["shared-size"]),
        all: truthy(call.query.all),
      },
      call.caller,
    ),
  );

  route(
    app,
    "POST",
    "/images/create",
    {
      permission: "image:create",
      query: createQuery,
      rawBody: true,
      asked: ({ query: asked }) => ({ Image: asked.fromImage ?? asked.repo ?? "", Tag: asked.tag ?? "" }),
    },
    async ({ query: asked, caller, request, reply }) => {
      if (asked.fromImage) throw notImplemented("not implemented: registries (fromImage)");
      if (asked.fromSrc !== "-") throw notImplemented("not implemented: fromSrc other than -");
      const reference = asked.repo ? `${asked.repo}${asked.tag ? `:${asked.tag}` : ""}` : undefined;
      const changes = asked.changes === undefined ? [] : [asked.changes].flat();
      const options = { reference, message: asked.message ?? "", changes };
      await progress(reply, async () => [{ status: await images.import(bodyOf(request), caller, options) }]);
    },
  );

  route(
    app,
    "POST",
    "/images/load",
    { permission: "image:load", rawBody: true },
    ({ request, reply, caller }) =>
      progress(reply, async () =>
        (await loadImages(images, bodyOf(request), engine.spool, caller)).map((stream) => ({ stream })),
      ),
  );

  route(app, "GET", "/images/:name/json", { permission: "image:inspect", target }, (call) =>
    inspectImage(images, call.target),
  );
  route(app, "GET", "/images/:name/history", { permission: "image:inspect", target }, (call) =>
    imageHistory(images, call.target),
  );

  route(
    app,
    "POST",
    "/images/:name/tag",
    {
      permission: "image:tag",
      query: tagQuery,
      asked: ({ query: { repo, tag } }) => ({ Repository: repo ?? "", Tag: tag ?? "" }),
    },
    ({ reference, query: { repo, tag }, caller, reply }) => {
      if (!repo) throw invalid("invalid reference format");
      images.tag(reference, repo, tag ?? "", caller);
      return reply.code(201).send();
    },
  );

  route(
    app,
    "DELETE",
    "/images/:name",
    { permission: "image:remove", query: deleteQuery },
    ({ reference, query: { force, noprune }, caller }) =>
      images.remove(reference, { force: truthy(force), prune: !truthy(noprune) }, caller),
  );
};
