// Route: the event stream.
import { Readable } from "node:stream";
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import { parseFilters } from "../../engine/containers/list.ts";
import { eventFilters } from "../../engine/events/bus.ts";
import { parseNanoseconds } from "../../engine/events/time-parameter.ts";
import type { Engine } from "../engine.ts";
import { route } from "../route.ts";
import { clientGone, sendStream } from "../stream.ts";
import { query } from "../validation.ts";

const text = z.string().optional();
const eventsQuery = query(z.object({ since: text, until: text, filters: text }));

export const eventRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  route(app, "GET", "/events", { permission: "event:read", query: eventsQuery }, (call) => {
    const { since, until, filters } = call.query;
    const options = {
      since: parseNanoseconds(since),
      until: parseNanoseconds(until),
      filters: parseFilters(filters, eventFilters),
      sight: call.caller,
    };
    const events = engine.events.stream(options, clientGone(call.reply));
    const lines = Readable.from(events, { objectMode: false, highWaterMark: 1 << 16 });
    sendStream(call.reply, "application/json", lines, () => undefined);
  });
};
