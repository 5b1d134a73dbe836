// Routes: images. Names may contain slashes: version-prefix.ts makes one path segment of them.
import { Readable } from "node:stream";
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Caller } from "../../engine/access/caller.ts";
import { parseFilters } from "../../engine/containers/list.ts";
import { invalid, notImplemented } from "../../engine/errors.ts";
import { pruneFilters } from "../../engine/images/collect.ts";
import type { ImageRecord } from "../../engine/images/image.ts";
import { loadImages } from "../../engine/images/load.ts";
import { parsePlatform, requirePlatform, type WantedPlatform } from "../../engine/images/platform.ts";
import { imageFilters, imageHistory, inspectImage, listImages } from "../../engine/images/view.ts";
import type { Engine } from "../engine.ts";
import { imageFor, inspectedImageFor } from "../older-versions.ts";
import { decryptionKeys, registryAuth, requiredRegistryAuth } from "../registry-auth.ts";
import { route } from "../route.ts";
import { clientGone, sendStream } from "../stream.ts";
import { check, query, truthy } from "../validation.ts";
import { sendProgress } from "./progress.ts";

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
const searchQuery = query(z.object({ term: text, limit: text, filters: text }));
const DEFAULT_RESULTS = 25;
const MAXIMUM_RESULTS = 100;
const loadQuery = query(z.object({ quiet: text, platform: text }));
const saveQuery = query(
  z.object({ names: z.union([z.string(), z.array(z.string())]).optional(), platform: text }),
);
const pruneQuery = query(z.object({ filters: text }));
const pushQuery = query(z.object({ tag: text, platform: text }));
const tagQuery = query(z.object({ repo: text, tag: text }));
const severalTexts = z
  .union([z.string(), z.array(z.string())])
  .optional()
  .transform((value) => [value ?? []].flat());
const deleteQuery = query(z.object({ force: text, noprune: text, platforms: severalTexts }));
const inspectQuery = query(z.object({ manifests: text, platform: text }));
const historyQuery = query(z.object({ platform: text }));

/** An answer of progress lines: once it began, errors are lines too. */
async function progress(reply: FastifyReply, work: () => Promise<object[]>): Promise<void> {
  const lines = await work();
  await reply.type("application/json").send(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(""));
}

const platformSchema = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
});

/** A platform as newer parameters have it: an object in JSON. */
function platformOf(json: string): WantedPlatform {
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch (error) {
    throw invalid(`failed to parse platform: ${(error as Error).message}`);
  }
  return check(platformSchema, raw, "query");
}

/** Tags and digests come in the parameter of the one name. */
const withTag = (name: string, tag: string): string =>
  tag ? `${name}${tag.includes(":") ? "@" : ":"}${tag}` : name;

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
    ).map((image) => imageFor(call.request.raw, image)),
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
      if (asked.fromImage) {
        const platform = asked.platform ? parsePlatform(asked.platform) : undefined;
        const credentials = registryAuth(request);
        const keys = decryptionKeys(request);
        const wanted = withTag(asked.fromImage, asked.tag ?? "");
        return sendProgress(reply, async (progress, signal) => {
          await engine.pulls.pull(wanted, caller, {
            platform,
            credentials,
            decryptionKeys: keys,
            progress,
            signal,
          });
        });
      }
      if (asked.fromSrc !== "-") throw notImplemented("not implemented: fromSrc other than -");
      const reference = asked.repo ? `${asked.repo}${asked.tag ? `:${asked.tag}` : ""}` : undefined;
      const changes = asked.changes === undefined ? [] : [asked.changes].flat();
      const platform = asked.platform ? parsePlatform(asked.platform) : undefined;
      if (platform && platform.os !== "linux") throw invalid("operating system is not supported");
      const options = { reference, message: asked.message ?? "", changes, platform };
      await progress(reply, async () => [{ status: await images.import(bodyOf(request), caller, options) }]);
    },
  );

  route(
    app,
    "POST",
    "/images/load",
    { permission: "image:load", rawBody: true, query: loadQuery },
    ({ query: asked, request, reply, caller }) => {
      const platform = asked.platform ? platformOf(asked.platform) : undefined;
      return sendProgress(reply, (progress) =>
        loadImages(images, bodyOf(request), engine.spool, caller, {
          platform,
          progress: truthy(asked.quiet ?? "1") ? () => undefined : progress,
          loaded: (stream) => progress({ stream }),
        }),
      );
    },
  );

  const save = (
    names: readonly string[],
    asked: string | undefined,
    caller: Caller,
    reply: FastifyReply,
  ): FastifyReply => {
    const platform = asked ? platformOf(asked) : undefined;
    sendStream(reply, "application/x-tar", engine.saveImages(names, platform, caller), (error) =>
      reply.request.log.error({ err: error }, "saving images"),
    );
    return reply;
  };
  route(app, "GET", "/images/get", { permission: "image:save", query: saveQuery }, (call) =>
    save(
      [call.query.names ?? []].flat().flatMap((name) => name.split(",")),
      call.query.platform,
      call.caller,
      call.reply,
    ),
  );
  route(app, "GET", "/images/:name/get", { permission: "image:save", query: saveQuery }, (call) =>
    save([call.reference], call.query.platform, call.caller, call.reply),
  );

  route(
    app,
    "POST",
    "/images/prune",
    { permission: "image:prune", query: pruneQuery },
    ({ query: { filters }, caller }) => engine.collector.prune(parseFilters(filters, pruneFilters), caller),
  );

  route(
    app,
    "GET",
    "/images/search",
    {
      permission: "image:search",
      query: searchQuery,
      asked: ({ query: { term } }) => ({ Term: term ?? "" }),
    },
    ({ query: { term, limit, filters }, request, reply }) => {
      const most = limit ? Number(limit) : DEFAULT_RESULTS;
      if (!Number.isInteger(most) || most < 1 || most > MAXIMUM_RESULTS)
        throw invalid(`limit ${limit} is outside the range of [1, ${MAXIMUM_RESULTS}]`);
      const wanted = parseFilters(filters, ["is-automated", "is-official", "stars"]);
      return engine.registries.search(term ?? "", most, wanted, registryAuth(request), clientGone(reply));
    },
  );

  route(
    app,
    "GET",
    "/distribution/:name/json",
    { permission: "image:inspect" },
    ({ reference, request, reply }) =>
      engine.registries.distribution(reference, registryAuth(request), clientGone(reply)),
  );

  route(
    app,
    "GET",
    "/images/:name/json",
    { permission: "image:inspect", target, query: inspectQuery },
    ({ reference, target: image, query: { manifests, platform }, request }) => {
      if (truthy(manifests) && platform)
        throw invalid("conflicting options: manifests and platform options cannot both be set");
      if (platform) requirePlatform(reference, platformOf(platform), image.config);
      return inspectedImageFor(request.raw, inspectImage(images, image));
    },
  );
  route(
    app,
    "GET",
    "/images/:name/history",
    { permission: "image:inspect", target, query: historyQuery },
    ({ reference, target: image, query: { platform } }) => {
      if (platform) requirePlatform(reference, platformOf(platform), image.config);
      return imageHistory(images, image);
    },
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
    "POST",
    "/images/:name/push",
    {
      permission: "image:push",
      query: pushQuery,
      rawBody: true,
      asked: ({ query: { tag } }) => ({ Tag: tag ?? "" }),
    },
    ({ reference, query: asked, caller, request, reply }) => {
      const credentials = requiredRegistryAuth(request);
      const platform = asked.platform ? platformOf(asked.platform) : undefined;
      return sendProgress(reply, (progress, signal) =>
        engine.pushes.push(reference, asked.tag ?? "", caller, { credentials, platform, progress, signal }),
      );
    },
  );

  route(
    app,
    "DELETE",
    "/images/:name",
    { permission: "image:remove", query: deleteQuery },
    ({ reference, query: { force, noprune, platforms }, caller }) => {
      if (!reference.trim()) throw invalid("image name cannot be blank");
      for (const platform of platforms)
        requirePlatform(reference, platformOf(platform), images.get(reference, caller).config);
      return images.remove(reference, { force: truthy(force), prune: !truthy(noprune) }, caller);
    },
  );
};
