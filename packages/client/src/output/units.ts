// Sizes and durations as docker prints them.

const decimal = ["B", "kB", "MB", "GB", "TB", "PB"];

/** 1980000 → 1.98MB: decimal units, three significant digits as in docker's lists, or as many as are wanted. */
export function humanSize(bytes: number, digits = 3): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < decimal.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(digits))}${decimal[unit]}`;
}

/** "About a minute", "3 weeks": how docker words a span of time. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 14) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 60) return `${Math.floor(hours / 168)} weeks`;
  if (hours < 24 * 730) return `${Math.floor(hours / 720)} months`;
  return `${Math.floor(hours / 8760)} years`;
}

export const shortId = (id: string): string => id.replace(/^sha256:/, "").slice(0, 12);

/** Cuts to a width, with an ellipsis in the last place. */
export const ellipsis = (text: string, width: number): string =>
  [...text].length > width ? `${[...text].slice(0, width - 1).join("")}…` : text;
