// Series as bars of eight heights, one character a value: a plot that fits a line of a terminal.

const BARS = "▁▂▃▄▅▆▇█";

/** The last `width` values, the largest as the highest bar; a space where there is no value. */
export function plotLine(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const most = Math.max(...shown, 0);
  return shown
    .map((value) => (most <= 0 ? BARS[0] : BARS[Math.min(7, Math.floor((value / most) * 7.999))]))
    .join("")
    .padStart(width);
}

/** What was added from one total to the next, in a second. */
export const rates = (totals: readonly number[], seconds: number): number[] =>
  totals.slice(1).map((value, index) => Math.max(0, value - (totals[index] ?? 0)) / seconds);
