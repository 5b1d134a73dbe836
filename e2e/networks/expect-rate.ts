// What was measured beside what a rate lets through.
import { expect } from "vitest";

/** Megabits per second of payload, as a part of what a rate lets through. */
export function expectRate(measured: number, rate: number, share: number, tolerance = 0.05): void {
  expect(measured / (rate * share)).toBeGreaterThan(1 - tolerance);
  expect(measured / (rate * share)).toBeLessThan(1 + tolerance);
}
