// .dockerignore's rules, as data.
import { describe, expect, it } from "vitest";
import { IgnoreRules } from "./build-ignore.ts";

describe(".dockerignore", () => {
  it.each<[string, string[], string[]]>([
    ["", [], ["a", ".dockerignore"]],
    ["# a\n\n  a  \n", ["a", "a/b"], ["b", "b/a", "# a"]],
    ["/a\n./b\nc/\nd/../e", ["a", "b", "c", "c/x", "e"], ["d"]],
    ["*.log", ["x.log"], ["d/x.log", "x.log.gz"]],
    ["**/*.log", ["x.log", "d/e/x.log"], ["x.txt"]],
    ["**", ["a", "a/b"], []],
    ["a/**", ["a/b", "a/b/c"], ["a"]],
    ["a/*", ["a/b", "a/b/c"], ["a"]],
    ["a?c", ["abc"], ["a/c", "ac"]],
    ["[ab]x", ["ax", "bx"], ["cx"]],
    ["a.b", ["a.b"], ["aXb"]],
    ["a\\*b", ["a*b"], ["aXb"]],
    ["*\n!keep", ["x", "y/keep"], ["keep", "keep/z"]],
    ["*\n!d/keep", ["d", "d/x"], ["d/keep"]],
    ["d\n!d/keep\nd/keep/no", ["d/x", "d/keep/no"], ["d/keep", "d/keep/yes"]],
    ["!x\nx", ["x"], []],
    ["**/node_modules/**", ["a/node_modules/b"], ["node_modules"]],
  ])("%j", (text, excluded, kept) => {
    const rules = new IgnoreRules(text);
    expect(excluded.filter((path) => !rules.excludes(path))).toEqual([]);
    expect(kept.filter((path) => rules.excludes(path))).toEqual([]);
  });

  it("what is no pattern is refused", () => {
    expect(() => new IgnoreRules("[a")).toThrow('syntax error in pattern "[a"');
    expect(() => new IgnoreRules("!")).toThrow("illegal exclusion pattern");
  });
});
