// Plots: heights, widths, and rates of totals.
import { describe, expect, it } from "vitest";
import { plotLine, rates } from "./plot.ts";

describe("plots", () => {
  it("show the last values, the largest highest", () => {
    expect(plotLine([0, 1, 2, 4, 8], 5)).toBe("▁▁▂▄█");
    expect(plotLine([9, 9, 0, 8], 2)).toBe("▁█");
    expect(plotLine([1], 3)).toBe("  █");
    expect(plotLine([0, 0], 2)).toBe("▁▁");
    expect(plotLine([], 2)).toBe("  ");
  });
  it("of totals are what was added in a second", () => {
    expect(rates([10, 20, 20, 50, 0], 5)).toEqual([2, 0, 6, 0]);
  });
});
