// --device, --gpus, the limits per device, and --ulimit.
import { UsageError } from "../flags.ts";
import { commaFields, pairs, parseBytes, splitPair } from "../values.ts";

const permissions = /^[rwm]{1,3}$/;

/** vendor/class=name, by the container device interface. */
export const isNamedDevice = (text: string): boolean => /^[\w.-]+\/[\w.-]+=[\w.:-]+$/.test(text);

export interface DeviceMapping {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
}

/** /dev/x[:/dev/y][:rwm] */
export function parseDevice(text: string): DeviceMapping {
  const [host = "", second, third, ...more] = text.split(":");
  if (more.length > 0) throw new UsageError(`invalid device specification: ${text}`);
  if (third !== undefined && !permissions.test(third)) throw new UsageError(`bad mode specified: ${third}`);
  if (second !== undefined && third === undefined && permissions.test(second))
    return { PathOnHost: host, PathInContainer: host, CgroupPermissions: second };
  return { PathOnHost: host, PathInContainer: second || host, CgroupPermissions: third ?? "rwm" };
}

export interface DeviceRequest {
  Driver?: string;
  Count?: number;
  DeviceIDs?: string[];
  Capabilities?: string[][];
  Options?: Record<string, string>;
}

/** all, a number, or count=…,device=…,capabilities=…. */
export function parseGpus(text: string): DeviceRequest {
  const request: DeviceRequest = {};
  const capabilities = ["gpu"];
  const count = (value: string): number => {
    if (value === "all") return -1;
    if (!/^-?\d+$/.test(value))
      throw new Error(`invalid count (${value}): value must be either "all" or an integer`);
    return Number(value);
  };
  for (const field of commaFields(text)) {
    const [key, value] = splitPair(field);
    if (!field.includes("=")) request.Count = count(field);
    else if (key === "count") request.Count = count(value);
    else if (key === "driver") request.Driver = value;
    else if (key === "device") request.DeviceIDs = value.split(",");
    else if (key === "capabilities") capabilities.push(...value.split(","));
    else if (key === "options") request.Options = pairs(value.split(","));
    else throw new Error(`unexpected key '${key}' in '${field}'`);
  }
  if (request.Count === undefined && !request.DeviceIDs) request.Count = 1;
  return { ...request, Capabilities: [capabilities] };
}

function pathAnd(text: string): [string, string] {
  const [path, value] = splitPair(text, ":");
  if (!value) throw new Error(`bad format: ${text}`);
  if (!path.startsWith("/dev/")) throw new Error(`bad format for device path: ${text}`);
  return [path, value];
}

/** /dev/x:WEIGHT */
export function parseWeight(text: string): { Path: string; Weight: number } {
  const [Path, weight] = pathAnd(text);
  const Weight = Number(weight);
  if (!/^\d+$/.test(weight) || (Weight !== 0 && (Weight < 10 || Weight > 1000)))
    throw new Error(`invalid weight for device: ${text}`);
  return { Path, Weight };
}

/** /dev/x:RATE[unit] in bytes per second */
export function parseByteRate(text: string): { Path: string; Rate: number } {
  const [Path, rate] = pathAnd(text);
  try {
    return { Path, Rate: parseBytes(rate) };
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
    );
  }
}

/** /dev/x:RATE in operations per second */
export function parseOperationRate(text: string): { Path: string; Rate: number } {
  const [Path, rate] = pathAnd(text);
  if (!/^\d+$/.test(rate))
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    );
  return { Path, Rate: Number(rate) };
}

const limitNames = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  ),
);

/** nofile=soft[:hard] */
export function parseUlimit(text: string): { Name: string; Soft: number; Hard: number } {
  const [Name, values] = splitPair(text);
  if (!values) throw new Error(`invalid ulimit argument: ${text}`);
  if (!limitNames.has(Name)) throw new Error(`invalid ulimit type: ${Name}`);
  const [soft = "", hard = soft, ...more] = values.split(":");
  if (more.length > 0)
    throw new Error(`too many limit value arguments - ${values}, can only have up to two, \`soft[:hard]\``);
  for (const value of [soft, hard])
    if (!/^-?\d+$/.test(value))
      throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  const Soft = Number(soft);
  const Hard = Number(hard);
  if (Hard >= 0 && (Soft > Hard || Soft === -1))
    throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
  return { Name, Soft, Hard };
}
