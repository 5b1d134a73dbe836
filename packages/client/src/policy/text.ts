// Policies as people write them, one rule a line:
//   network shop
//   default deny
//   from app=web to app=db allow tcp/5432 icmp
import { UsageError } from "../flags.ts";
import type { Policy, PolicyRule } from "../sdk/policies.ts";

export interface PolicyDocument {
  /** "" where the text does not say. */
  network: string;
  policy: Policy;
}

const rulePattern = /^from\s+(\S+)\s+to\s+(\S+)\s+(allow|deny)\s+(.+)$/;

/** Reads a policy, as lines or as JSON. Throws for what is wrong, naming the line. */
export function parsePolicyText(text: string): PolicyDocument {
  if (text.trimStart().startsWith("{")) return parseJson(text);
  const policy: Required<Policy> = { Default: "deny", Rules: [] };
  let network = "";
  for (const [index, whole] of text.split("\n").entries()) {
    const line = whole.replace(/#.*$/, "").trim();
    if (line === "") continue;
    const word = /^(network|default)\s+(\S+)$/.exec(line);
    const rule = rulePattern.exec(line);
    if (word?.[1] === "network") network = word[2] ?? "";
    else if (word?.[1] === "default") policy.Default = word[2] as "allow" | "deny";
    else if (rule) policy.Rules.push(readRule(rule));
    else
      throw new UsageError(
        `line ${index + 1}: neither "network NAME", "default allow|deny" nor "from SELECTOR to SELECTOR allow|deny TRAFFIC": ${line}`,
        1,
      );
  }
  return { network, policy };
}

function readRule([, From = "", To = "", action = "", traffic = ""]: RegExpExecArray): PolicyRule {
  const list = traffic.split(/[\s,]+/).filter((part) => part !== "");
  return { From, To, ...(action === "allow" ? { Allow: list } : { Deny: list }) };
}

function parseJson(text: string): PolicyDocument {
  try {
    const { Network = "", ...policy } = JSON.parse(text) as Policy & { Network?: string };
    return { network: Network, policy };
  } catch (error) {
    throw new UsageError(`the policy is no JSON: ${(error as Error).message}`, 1);
  }
}

/** A policy as lines. */
export function policyText(network: string, { Default = "deny", Rules }: Policy): string {
  const lines = Rules.flatMap(({ From, To, Allow = [], Deny = [] }) => [
    ...(Deny.length > 0 ? [`from ${From} to ${To} deny ${Deny.join(" ")}`] : []),
    ...(Allow.length > 0 ? [`from ${From} to ${To} allow ${Allow.join(" ")}`] : []),
  ]);
  return [`network ${network}`, `default ${Default}`, ...lines].join("\n");
}
