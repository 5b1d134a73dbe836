// --ulimit, --device and its rates, --cpus, --restart, and limits that docker has no flags for.
import { type ParsedFlags, parseBytes, UsageError } from "../flags.ts";

/** Device limits such as /dev/sda:1mb. */
export const deviceRates = (flags: ParsedFlags, name: string): { Path: string; Rate: number }[] =>
  flags.list(name).map((text) => {
    const at = text.lastIndexOf(":");
    if (at <= 0) throw new UsageError(`invalid argument "${text}" for "--${name}" flag: bad format: ${text}`);
    return { Path: text.slice(0, at), Rate: parseBytes(name, text.slice(at + 1)) };
  });

export function ulimit(text: string): { Name: string; Soft: number; Hard: number } {
  const match = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match?.[1])
    throw new UsageError(`invalid argument "${text}" for "--ulimit" flag: invalid ulimit argument: ${text}`);
  const Soft = Number(match[2]);
  const Hard = Number(match[3] ?? match[2]);
  if (Hard >= 0 && Soft > Hard)
    throw new UsageError(
      `invalid argument "${text}" for "--ulimit" flag: ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`,
    );
  return { Name: match[1], Soft, Hard };
}

export function device(text: string): {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
} {
  const [host = "", second, third] = text.split(":");
  const permissions = /^[rwm]{1,3}$/;
  if (third !== undefined)
    return { PathOnHost: host, PathInContainer: second ?? host, CgroupPermissions: third };
  if (second !== undefined && permissions.test(second))
    return { PathOnHost: host, PathInContainer: host, CgroupPermissions: second };
  return { PathOnHost: host, PathInContainer: second ?? host, CgroupPermissions: "rwm" };
}

export function restartPolicy(text: string): { Name: string; MaximumRetryCount: number } {
  const [Name = "", count] = text.split(":");
  if (count !== undefined && !/^\d+$/.test(count))
    throw new UsageError("invalid restart policy format: maximum retry count must be an integer");
  return { Name, MaximumRetryCount: Number(count ?? 0) };
}

export function cpus(text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || Number.isNaN(value))
    throw new UsageError(
      `invalid argument "${text}" for "--cpus" flag: failed to parse ${text} as a rational number`,
    );
  return Math.round(value * 1e9);
}

/** --hugetlb-limit 2MB=64m, --net-cls-id 0x100001, --net-prio eth0=5: what was given. */
export function rareLimits(flags: ParsedFlags): {
  HugetlbLimits?: { PageSize: string; Limit: number }[];
  NetClassId?: number;
  NetPriorities?: { Name: string; Priority: number }[];
} {
  const pairs = (name: string): [string, string][] =>
    flags.list(name).map((text) => {
      const at = text.indexOf("=");
      if (at <= 0)
        throw new UsageError(`invalid argument "${text}" for "--${name}" flag: bad format: ${text}`);
      return [text.slice(0, at), text.slice(at + 1)];
    });
  const whole = (name: string, text: string): number => {
    const number = /^(0x[\da-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(number))
      throw new UsageError(`invalid argument "${text}" for "--${name}" flag: not a whole number`);
    return number;
  };
  return {
    ...(flags.has("hugetlb-limit")
      ? {
          HugetlbLimits: pairs("hugetlb-limit").map(([PageSize, limit]) => ({
            PageSize,
            Limit: parseBytes("hugetlb-limit", limit),
          })),
        }
      : {}),
    ...(flags.has("net-cls-id") ? { NetClassId: whole("net-cls-id", flags.text("net-cls-id") ?? "") } : {}),
    ...(flags.has("net-prio")
      ? {
          NetPriorities: pairs("net-prio").map(([Name, priority]) => ({
            Name,
            Priority: whole("net-prio", priority),
          })),
        }
      : {}),
  };
}
