// Routes: the life of containers.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { containerCreateSchema } from "../../api/schemas/container-create.ts";
import { containerFilters, parseFilters, selectContainers } from "../../engine/containers/list.ts";
import type { Container } from "../../engine/containers/registry.ts";
import { inspectView, type Sizes, summaryView } from "../../engine/containers/view.ts";
import { EngineError, invalid } from "../../engine/errors.ts";
import type { ImageRecord } from "../../engine/images/image.ts";
import type { Engine } from "../engine.ts";
import { check, truthy } from "../validation.ts";

const text = z.string().optional();
const createQuery = z.object({ name: text, platform: text });
const listQuery = z.object({ all: text, limit: text, size: text, filters: text });
const stopQuery = z.object({ signal: text, t: text });
const killQuery = z.object({ signal: text });
const removeQuery = z.object({ v: text, force: text, link: text });
const waitQuery = z.object({ condition: text });
const sizeQuery = z.object({ h: text, w: text });

interface ById {
  Params: { id: string };
}

/** A whole number of a query, as Go's Atoi takes it. */
export function integer(value: string | undefined, kind: "invalid" | "system" = "invalid"): number {
  if (value === undefined || !/^[+-]?\d+$/.test(value))
    throw new EngineError(kind, `strconv.Atoi: parsing ${JSON.stringify(value ?? "")}: invalid syntax`);
  return Number(value);
}

/** Columns and rows of a resize request. */
export function windowSize(query: unknown): { columns: number; rows: number } {
  const { h, w } = check(sizeQuery, query, "query");
  const size = { rows: integer(h), columns: integer(w) };
  if (size.rows < 0 || size.columns < 0 || size.rows > 65535 || size.columns > 65535)
    throw invalid("invalid terminal size");
  return size;
}

export const containerRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { containers, archives, images, network } = engine;

  const imageOf = (container: Container): ImageRecord | undefined =>
    images.find(container.record.definition.imageId);
  const sizesOf = (container: Container): Promise<Sizes> =>
    archives.sizes(container, imageOf(container)?.size ?? 0);

  app.post("/containers/create", async (request, reply) => {
    const { name } = check(createQuery, request.query, "query");
    if (request.body === undefined) throw invalid("invalid JSON: got EOF while reading request body");
    const body = check(containerCreateSchema, request.body, "body");
    const { id, warnings } = await containers.create(body, name);
    return reply.code(201).send({ Id: id, Warnings: warnings });
  });

  app.get("/containers/json", async (request) => {
    const query = check(listQuery, request.query, "query");
    const options = {
      all: truthy(query.all),
      limit: query.limit ? integer(query.limit, "system") : 0,
      filters: parseFilters(query.filters, containerFilters),
    };
    const context = {
      find: (reference: string): Container => containers.find(reference),
      imageId: (reference: string): string | undefined => images.find(reference)?.id,
      networkName: (id: string): string | undefined =>
        id.length >= 12 && network.info.id.startsWith(id) ? "bridge" : undefined,
    };
    const chosen = selectContainers(containers.registry.all(), options, context);
    const summary = (container: Container, sizes?: Sizes): object =>
      summaryView(container, network.info, imageOf(container), sizes);
    if (!truthy(query.size)) return chosen.map((container) => summary(container));
    const found: object[] = [];
    for (const container of chosen) found.push(summary(container, await sizesOf(container)));
    return found;
  });

  app.get<ById>("/containers/:id/json", async (request) => {
    const container = containers.find(request.params.id);
    const { size } = check(listQuery, request.query, "query");
    const image = imageOf(container);
    return inspectView(container, {
      sizes: truthy(size) ? await sizesOf(container) : undefined,
      network: network.info,
      directory: containers.starter.directory(container.id),
      logPath: containers.starter.logPath(container.id),
      layers: image ? images.layerDirectories(image) : [],
    });
  });

  app.post<ById>("/containers/:id/start", async (request, reply) => {
    await containers.start(request.params.id);
    return reply.code(204).send();
  });

  const stopping = (query: unknown): { signal: string | undefined; seconds: number | undefined } => {
    const { signal, t } = check(stopQuery, query, "query");
    return { signal, seconds: t === undefined || t === "" ? undefined : integer(t) };
  };

  app.post<ById>("/containers/:id/stop", async (request, reply) => {
    await containers.stop(request.params.id, stopping(request.query));
    return reply.code(204).send();
  });

  app.post<ById>("/containers/:id/restart", async (request, reply) => {
    await containers.restart(request.params.id, stopping(request.query));
    return reply.code(204).send();
  });

  app.post<ById>("/containers/:id/kill", async (request, reply) => {
    containers.kill(request.params.id, check(killQuery, request.query, "query").signal ?? "");
    return reply.code(204).send();
  });

  app.post<ById>("/containers/:id/resize", async (request, reply) => {
    const { columns, rows } = windowSize(request.query);
    containers.resize(request.params.id, columns, rows);
    return reply.code(200).send();
  });

  app.post<ById>("/containers/:id/wait", async (request, reply) => {
    const { condition } = check(waitQuery, request.query, "query");
    const exited = containers.wait(request.params.id, condition ?? "");
    // Clients wait for the headers before they start the container, so these go out at once.
    reply.type("application/json");
    reply.raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      "Transfer-Encoding": "chunked",
    });
    reply.raw.flushHeaders();
    reply.hijack();
    const exitCode = await exited;
    reply.raw.end(JSON.stringify({ StatusCode: exitCode }));
  });

  app.delete<ById>("/containers/:id", async (request, reply) => {
    const { force, v, link } = check(removeQuery, request.query, "query");
    if (truthy(link)) throw invalid("links are not built yet");
    await containers.remove(request.params.id, { force: truthy(force), volumes: truthy(v) });
    return reply.code(204).send();
  });
};
