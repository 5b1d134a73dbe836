// tsctl system dial-stdio: our stdin and stdout become a connection to the engine; ssh:// hosts run this.
import type { Command } from "../context.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { openConnection } from "../sdk/connect.ts";
import { copy } from "../sdk/multiplex.ts";

export const dialStdio: Command = async (words, context) => {
  expectArguments(parseFlags(words, {}), "system dial-stdio", 0, 0);
  const { stream, explain } = await openConnection(await context.client.endpoint());
  // The end of our stdin closes one direction; the engine's end is the end.
  process.stdin.on("error", () => stream.end());
  process.stdin.pipe(stream);
  try {
    await copy(stream, process.stdout);
  } catch (error) {
    throw explain(error as NodeJS.ErrnoException, Buffer.alloc(0));
  }
  return 0;
};
