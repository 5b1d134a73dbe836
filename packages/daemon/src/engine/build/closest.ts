// The known word that a mistyped one was most likely meant to be.

function distance(a: string, b: string): number {
  let row = [...Array(b.length + 1).keys()];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(
          (next[j - 1] ?? 0) + 1,
          (row[j] ?? 0) + 1,
          (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      );
    row = next;
  }
  return row[b.length] ?? 0;
}

const MOST = 2;

/** " (did you mean …?)", or nothing. */
export function closest(word: string, words: readonly string[]): string {
  const found = words
    .map((candidate) => ({ candidate, steps: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ steps }) => steps > 0 && steps <= MOST)
    .sort((a, b) => a.steps - b.steps)[0];
  return found ? ` (did you mean ${found.candidate}?)` : "";
}
