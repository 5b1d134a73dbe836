// Explanations of launch plans as text, and the difference of two.
import type { Explanation } from "@tsd/daemon/api";

const INDENT = " ".repeat(15);
const headings: Readonly<Record<Explanation["Of"], string>> = {
  "present life": "what was done to start it",
  "next start": "it does not run; what its next start would do",
  "would-be": "what this run would do; nothing was done",
};

/** Each step: its number, who carries it out, what it does; the kernel's calls; single messages; and why. */
export function explanationText({ Name, Id, Of, Steps, Beside }: Explanation): string {
  const who = Id ? `${Name} (${Id.slice(0, 12)})` : Name;
  const lines = [`${who}: ${headings[Of]}, in ${Steps.length} steps`, ""];
  for (const { Number: number, Stage, Does, Calls, Details, Why } of Steps) {
    lines.push(`${String(number).padStart(4)}  ${Stage.padEnd(9)}${Does}`);
    for (const detail of Details) lines.push(`${INDENT}- ${detail}`);
    if (Calls.length > 0) lines.push(`${INDENT}${Calls.join("; ")}`);
    lines.push(`${INDENT}why: ${Why}`);
  }
  if (Beside.length > 0) lines.push("", "beside the plan, by the daemon:");
  for (const { Does, Why } of Beside)
    lines.push(`      ${"daemon".padEnd(9)}${Does}`, `${INDENT}why: ${Why}`);
  return `${lines.join("\n")}\n`;
}

export interface DifferenceLine {
  /** In the first only, in the second only. */
  Side: "-" | "+";
  Operation: string;
  Does: string;
  Why: string;
}

interface Line {
  key: string;
  operation: string;
  does: string;
  why: string;
}

const linesOf = ({ Steps, Beside }: Explanation): Line[] => [
  ...Steps.map(({ Alike, Operation, Does, Details, Why }) => ({
    key: Alike,
    operation: Operation,
    does: [Does, ...Details].join("; "),
    why: Why,
  })),
  ...Beside.map(({ Alike, Does, Why }) => ({ key: Alike, operation: "daemon", does: Does, why: Why })),
];

/** What stands in one plan and not in the other, in their order (by their longest common part); ids and what the engine chose by
 * chance do not count. */
export function difference(first: Explanation, second: Explanation): DifferenceLine[] {
  const [a, b] = [linesOf(first), linesOf(second)];
  // lengths[i][j]: the longest common part of a from i and b from j.
  const lengths = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      (lengths[i] as number[])[j] =
        a[i]?.key === b[j]?.key ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const found: DifferenceLine[] = [];
  const put = (Side: "-" | "+", { operation, does, why }: Line): void => {
    found.push({ Side, Operation: operation, Does: does, Why: why });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [a[i], b[j]];
    if (left && right && left.key === right.key) {
      i++;
      j++;
    } else if (left && (!right || at(i + 1, j) >= at(i, j + 1))) {
      put("-", left);
      i++;
    } else if (right) {
      put("+", right);
      j++;
    }
  }
  return found;
}

export const differenceText = (lines: readonly DifferenceLine[]): string =>
  lines.map(({ Side, Does, Why }) => `${Side} ${Does}\n${" ".repeat(4)}why: ${Why}\n`).join("");
