// tsctl stop, restart, kill, rm, wait: one action for each container named.
import { type Command, forEachArgument, print } from "../context.ts";
import { expectArguments, parseFlags } from "../flags.ts";

const stopFlags = { signal: ["text", "s"], time: ["text", "t"], timeout: ["text"] } as const;

const stopping =
  (name: "stop" | "restart"): Command =>
  async (words, context) => {
    const flags = parseFlags(words, stopFlags);
    expectArguments(flags, name, 1);
    const query = { t: flags.text("timeout") ?? flags.text("time"), signal: flags.text("signal") };
    return forEachArgument(flags.args, context, async (id) => {
      await context.client.containers[name](id, query).catch((error: Error & { status?: number }) => {
        if (error.status !== 304) throw error; // already stopped is as good
      });
      return id;
    });
  };

export const stop = stopping("stop");
export const restart = stopping("restart");

export const kill: Command = async (words, context) => {
  const flags = parseFlags(words, { signal: ["text", "s"] });
  expectArguments(flags, "kill", 1);
  return forEachArgument(flags.args, context, async (id) => {
    await context.client.containers.kill(id, flags.text("signal"));
    return id;
  });
};

export const rm: Command = async (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"], volumes: ["bool", "v"], link: ["bool", "l"] });
  expectArguments(flags, "rm", 1);
  const force = flags.bool("force");
  return forEachArgument(flags.args, context, async (id) => {
    try {
      await context.client.containers.remove(id, {
        force,
        v: flags.bool("volumes"),
        link: flags.bool("link"),
      });
    } catch (error) {
      if (!force || (error as { status?: number }).status !== 404) throw error;
      context.fail(`Error response from daemon: ${(error as Error).message}`);
      return undefined;
    }
    return id;
  });
};

export const wait: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "wait", 1);
  return forEachArgument(flags.args, context, async (id) => {
    const { exit } = await context.client.containers.wait(id);
    await print(String(await exit));
    return undefined;
  });
};
