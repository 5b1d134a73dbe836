// tsctl events.
import type { EventMessage } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { filtersJson, parseFlags } from "../flags.ts";
import { compileTemplate } from "../output/template.ts";

/** 2026-01-02T03:04:05.000000000Z container start <id> (image=busybox, name=x) */
function line(event: EventMessage): string {
  const attributes = Object.keys(event.Actor.Attributes)
    .sort()
    .map((key) => `${key}=${event.Actor.Attributes[key]}`)
    .join(", ");
  const milliseconds = Math.floor(event.timeNano / 1e6);
  const time = new Date(milliseconds)
    .toISOString()
    .replace(/\.(\d{3})Z$/, `.$1${String(Math.floor(event.timeNano % 1e6)).padStart(6, "0")}Z`);
  return `${time} ${event.Type} ${event.Action} ${event.Actor.ID}${attributes ? ` (${attributes})` : ""}`;
}

export const events: Command = async (words, context) => {
  const flags = parseFlags(words, {
    filter: ["list", "f"],
    format: ["text"],
    since: ["text"],
    until: ["text"],
  });
  const format = flags.text("format");
  const show =
    format === "json" || format === "{{json .}}"
      ? (event: EventMessage) => JSON.stringify(event)
      : format
        ? compileTemplate(format)
        : (event: EventMessage) => line(event);
  const query = {
    since: flags.text("since"),
    until: flags.text("until"),
    filters: filtersJson(flags.list("filter")),
  };
  for await (const event of context.client.events(query)) await print(show(event));
  return 0;
};
