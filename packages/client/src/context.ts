// What a command works with: the engine, and the terminal.
import { TsdClient } from "./sdk/client.ts";
import { type ConnectionSettings, resolveConnection } from "./sdk/environment.ts";

export interface Context {
  client: TsdClient;
  /** What the global flags say of the connection. */
  settings: ConnectionSettings;
  /** For a message on stderr, "tsctl: " in front of it where docker says "docker: ". */
  fail(message: string): void;
}

/** A command's result is its exit status. */
export type Command = (words: readonly string[], context: Context) => Promise<number>;

/** Ends a line of output with a newline; waits when the reader is slow. */
export function print(text: string): Promise<void> {
  return new Promise((resolve) => {
    if (process.stdout.write(text.endsWith("\n") || text === "" ? text : `${text}\n`)) resolve();
    else process.stdout.once("drain", resolve);
  });
}

export const makeContext = (settings: ConnectionSettings): Context => ({
  // Commands that need no engine do not ask which one it is.
  client: new TsdClient(() => resolveConnection(settings)),
  settings,
  fail: (message) => {
    process.stderr.write(`${message}\n`);
  },
});

/** Runs an action for each argument, printing what it returns; like docker, one failure does not stop the others. */
export async function forEachArgument(
  args: readonly string[],
  context: Context,
  action: (argument: string) => Promise<string | undefined>,
): Promise<number> {
  let status = 0;
  for (const argument of args) {
    try {
      const text = await action(argument);
      if (text !== undefined) await print(text);
    } catch (error) {
      status = 1;
      context.fail(errorText(error));
    }
  }
  return status;
}

/** An error as docker's client words it. */
export function errorText(error: unknown): string {
  if (error instanceof Error && error.name === "ApiError")
    return `Error response from daemon: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
