// Values as Go prints them, which is how Docker's builder writes them into an image's history.

const NANOSECONDS = { h: 3600e9, m: 60e9, s: 1e9, ms: 1e6, us: 1e3, µs: 1e3, ns: 1 } as const;

/** %q of a list. */
export const quoteList = (words: readonly string[]): string =>
  `[${words.map((word) => JSON.stringify(word)).join(" ")}]`;

/** %v of a list. */
export const plainList = (words: readonly string[]): string => `[${words.join(" ")}]`;

const escapes: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
  39: "\\'",
  92: "\\\\",
};

/** %q of a number: the character that it is. */
export const quoteRune = (code: number): string =>
  `'${escapes[code] ?? (code < 0x20 || code === 0x7f ? `\\x${code.toString(16).padStart(2, "0")}` : String.fromCodePoint(Math.min(code, 0x10ffff)))}'`;

/** A duration's text, such as 1m30s, of nanoseconds. */
export function durationText(nanoseconds: number): string {
  if (nanoseconds === 0) return "0s";
  if (nanoseconds < 1e9) {
    const unit = nanoseconds < 1e3 ? "ns" : nanoseconds < 1e6 ? "µs" : "ms";
    return `${nanoseconds / NANOSECONDS[unit]}${unit}`;
  }
  const hours = Math.floor(nanoseconds / NANOSECONDS.h);
  const minutes = Math.floor((nanoseconds % NANOSECONDS.h) / NANOSECONDS.m);
  const seconds = (nanoseconds % NANOSECONDS.m) / NANOSECONDS.s;
  return `${hours ? `${hours}h` : ""}${hours || minutes ? `${minutes}m` : ""}${seconds}s`;
}

/** Nanoseconds of a duration's text. Throws with Go's words. */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  if (!/^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|us|µs|ns|m|s))+$/.test(text))
    throw new Error(
      /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/.test(text)
        ? `time: missing unit in duration ${JSON.stringify(text)}`
        : `time: invalid duration ${JSON.stringify(text)}`,
    );
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)/g))
    total += Number(number) * NANOSECONDS[unit as keyof typeof NANOSECONDS];
  return text.startsWith("-") ? -total : total;
}
