// tsctl explain: a container's launch plan in words, that of a would-be run, or what differs between two.
import type { Explanation } from "@tsd/daemon/api";
import { type Command, type Context, print } from "../context.ts";
import { attachedStreams, createRequest } from "../create/request.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { difference, differenceText, explanationText } from "../isolation/explanation.ts";
import { windowSize } from "../terminal.ts";
import { runFlags } from "./run.ts";

/** A container's name, or "run" and what would follow it. */
async function explain(words: readonly string[], context: Context): Promise<Explanation> {
  const [first = "", ...rest] = words;
  const { isolation } = context.client;
  if (first !== "run") return isolation.explain(first);
  const flags = parseFlags(rest, runFlags, true);
  expectArguments(flags, "explain run", 1);
  const [image = "", ...command] = flags.args;
  const attached = attachedStreams(flags, flags.bool("detach"));
  const request = createRequest(flags, image, command, attached, windowSize());
  return isolation.explainRun(request, flags.text("name"));
}

export const explainCommand: Command = async (words, context) => {
  const flags = parseFlags(words, { diff: ["bool"], format: ["text", "f"] }, true);
  expectArguments(flags, "explain", flags.bool("diff") ? 2 : 1);
  const format = flags.text("format") ?? "text";
  if (!["text", "json"].includes(format))
    throw new UsageError(`invalid argument "${format}" for "--format" flag: text or json`);
  const [first = "", ...rest] = flags.args;
  if (!flags.bool("diff")) {
    if (first !== "run") expectArguments(flags, "explain", 1, 1);
    const explanation = await explain(flags.args, context);
    await print(format === "json" ? JSON.stringify(explanation, null, 2) : explanationText(explanation));
    return 0;
  }
  if (first === "run")
    throw new UsageError("explain --diff: the container comes first, the would-be run second", 1);
  if (rest[0] !== "run") expectArguments(flags, "explain --diff", 2, 2);
  const found = difference(await explain([first], context), await explain(rest, context));
  if (format === "json") await print(JSON.stringify(found, null, 2));
  else if (found.length > 0) await print(differenceText(found));
  // As diff(1).
  return found.length > 0 ? 1 : 0;
};
