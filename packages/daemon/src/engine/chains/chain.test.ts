// Chains worked out into ways: pure.
import { describe, expect, it } from "vitest";
import type { WatchedMember } from "../networks/memberships.ts";
import { type Members, parseChain, planChain, stateOf } from "./chain.ts";

const member = (number: number, app: string): WatchedMember => ({
  labels: { app },
  addresses: [`10.0.0.${number}`],
  endpoint: { hostIndex: number, hostName: `v${number}`, mac: `02:00:00:00:00:0${number}` } as never,
});
const members = (...missing: string[]): Members =>
  new Map(
    Object.entries({
      a: member(1, "web"),
      b: member(2, "db"),
      x: member(3, "ids"),
      y: member(4, "waf"),
    }).filter(([id]) => !missing.includes(id)),
  );
const request = {
  Name: "c",
  Network: "n",
  From: "app=web",
  To: "app=db",
  Via: ["x", "y"],
  Mode: "",
  OnFailure: "",
};
const chain = (changes: object = {}) => parseChain({ ...request, ...changes }, "n", ["x", "y"]);
const shown = (plan: ReturnType<typeof planChain>): string[] =>
  plan.ways.map(
    ({ index, source, destination, nextMac }) =>
      `${index}: ${source}>${destination} ${nextMac?.at(-1) ?? "blocked"}`,
  );

describe("an inline chain", () => {
  it("leads there through all its members, and back in the opposite order", () => {
    const plan = planChain(chain(), members());
    expect(shown(plan)).toEqual([
      "1: 10.0.0.1>10.0.0.2 3",
      "3: 10.0.0.1>10.0.0.2 4",
      "2: 10.0.0.2>10.0.0.1 4",
      "4: 10.0.0.2>10.0.0.1 3",
    ]);
    expect(plan.forwards).toEqual([
      { index: 3, mac: "02:00:00:00:00:03", addresses: ["10.0.0.1", "10.0.0.2"] },
      { index: 4, mac: "02:00:00:00:00:04", addresses: ["10.0.0.1", "10.0.0.2"] },
    ]);
  });
  it("blocks when a member is missing, or goes around it", () => {
    expect(stateOf(chain(), members("y"))).toBe("blocked");
    expect(shown(planChain(chain(), members("y")))).toEqual([
      "1: 10.0.0.1>10.0.0.2 blocked",
      "2: 10.0.0.2>10.0.0.1 blocked",
    ]);
    const open = chain({ OnFailure: "open" });
    expect(stateOf(open, members("y"))).toBe("bypassed");
    expect(shown(planChain(open, members("y")))).toEqual([
      "1: 10.0.0.1>10.0.0.2 3",
      "2: 10.0.0.2>10.0.0.1 3",
    ]);
    expect(planChain(open, members("x", "y")).ways).toEqual([]);
  });
});

describe("a mirror", () => {
  it("copies what reaches either from the other", () => {
    expect(planChain(chain({ Mode: "mirror" }), members("y"))).toEqual({
      ways: [],
      forwards: [],
      copies: [
        { device: "v2", source: "10.0.0.1", tapIndex: 3 },
        { device: "v1", source: "10.0.0.2", tapIndex: 3 },
      ],
    });
  });
});

describe("a request", () => {
  it.each([
    [{ Name: "a b" }, "invalid Name"],
    [{ Mode: "sideways" }, "invalid Mode"],
    [{ OnFailure: "maybe" }, "invalid OnFailure"],
    [{ From: "!!" }, "invalid selector"],
  ])("with %j is refused", (changes, message) => {
    expect(() => chain(changes)).toThrow(message);
  });
  it("names each member once, and at least one", () => {
    expect(() => parseChain(request, "n", [])).toThrow("at least one member");
    expect(() => parseChain(request, "n", ["x", "x"])).toThrow("only once");
  });
});
