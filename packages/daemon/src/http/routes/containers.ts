// Routes: the life of containers.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { type ContainerCreate, containerCreateSchema } from "../../api/schemas/container-create.ts";
import { type Caller, everything } from "../../engine/access/caller.ts";
import { reaching } from "../../engine/access/create-limits.ts";
import { removeLink } from "../../engine/containers/links.ts";
import { containerFilters, parseFilters, selectContainers } from "../../engine/containers/list.ts";
import type { Container } from "../../engine/containers/registry.ts";
import { imageShown, inspectView, type Sizes, summaryView } from "../../engine/containers/view.ts";
import { EngineError, invalid } from "../../engine/errors.ts";
import type { ImageRecord } from "../../engine/images/image.ts";
import { parsePlatform, requirePlatform } from "../../engine/images/platform.ts";
import type { Engine } from "../engine.ts";
import { inspectedContainerFor, requestedBy, warningsFor } from "../older-versions.ts";
import { containerTarget, route } from "../route.ts";
import { beginStream } from "../stream.ts";
import { check, query, truthy } from "../validation.ts";
import { atLeast } from "../version-prefix.ts";

const text = z.string().optional();
const createQuery = query(z.object({ name: text, platform: text }));
const listQuery = query(z.object({ all: text, limit: text, size: text, filters: text }));
const stopSchema = z.object({ signal: text, t: text });
const killQuery = query(z.object({ signal: text }));
const removeQuery = query(z.object({ v: text, force: text, link: text }));
const waitQuery = query(z.object({ condition: text }));
const sizeSchema = z.object({ h: text, w: text });

/** A whole number of a query, as Go's Atoi takes it. */
export function integer(value: string | undefined, kind: "invalid" | "system" = "invalid"): number {
  if (value === undefined || !/^[+-]?\d+$/.test(value))
    throw new EngineError(kind, `strconv.Atoi: parsing ${JSON.stringify(value ?? "")}: invalid syntax`);
  return Number(value);
}

/** Columns and rows of a resize request. */
export function windowSize(value: unknown): { columns: number; rows: number } {
  const { h, w } = check(sizeSchema, value, "query");
  const size = { rows: integer(h), columns: integer(w) };
  if (size.rows < 0 || size.columns < 0 || size.rows > 65535 || size.columns > 65535)
    throw invalid("invalid terminal size");
  return size;
}

function stopQuery(value: unknown): { signal: string | undefined; seconds: number | undefined } {
  const { signal, t } = check(stopSchema, value, "query");
  return { signal, seconds: t === undefined || t === "" ? undefined : integer(t) };
}

export function createBody(value: unknown): ContainerCreate {
  if (value === undefined) throw invalid("invalid JSON: got EOF while reading request body");
  const names = Object.keys(value ?? {}).map((name) => name.toLowerCase());
  if (names.every((name) => ["hostconfig", "networkingconfig"].includes(name)))
    throw invalid("config cannot be empty in order to create a container");
  return check(containerCreateSchema, value, "body");
}

export const containerRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { containers, archives, images, networks, layers } = engine;
  const target = containerTarget(engine);

  const imageOf = (container: Container): ImageRecord | undefined =>
    images.find(container.record.definition.imageId, everything);
  const sizesOf = (container: Container): Promise<Sizes> =>
    archives.sizes(container, imageOf(container)?.size ?? 0);

  const checkPlatform = (platform: string, reference: string, caller: Caller): void => {
    const wanted = parsePlatform(platform);
    const image = reference ? images.find(reference, caller) : undefined;
    if (image) requirePlatform(reference, wanted, image.config);
  };

  route(
    app,
    "POST",
    "/containers/create",
    {
      permission: "container:create",
      query: createQuery,
      body: createBody,
      asked: (call) => ({
        Name: call.query.name ?? "",
        Image: call.body.Image,
        ...reaching(call.body),
      }),
    },
    async ({ query: { name, platform }, body, caller, request, reply }) => {
      if (platform && atLeast(request.raw, 41)) checkPlatform(platform, body.Image, caller);
      const { id, warnings } = await containers.creation.create(requestedBy(request.raw, body), name, caller);
      request.trace.object = `container/${id}`;
      return reply.code(201).send({ Id: id, Warnings: [...warnings, ...warningsFor(request.raw, body)] });
    },
  );

  route(
    app,
    "GET",
    "/containers/json",
    { permission: "container:list", query: listQuery },
    async ({ query: asked, caller }) => {
      const options = {
        all: truthy(asked.all),
        limit: asked.limit ? integer(asked.limit, "system") : 0,
        filters: parseFilters(asked.filters, containerFilters),
      };
      const context = {
        find: (reference: string): Container => containers.find(reference, caller),
        imageId: (reference: string): string | undefined => images.find(reference, caller)?.id,
        parentImage: (id: string): string => images.steps.parentOf(id),
        networkName: (id: string): string | undefined => networks.look(id, caller)?.name,
      };
      const seen = containers.registry.seenBy(caller);
      const chosen = selectContainers(seen, options, context);
      const linking = seen.filter(({ record }) => record.definition.hostConfig.Links?.length);
      const summary = (container: Container, sizes?: Sizes): object =>
        summaryView(
          container,
          imageShown(container, (name) => images.find(name, everything)),
          linking,
          sizes,
        );
      if (!truthy(asked.size)) return chosen.map((container) => summary(container));
      const found: object[] = [];
      for (const container of chosen) found.push(summary(container, await sizesOf(container)));
      return found;
    },
  );

  route(
    app,
    "GET",
    "/containers/:id/json",
    { permission: "container:inspect", query: listQuery, target },
    async ({ target: container, query: { size }, request }) => {
      const image = imageOf(container);
      const view = inspectView(container, {
        sizes: truthy(size) ? await sizesOf(container) : undefined,
        directory: containers.starter.directory(container.id),
        layer: containers.starter.layer(container.id),
        quota: await layers.usage(container.id),
        logPath: containers.starter.logPath(container.id),
        layers: image ? images.layerDirectories(image) : [],
      });
      return inspectedContainerFor(request.raw, view);
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/start",
    { permission: "container:start", target },
    async ({ target: container, reply }) => {
      await containers.start(container);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/stop",
    { permission: "container:stop", query: stopQuery, target },
    async ({ target: container, query: options, reply }) => {
      await containers.stop(container, options);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/restart",
    { permission: "container:restart", query: stopQuery, target },
    async ({ target: container, query: options, reply }) => {
      await containers.restart(container, options);
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/kill",
    {
      permission: "container:kill",
      query: killQuery,
      target,
      asked: (call) => ({ Signal: call.query.signal ?? "" }),
    },
    ({ target: container, reference, query: { signal }, reply }) => {
      containers.kill(container, reference, signal ?? "");
      return reply.code(204).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/resize",
    { permission: "container:resize", query: windowSize, target },
    ({ target: container, query: { columns, rows }, reply }) => {
      containers.resize(container, columns, rows);
      return reply.code(200).send();
    },
  );

  route(
    app,
    "POST",
    "/containers/:id/wait",
    { permission: "container:wait", query: waitQuery, target },
    async ({ target: container, query: { condition }, reply }) => {
      const exited = containers.wait(container, condition ?? "");
      // Clients wait for the head before they start the container, so it goes out at once.
      const raw = beginStream(reply, "application/json", { "Transfer-Encoding": "chunked" });
      const exitCode = await exited;
      raw.end(JSON.stringify({ StatusCode: exitCode }));
    },
  );

  route(
    app,
    "DELETE",
    "/containers/:id",
    {
      permission: "container:remove",
      query: removeQuery,
      target,
      asked: (call) => ({ Force: truthy(call.query.force), Volumes: truthy(call.query.v) }),
    },
    async ({ target: container, reference, query: { force, v, link }, caller, reply }) => {
      if (truthy(link))
        await removeLink(containers.registry, () => networks.refreshLinks(), reference, caller);
      else await containers.remove(container, { force: truthy(force), volumes: truthy(v) }, reference);
      return reply.code(204).send();
    },
  );
};
