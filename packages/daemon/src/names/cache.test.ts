// The cache holds what it may, for as long as it may.
import { describe, expect, it } from "vitest";
import { AnswerCache } from "./cache.ts";
import { upstreamAnswer } from "./samples.ts";

function cacheOf(entries: number, bytes = 1 << 20): { cache: AnswerCache; clock: { now: number } } {
  const clock = { now: 1000 };
  return { cache: new AnswerCache({ entries, bytes }, () => clock.now), clock };
}
const answer = upstreamAnswer("x");

describe("an answer", () => {
  it("is found until it expires, and has its age", () => {
    const { cache, clock } = cacheOf(10);
    cache.keep("k", answer, 60);
    clock.now += 59_999;
    expect(cache.find("k")).toMatchObject({ age: 59 });
    clock.now += 1;
    expect(cache.find("k")).toBeUndefined();
    expect([cache.size, cache.bytes]).toEqual([0, 0]);
  });

  it("of no time is not kept, and takes what was there away", () => {
    const { cache } = cacheOf(10);
    cache.keep("k", answer, 60);
    cache.keep("k", answer, 0);
    expect(cache.find("k")).toBeUndefined();
    expect(cache.bytes).toBe(0);
  });
});

describe("the bounds", () => {
  it("hold for the number: what was not asked for lately goes", () => {
    const { cache } = cacheOf(4);
    for (const key of ["a", "b", "c"]) cache.keep(key, answer, 60);
    expect(cache.find("a")).toBeDefined();
    cache.keep("d", answer, 60);
    expect(["a", "b", "c", "d"].map((key) => cache.find(key) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
    for (let index = 0; index < 100; index++) cache.keep(`k${index}`, answer, 60);
    expect(cache.size).toBeLessThanOrEqual(4);
  });

  it("hold for bytes", () => {
    const { cache } = cacheOf(1000, 5000);
    for (let index = 0; index < 100; index++) cache.keep(`k${index}`, answer, 60);
    expect(cache.bytes).toBeLessThanOrEqual(5000);
    expect(cache.size).toBeGreaterThan(5);
  });

  it("leave out an answer that would drive all others away", () => {
    const { cache } = cacheOf(1000, 5000);
    cache.keep("k", { ...answer, bytes: Buffer.alloc(4000) }, 60);
    expect(cache.size).toBe(0);
  });
});
