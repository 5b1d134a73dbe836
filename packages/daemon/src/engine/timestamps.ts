// Times as Docker's API writes them: RFC 3339 in UTC with nanoseconds, and its zero.

export const zeroTime = "0001-01-01T00:00:00Z";

/** Nanoseconds since the epoch as RFC 3339. */
export function formatNanoseconds(nanoseconds: bigint): string {
  const seconds = nanoseconds / 1_000_000_000n;
  const fraction = String(nanoseconds % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return fraction ? `${whole}.${fraction}Z` : `${whole}Z`;
}

const epochOffset = BigInt(Math.round(performance.timeOrigin * 1e6));

/** Now, in nanoseconds since the epoch: the clock's milliseconds, finer by the monotonic clock. */
export function nowNanoseconds(): bigint {
  const fine = epochOffset + BigInt(Math.round(performance.now() * 1e6));
  const coarse = BigInt(Date.now()) * 1_000_000n;
  // The clock may have been set since the start; then its own milliseconds are the truth.
  return fine - coarse < 1_000_000_000n && coarse - fine < 1_000_000_000n ? fine : coarse;
}

export const now = (): string => formatNanoseconds(nowNanoseconds());

/** Nanoseconds since the epoch of an RFC 3339 time, or undefined. */
export function parseTime(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) return undefined;
  const milliseconds = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(milliseconds)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0") || 0);
}

/** Milliseconds since the epoch of an RFC 3339 time; 0 for none. */
export const milliseconds = (time: string): number => Number((parseTime(time) ?? 0n) / 1_000_000n);
