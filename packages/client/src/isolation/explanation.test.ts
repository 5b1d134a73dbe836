// Explanations as text, and what differs between two.
import type { Explanation } from "@tsd/daemon/api";
import { expect, it } from "vitest";
import { difference, differenceText, explanationText } from "./explanation.ts";

const step = (number: number, Does: string, Alike = Does): Explanation["Steps"][number] => ({
  Number: number,
  Stage: "child",
  By: "the container's process",
  Operation: "hostname",
  Calls: ["sethostname"],
  Does,
  Details: [],
  Why: "it has a name of its own",
  Alike,
});
const explanation = (...steps: Explanation["Steps"]): Explanation => ({
  Id: "0123456789abcdef",
  Name: "web",
  Of: "present life",
  Steps: steps,
  Beside: [],
});

it("prints each step with its number, calls and reason", () => {
  const text = explanationText(explanation(step(7, "set the host name web")));
  expect(text).toBe(`web (0123456789ab): what was done to start it, in 1 steps

   7  child    set the host name web
               sethostname
               why: it has a name of its own
`);
});

it("finds what is in one plan only, and nothing between plans that are alike", () => {
  const a = explanation(step(0, "a"), step(1, "host name 1", "host name ID"), step(2, "c"));
  const b = explanation(step(0, "a"), step(1, "new"), step(2, "host name 2", "host name ID"));
  expect(difference(a, a)).toEqual([]);
  expect(difference(a, b).map(({ Side, Does }) => `${Side}${Does}`)).toEqual(["+new", "-c"]);
  expect(differenceText(difference(a, b))).toContain("+ new\n    why:");
});
