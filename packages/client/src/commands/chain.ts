// tsctl chain: security containers that traffic between others goes through.
import { type Command, forEachArgument, print } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { renderTable } from "../output/table.ts";
import type { ChainView } from "../sdk/chains.ts";

export const create: Command = async (words, context) => {
  const flags = parseFlags(words, {
    from: ["text"],
    mode: ["text"],
    network: ["text", "n"],
    "on-failure": ["text"],
    to: ["text"],
    via: ["list"],
  });
  expectArguments(flags, "chain create", 0, 1);
  const needed = (name: string): string => {
    const value = flags.text(name);
    if (value === undefined) throw new UsageError(`--${name} is needed`, 1);
    return value;
  };
  const via = flags
    .list("via")
    .flatMap((list) => list.split(","))
    .filter((name) => name !== "");
  const made = await context.client.chains.create({
    Name: flags.args[0] ?? (via.join("-") || "chain"),
    Network: needed("network"),
    From: needed("from"),
    To: needed("to"),
    Via: via,
    Mode: (flags.text("mode") ?? "inline") as "inline",
    OnFailure: (flags.text("on-failure") ?? "closed") as "closed",
  });
  await print(made.Name);
  return 0;
};

const way = ({ From, Via, To, Mode }: ChainView): string => {
  const members = Via.map(
    ({ Name, Id, Present }) => `${Name || Id.slice(0, 12)}${Present ? "" : " (missing)"}`,
  );
  return Mode === "mirror"
    ? `${From} ─▶ ${To}, copied to ${members.join(", ")}`
    : [From, ...members, To].join(" ─▶ ");
};

export const ls: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text"], quiet: ["bool", "q"] });
  expectArguments(flags, "chain ls", 0, 0);
  const chains = await context.client.chains.list();
  if (flags.text("format") === "json") await print(JSON.stringify(chains, null, 2));
  else if (flags.bool("quiet")) for (const { Name } of chains) await print(Name);
  else
    await print(
      renderTable([
        ["NAME", "NETWORK", "STATE", "ON FAILURE", "WAY"],
        ...chains.map((chain) => [chain.Name, chain.Network, chain.State, chain.OnFailure, way(chain)]),
      ]),
    );
  return 0;
};

export const inspect: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"], type: ["text"] });
  expectArguments(flags, "chain inspect", 1);
  const found: ChainView[] = [];
  const status = await forEachArgument(flags.args, context, async (name) => {
    found.push(await context.client.chains.inspect(name));
    return undefined;
  });
  await print(JSON.stringify(found, null, 4));
  return status;
};

export const rm: Command = (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "chain rm", 1);
  return forEachArgument(flags.args, context, async (name) => {
    await context.client.chains.remove(name);
    return name;
  });
};
