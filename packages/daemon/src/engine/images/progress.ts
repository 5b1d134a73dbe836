// Progress of pulls and pushes, as Docker's clients read it: lines of JSON.

/** One line. */
export interface ProgressLine {
  status?: string;
  id?: string;
  progressDetail?: { current?: number; total?: number };
  progress?: string;
  aux?: object;
}

export type Progress = (line: ProgressLine) => void;

const WIDTH = 50;
/** Milliseconds between two lines of one transfer. */
const INTERVAL = 100;

/** Bytes with four digits, by thousands. */
function humanSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${Number(value.toPrecision(4))}${units[unit]}`;
}

function bar(current: number, total: number): string {
  if (total <= 0) return humanSize(current);
  const filled = Math.min(WIDTH, Math.floor((current / total) * WIDTH));
  const shown = `[${"=".repeat(filled)}>${" ".repeat(WIDTH - filled)}]`;
  const amount = current >= total ? humanSize(current) : `${humanSize(current)}/${humanSize(total)}`;
  return `${shown}  ${amount}`;
}

/** A step that a layer has reached. */
export const step = (id: string, status: string): ProgressLine => ({ status, progressDetail: {}, id });

/** How far a layer is. */
export const amount = (id: string, status: string, current: number, total: number): ProgressLine => ({
  status,
  progressDetail: { current, total },
  progress: bar(current, total),
  id,
});

/** Lets a line through now and then. */
export function throttle(report: (current: number) => void): (current: number) => void {
  let last = 0;
  return (current) => {
    const time = performance.now();
    if (time - last < INTERVAL) return;
    last = time;
    report(current);
  };
}

/** What layers are called in progress lines. */
export const shortDigest = (digest: string): string => digest.replace("sha256:", "").slice(0, 12);
