// Policies: read, asked, compared; selectors. Pure.
import { describe, expect, it } from "vitest";
import { policySchema } from "../../api/schemas/policy.ts";
import { difference, evaluate, parsePolicy, parseTraffic } from "./policy.ts";
import { parseSelector } from "./selector.ts";

const policy = (Rules: object[], Default = "deny") => parsePolicy(policySchema.parse({ Default, Rules }));

describe("selectors", () => {
  it.each([
    ["*", {}, true],
    ["app=web", { app: "web" }, true],
    ["app=web", { app: "webs" }, false],
    ["app=web,tier!=test", { app: "web" }, true],
    ["app=web,tier!=test", { app: "web", tier: "test" }, false],
    ["app", { app: "" }, true],
    ["app", {}, false],
    ["com.docker.compose.service=db", { "com.docker.compose.service": "db" }, true],
  ])("%s of %j: %s", (text, labels, expected) => {
    expect(parseSelector(text).matches(labels as unknown as Record<string, string>)).toBe(expected);
  });
  it("that are equal have one spelling", () => {
    expect(parseSelector("b=2, a=1").text).toBe(parseSelector("a=1,b=2").text);
  });
});

describe("a policy", () => {
  const web = { app: "web" };
  const db = { app: "db" };
  const asked = (text: string) => parseTraffic(text);
  it("is decided by its first rule that fits", () => {
    const shop = policy([
      { From: "app=web", To: "app=db", Deny: ["tcp/5433"] },
      { From: "*", To: "app=db", Allow: ["tcp/5000-6000", "icmp"] },
    ]);
    expect(evaluate(shop, web, db, asked("tcp/5432")).allowed).toBe(true);
    expect(evaluate(shop, web, db, asked("tcp/5433"))).toMatchObject({
      allowed: false,
      rule: { action: "deny" },
    });
    expect(evaluate(shop, web, db, asked("udp/5432")).allowed).toBe(false);
    expect(evaluate(shop, db, web, asked("tcp/5432"))).toEqual({ allowed: false, rule: undefined });
    expect(evaluate(shop, {}, db, asked("icmp")).allowed).toBe(true);
  });
  it("may allow what no rule speaks of", () => {
    expect(evaluate(policy([], "allow"), web, db, asked("any")).allowed).toBe(true);
  });
  it("is compared with another", () => {
    const before = policy([{ From: "a=b", To: "*", Allow: ["any"] }]);
    const after = policy([{ From: "a=b", To: "*", Allow: ["tcp"] }], "allow");
    expect(difference(before, after)).toEqual({
      removed: ["default deny", "from a=b to * allow any"],
      added: ["default allow", "from a=b to * allow tcp"],
    });
  });
  it.each(["tcp/0", "tcp/70000", "tcp/9-8", "any/5", "xyz"])("has no traffic %s", (text) => {
    expect(() => parseTraffic(text)).toThrow("invalid traffic");
  });
});
