// tsctl policy: who may talk to whom within a network.
import { readFileSync } from "node:fs";
import { type Command, type Context, print } from "../context.ts";
import { expectArguments, type ParsedFlags, parseFlags, UsageError } from "../flags.ts";
import { renderTable } from "../output/table.ts";
import { graphDot, graphSvg, graphText } from "../policy/graph.ts";
import { type PolicyDocument, parsePolicyText, policyText } from "../policy/text.ts";

/** The file that is named, or standard input. */
function read(flags: ParsedFlags): PolicyDocument {
  const [path = "-"] = flags.args;
  const document = parsePolicyText(readFileSync(path === "-" ? 0 : path, "utf8"));
  const network = flags.text("network") ?? document.network;
  if (network === "")
    throw new UsageError('no network: the policy says "network NAME", or --network does', 1);
  return { ...document, network };
}

const changes = ({ Removed, Added }: { Removed: string[]; Added: string[] }): string =>
  [...Removed.map((line) => `- ${line}`), ...Added.map((line) => `+ ${line}`)].join("\n");

export const apply: Command = async (words, context) => {
  const flags = parseFlags(words, { network: ["text", "n"], "dry-run": ["bool"] });
  expectArguments(flags, "policy apply", 0, 1);
  const { network, policy } = read(flags);
  const changed = changes(await context.client.policies.apply(network, policy, flags.bool("dry-run")));
  await print(changed === "" ? "nothing changes" : changed);
  return 0;
};

/** As diff(1): 0 when nothing would change, 1 when something would. */
export const diff: Command = async (words, context) => {
  const flags = parseFlags(words, { network: ["text", "n"] });
  expectArguments(flags, "policy diff", 0, 1);
  const { network, policy } = read(flags);
  const changed = changes(await context.client.policies.apply(network, policy, true));
  if (changed !== "") await print(changed);
  return changed === "" ? 0 : 1;
};

export const get: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"], hits: ["bool"] });
  expectArguments(flags, "policy get", 0, 1);
  const [network] = flags.args;
  if (network === undefined) return list(context, flags);
  const policy = await context.client.policies.inspect(network);
  if (flags.text("format") === "json") await print(JSON.stringify(policy, null, 2));
  else if (!flags.bool("hits")) await print(policyText(policy.Network, policy));
  else {
    await print(
      renderTable([
        ["RULE", "PACKETS", "BYTES"],
        ...policy.Hits.map(({ Rule, Packets, Bytes }) => [Rule, String(Packets), String(Bytes)]),
      ]),
    );
    if (policy.Denied.length > 0)
      await print(
        `\nDenied in the last hour:\n${renderTable([
          ["FROM", "TO", "TRAFFIC", "PACKETS"],
          ...policy.Denied.map(({ From, To, Traffic, Packets }) => [From, To, Traffic, String(Packets)]),
        ])}`,
      );
  }
  return 0;
};

async function list(context: Context, flags: ParsedFlags): Promise<number> {
  const policies = await context.client.policies.list();
  if (flags.text("format") === "json") await print(JSON.stringify(policies, null, 2));
  else
    await print(
      renderTable([
        ["NETWORK", "DEFAULT", "RULES"],
        ...policies.map(({ Network, Default = "deny", Rules }) => [Network, Default, String(Rules.length)]),
      ]),
    );
  return 0;
}

export const rm: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "policy rm", 1, 1);
  await context.client.policies.remove(flags.args[0] ?? "");
  return 0;
};

/** Ends with 0 for what is allowed and 1 for what is denied. */
export const test: Command = async (words, context) => {
  const flags = parseFlags(words, { network: ["text", "n"] });
  expectArguments(flags, "policy test", 3, 3);
  const [from = "", to = "", traffic = ""] = flags.args;
  const network = flags.text("network") ?? (await onlyPolicy(context));
  const { Allowed, Rule } = await context.client.policies.test(network, from, to, traffic);
  await print(`${Allowed ? "allowed" : "denied"} by: ${Rule}`);
  return Allowed ? 0 : 1;
};

async function onlyPolicy(context: Context): Promise<string> {
  const [first, ...more] = await context.client.policies.list();
  if (!first || more.length > 0)
    throw new UsageError(
      `--network is needed: ${first ? "several networks have" : "no network has"} a policy`,
      1,
    );
  return first.Network;
}

export const graph: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"], network: ["text", "n"] });
  expectArguments(flags, "policy graph", 0, 1);
  const network = flags.args[0] ?? flags.text("network") ?? (await onlyPolicy(context));
  const found = await context.client.policies.graph(network);
  const formats: Readonly<Record<string, () => string>> = {
    text: () => graphText(found),
    dot: () => graphDot(found),
    svg: () => graphSvg(found),
    json: () => JSON.stringify(found, null, 2),
  };
  const format = flags.text("format") ?? "text";
  const render = formats[format];
  if (!render) throw new UsageError(`--format ${format}: not text, dot, svg or json`, 1);
  await print(render());
  return 0;
};
