// Route: the event stream.
import { Readable } from "node:stream";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { parseFilters } from "../../engine/containers/list.ts";
import { eventFilters } from "../../engine/events/bus.ts";
import { parseNanoseconds } from "../../engine/events/time-parameter.ts";
import type { Engine } from "../engine.ts";
import { check } from "../validation.ts";

const query = z.object({
  since: z.string().optional(),
  until: z.string().optional(),
  filters: z.string().optional(),
});

export const eventRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  app.get("/events", async (request, reply) => {
    const { since, until, filters } = check(query, request.query, "query");
    const options = {
      since: parseNanoseconds(since),
      until: parseNanoseconds(until),
      filters: parseFilters(filters, eventFilters),
    };
    const gone = new AbortController();
    reply.raw.on("close", () => gone.abort());
    reply.type("application/json");
    // Whoever listens is to know at once that it is heard.
    reply.raw.writeHead(200, reply.getHeaders() as Record<string, string>);
    reply.raw.flushHeaders();
    reply.hijack();
    Readable.from(engine.events.stream(options, gone.signal), { objectMode: false, highWaterMark: 1 << 16 })
      .on("error", () => reply.raw.destroy())
      .pipe(reply.raw);
  });
};
