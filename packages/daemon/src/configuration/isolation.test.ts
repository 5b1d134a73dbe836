// What --verify-interval and --defence take.
import { expect, it } from "vitest";
import { parseIsolation } from "./isolation.ts";

it("are off, and times have units", () => {
  expect(parseIsolation(undefined, undefined)).toEqual({ verifyInterval: 0, defence: "off" });
  expect(parseIsolation("90", "report")).toEqual({ verifyInterval: 90_000, defence: "report" });
  expect(parseIsolation("5m", "kill").verifyInterval).toBe(300_000);
  expect(parseIsolation("1h", "pause").verifyInterval).toBe(3_600_000);
});

it("are refused by name", () => {
  for (const interval of ["often", "5 m", "-1", "25h"])
    expect(() => parseIsolation(interval, undefined)).toThrow(`--verify-interval ${interval}`);
  expect(() => parseIsolation(undefined, "bite")).toThrow(
    "--defence bite: not one of off, report, pause, kill",
  );
});
