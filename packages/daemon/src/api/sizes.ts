// Sizes as Docker writes them: 120m, 1.5g, 4096; powers of 1024.

const units = "bkmgtp";

/** Bytes; undefined for what is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(?:([kmgtp])i?b?|b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const bytes = Math.floor(Number(match[1]) * 1024 ** units.indexOf((match[2] ?? "b").toLowerCase()));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
