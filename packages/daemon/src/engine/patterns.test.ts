// Expressions of clients: Go's syntax, and no time that grows beyond the text's length.
import { describe, expect, it } from "vitest";
import { compilePattern, namePattern } from "./patterns.ts";

describe("an expression", () => {
  it("has Go's syntax", () => {
    expect(compilePattern("(?i)^WEB")("web-1")).toBe(true);
    expect(compilePattern("a{17}$")("a".repeat(17))).toBe(true);
    expect(() => compilePattern("(a)\\1")).toThrow("invalid escape sequence");
    expect(() => compilePattern("a(?=b)")).toThrow("error parsing regexp");
  });

  it("is matched without going back", () => {
    expect(compilePattern("(a|a?)+!")("a".repeat(1000))).toBe(false);
  });
});

describe("names", () => {
  it("match by one of them as it is, or as an expression", () => {
    const matches = namePattern(["we.$", "a(b", "["]);
    expect(["web", "a(b", "[", "a", "webs"].map(matches)).toEqual([true, true, true, false, false]);
  });
});
