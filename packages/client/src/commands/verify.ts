// tsctl verify: the live kernel against containers' plans; each drift with what was expected and what was found.
import type { Verification } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";

function text({ Id, Name, Running, Drifts }: Verification): string {
  const who = `${Name} (${Id.slice(0, 12)})`;
  if (!Running) return `${who}: does not run, nothing to verify\n`;
  if (Drifts.length === 0) return `${who}: as planned\n`;
  const lines = Drifts.flatMap(({ Subject, What, Expected, Found, Severity, ByContainer }) => [
    `  ${Severity.padEnd(9)}${Subject}: ${What}${ByContainer ? " (may be the container's own doing)" : ""}`,
    `           expected: ${Expected}`,
    `           found:    ${Found}`,
  ]);
  return `${who}: ${Drifts.length} drift${Drifts.length === 1 ? "" : "s"}\n${lines.join("\n")}\n`;
}

/** Exits with 1 where something drifted that the container could not have done itself. */
export const verify: Command = async (words, context) => {
  const flags = parseFlags(words, { all: ["bool", "a"], format: ["text", "f"], quiet: ["bool", "q"] });
  const all = flags.bool("all");
  if (all) expectArguments(flags, "verify --all", 0, 0);
  else expectArguments(flags, "verify", 1);
  const format = flags.text("format") ?? "text";
  if (!["text", "json"].includes(format))
    throw new UsageError(`invalid argument "${format}" for "--format" flag: text or json`);
  const { isolation } = context.client;
  const results: Verification[] = all ? await isolation.verifyAll() : [];
  for (const id of flags.args) results.push(await isolation.verify(id));
  if (format === "json") await print(JSON.stringify(results, null, 2));
  else
    for (const result of results)
      if (!flags.bool("quiet") || result.Drifts.length > 0) await print(text(result));
  return results.some(({ Drifts }) => Drifts.some(({ Severity }) => Severity !== "info")) ? 1 : 0;
};
