// tsctl inspect: containers and images.
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { compileTemplate } from "../output/template.ts";
import { ApiError } from "../sdk/errors.ts";

export const inspect: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"], type: ["text"], size: ["bool", "s"] });
  expectArguments(flags, "inspect", 1);
  const { containers, images } = context.client;
  const type = flags.text("type") ?? "";
  const look = async (name: string): Promise<unknown> => {
    if (type !== "image") {
      try {
        return await containers.inspect(name);
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404 || type === "container") throw error;
      }
    }
    try {
      return await images.inspect(name);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404 && type === "")
        throw new Error(`Error: No such object: ${name}`);
      throw error;
    }
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
