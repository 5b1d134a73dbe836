// An instruction's arguments taken apart: JSON lists, blank-separated words, name=value pairs.
import { invalid } from "../errors.ts";

/** A JSON list of strings; undefined for anything else. Throws for a list of other things, as Docker does. */
export function jsonList(text: string): string[] | undefined {
  if (!text.trimStart().startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // then it is the shell's
  }
  if (!Array.isArray(value)) return undefined;
  if (!value.every((item): item is string => typeof item === "string"))
    throw invalid(
      "failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only",
    );
  return value;
}

/** Words between blanks, quotes or not. */
export const blankSeparated = (text: string): string[] => text.split(/\s+/).filter(Boolean);

export const listOrWords = (text: string): string[] => jsonList(text) ?? blankSeparated(text);

/** Words between blanks that are in no quotes; quotes and escapes are kept. */
export function quotedWords(text: string, escapeCharacter: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (quote === "" && /\s/.test(character)) {
      if (word) words.push(word);
      word = "";
      continue;
    }
    word += character;
    if (character === escapeCharacter && quote !== "'") word += text.charAt(++at);
    else if (quote === "" && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = "";
  }
  if (word) words.push(word);
  return words;
}

/** name=value pairs, or the old form of one name and the rest of the line. `where` names the instruction. */
export function namedValues(where: string, text: string, escapeCharacter: string): [string, string][] {
  const words = quotedWords(text, escapeCharacter);
  const [first = ""] = words;
  if (words.length === 0) return [];
  if (!first.includes("=")) {
    const match = /^(\S+)\s+(.+)$/s.exec(text);
    if (!match?.[1] || match[2] === undefined)
      throw invalid(`failed to parse Dockerfile: ${where} must have two arguments`);
    return [[match[1], match[2]]];
  }
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at < 0)
      throw invalid(
        `failed to parse Dockerfile: Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    return [word.slice(0, at), word.slice(at + 1)];
  });
}
