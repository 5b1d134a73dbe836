// --health-* and --no-healthcheck.
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { type ParsedFlags, parseInteger, UsageError } from "../flags.ts";

const nanosecondUnits: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Nanoseconds of a duration such as 1m30s. */
function duration(name: string, text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+$/.test(text))
    throw new UsageError(`invalid argument "${text}" for "--${name}" flag: time: invalid duration "${text}"`);
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)].reduce(
    (sum, [, number, unit = ""]) => sum + Number(number) * (nanosecondUnits[unit] ?? 0),
    0,
  );
}

export function healthcheck(
  flags: ParsedFlags,
): NonNullable<ContainerCreateRequest["Healthcheck"]> | undefined {
  const times = ["interval", "timeout", "start-period", "start-interval"].map((name) => `health-${name}`);
  const asked = ["health-cmd", "health-on-failure", "health-retries", ...times].some((name) =>
    flags.has(name),
  );
  if (flags.bool("no-healthcheck")) {
    if (asked) throw new UsageError("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!asked) return undefined;
  const [Interval = 0, Timeout = 0, StartPeriod = 0, StartInterval = 0] = times.map((name) =>
    flags.has(name) ? duration(name, flags.text(name) ?? "") : 0,
  );
  const command = flags.text("health-cmd");
  const Retries = flags.has("health-retries")
    ? parseInteger("health-retries", flags.text("health-retries") ?? "")
    : 0;
  return {
    ...(command ? { Test: ["CMD-SHELL", command] } : {}),
    Interval,
    Timeout,
    StartPeriod,
    StartInterval,
    Retries,
    OnFailure: flags.text("health-on-failure") ?? "",
  };
}
