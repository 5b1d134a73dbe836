// tsctl inspect: containers, images, networks and volumes.
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { compileTemplate } from "../output/template.ts";
import { ApiError } from "../sdk/errors.ts";

export const inspect: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"], type: ["text"], size: ["bool", "s"] });
  expectArguments(flags, "inspect", 1);
  const { containers, images, networks, volumes } = context.client;
  const type = flags.text("type") ?? "";
  const kinds: [kind: string, look: (name: string) => Promise<unknown>][] = [
    ["container", (name) => containers.inspect(name)],
    ["image", (name) => images.inspect(name)],
    ["network", (name) => networks.inspect(name)],
    ["volume", (name) => volumes.inspect(name)],
  ];
  const look = async (name: string): Promise<unknown> => {
    for (const [kind, find] of kinds) {
      if (type !== "" && type !== kind) continue;
      try {
        return await find(name);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404 || type !== "") throw error;
      }
    }
    throw new Error(type ? `"${type}" is not a valid value for --type` : `Error: No such object: ${name}`);
  };
  const found: unknown[] = [];
  let status = 0;
  for (const name of flags.args) {
    try {
      found.push(await look(name));
    } catch (error) {
      status = 1;
      const { message } = error as Error;
      context.fail(error instanceof ApiError && type ? `Error response from daemon: ${message}` : message);
    }
  }
  const format = flags.text("format");
  if (format === undefined || format === "json")
    await print(JSON.stringify(found, null, format === "json" ? undefined : 4));
  else {
    const template = compileTemplate(format);
    for (const item of found) await print(`${template(item)}\n`);
  }
  return status;
};
