// Times in requests: unix seconds with a fraction, RFC 3339, or a duration before now.
import { EngineError, type ErrorKind } from "../errors.ts";
import { nowNanoseconds, parseTime } from "../timestamps.ts";

const units: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** Nanoseconds since the epoch; undefined for "" and missing. Throws for what is no time: a failure of the system, since
 * dockerd mostly calls it that. */
export function parseNanoseconds(text: string | undefined, kind: ErrorKind = "system"): bigint | undefined {
  if (!text) return undefined;
  const unix = /^(-?\d+)(?:\.(\d{1,9})\d*)?$/.exec(text);
  if (unix?.[1]) return BigInt(unix[1]) * 1_000_000_000n + BigInt((unix[2] ?? "").padEnd(9, "0") || 0);
  const duration = /^(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+$/.exec(text);
  if (duration) {
    let total = 0;
    for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g))
      total += Number(number) * (units[unit ?? ""] ?? 0);
    return nowNanoseconds() - BigInt(Math.round(total));
  }
  const time = parseTime(
    /^\d{4}-\d\d-\d\d$/.test(text)
      ? `${text}T00:00:00Z`
      : text.replace(/(T\d\d:\d\d:\d\d(?:\.\d+)?)$/, "$1Z"),
  );
  if (time === undefined) throw new EngineError(kind, `strconv.ParseInt: parsing "${text}": invalid syntax`);
  return time;
}
