// Regular expressions that clients write: in Go's syntax, as Docker's filters and log options have them, and matched in a time
// that grows with the text only, since it is the event loop's.
import { RE2JS } from "re2js";

export type Pattern = (text: string) => boolean;

/** Whether a text has a match. Throws for what is no expression (github.com/google/re2, Syntax). */
export function compilePattern(expression: string): Pattern {
  const compiled = RE2JS.compile(expression);
  return (text) => compiled.matcher(text).find();
}

/** Whether a name is one of these, or has a match of one; those that are no expressions match nothing, as with Docker. */
export function namePattern(names: readonly string[]): Pattern {
  const exact = new Set(names);
  const patterns = names.flatMap((name) => {
    try {
      return [compilePattern(name)];
    } catch {
      return [];
    }
  });
  return (name) => exact.has(name) || patterns.some((matches) => matches(name));
}
