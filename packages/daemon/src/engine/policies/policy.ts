// Policies of who may talk to whom in a network: read, checked, and made into rules in their order. Pure.
import type { PolicyRequest } from "../../api/schemas/policy.ts";
import { invalid } from "../errors.ts";
import { parseSelector, type Selector } from "./selector.ts";

export type PolicyProtocol = "tcp" | "udp" | "sctp" | "icmp" | "any";

/** What one rule opens or closes; without ports, all of the protocol's. */
export interface Traffic {
  protocol: PolicyProtocol;
  ports: { first: number; last: number } | undefined;
}

export interface PolicyRule {
  from: Selector;
  to: Selector;
  action: "allow" | "deny";
  traffic: Traffic;
  /** As it is shown. */
  text: string;
}

export interface Policy {
  /** The first rule that fits decides; where none does, this. */
  fallback: "allow" | "deny";
  rules: readonly PolicyRule[];
  selectors: readonly Selector[];
}

const MOST_RULES = 1000;

/** "tcp/5432", "udp/53", "tcp/8000-8100", "tcp", "icmp", "any". Throws for what is none. */
export function parseTraffic(text: string): Traffic {
  const match = /^(tcp|udp|sctp|icmp|any)(?:\/(\d{1,5})(?:-(\d{1,5}))?)?$/.exec(text);
  const first = Number(match?.[2]);
  const last = Number(match?.[3] ?? match?.[2]);
  const ported = match?.[2] !== undefined;
  if (!match || (ported && (first < 1 || last > 65535 || last < first)))
    throw invalid(`invalid traffic "${text}": not tcp/PORT, udp/FIRST-LAST, icmp or any`);
  const protocol = match[1] as PolicyProtocol;
  if (ported && (protocol === "icmp" || protocol === "any"))
    throw invalid(`invalid traffic "${text}": ${protocol} has no ports`);
  return { protocol, ports: ported ? { first, last } : undefined };
}

export function trafficText({ protocol, ports }: Traffic): string {
  if (!ports) return protocol;
  return `${protocol}/${ports.first}${ports.last === ports.first ? "" : `-${ports.last}`}`;
}

/** Reads a request. Throws for what can't be, naming the rule. */
export function parsePolicy(request: PolicyRequest): Policy {
  if (request.Default !== "allow" && request.Default !== "deny")
    throw invalid(`invalid Default "${request.Default}": neither allow nor deny`);
  const selectors = new Map<string, Selector>();
  const selector = (text: string): Selector => {
    const parsed = parseSelector(text);
    const known = selectors.get(parsed.text) ?? parsed;
    selectors.set(parsed.text, known);
    return known;
  };
  const rules = request.Rules.flatMap((rule, index) => {
    try {
      const { From, To, Allow, Deny } = rule;
      if (Allow.length + Deny.length === 0) throw invalid("it neither allows nor denies anything");
      const [from, to] = [selector(From), selector(To)];
      const read = (action: "allow" | "deny", list: readonly string[]): PolicyRule[] =>
        list.map((text) => {
          const traffic = parseTraffic(text);
          return {
            from,
            to,
            action,
            traffic,
            text: `from ${from.text} to ${to.text} ${action} ${trafficText(traffic)}`,
          };
        });
      // What a rule closes, it closes also for itself.
      return [...read("deny", Deny), ...read("allow", Allow)];
    } catch (error) {
      throw invalid(`Rules.${index}: ${(error as Error).message}`);
    }
  });
  if (rules.length > MOST_RULES)
    throw invalid(`a policy has at most ${MOST_RULES} rules, this one ${rules.length}`);
  return { fallback: request.Default, rules, selectors: [...selectors.values()] };
}

const covers = (rule: Traffic, asked: Traffic): boolean =>
  (rule.protocol === "any" || rule.protocol === asked.protocol) &&
  (rule.ports === undefined ||
    (asked.ports !== undefined &&
      rule.ports.first <= asked.ports.first &&
      asked.ports.last <= rule.ports.last));

type Labels = Readonly<Record<string, string>>;

/** What a policy says of one connection: the rule that decides, or none for its fallback. */
export function evaluate(
  policy: Policy,
  from: Labels,
  to: Labels,
  asked: Traffic,
): { allowed: boolean; rule: PolicyRule | undefined } {
  const rule = policy.rules.find(
    (one) => one.from.matches(from) && one.to.matches(to) && covers(one.traffic, asked),
  );
  return { allowed: (rule?.action ?? policy.fallback) === "allow", rule };
}

/** What changes from one policy to another, as lines that go and come. */
export function difference(
  before: Policy | undefined,
  after: Policy | undefined,
): { removed: string[]; added: string[] } {
  const lines = (policy: Policy | undefined): string[] =>
    policy ? [`default ${policy.fallback}`, ...policy.rules.map(({ text }) => text)] : [];
  const [old, now] = [lines(before), lines(after)];
  return {
    removed: old.filter((line) => !now.includes(line)),
    added: now.filter((line) => !old.includes(line)),
  };
}
