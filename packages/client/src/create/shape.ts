// --net-rate-out and its like: how a container's traffic is shaped.
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { type FlagTable, type ParsedFlags, parseBytes, parseInteger, UsageError } from "../flags.ts";

type NetworkShape = NonNullable<NonNullable<ContainerCreateRequest["HostConfig"]>["NetworkShape"]>;

export const shapeFlags: FlagTable = {
  "net-burst-in": ["text"],
  "net-burst-out": ["text"],
  "net-ceil-in": ["text"],
  "net-ceil-out": ["text"],
  "net-class": ["list"],
  "net-connections-in": ["text"],
  "net-connections-out": ["text"],
  "net-packets-in": ["text"],
  "net-packets-out": ["text"],
  "net-rate-in": ["text"],
  "net-rate-out": ["text"],
};

const units: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9 };

/** Bits per second of "10mbit". */
function rate(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)(?:bit|bps)?$/i.exec(text);
  if (!match)
    throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: not a rate such as 10mbit`);
  return Math.round(Number(match[1]) * (units[(match[2] ?? "").toLowerCase()] ?? 1));
}

/** name=ftp,dir=out,proto=tcp,port=21,rate=50mbit,ceil=100mbit,prio=1 */
function trafficClass(text: string): NonNullable<NetworkShape["Classes"]>[number] {
  const fields = Object.fromEntries(
    text.split(",").map((part) => part.split(/=(.*)/s, 2) as [string, string]),
  );
  const {
    name = "",
    dir = "out",
    proto = "tcp",
    port = "",
    rate: own = "0",
    ceil = "0",
    prio = "0",
  } = fields;
  return {
    Name: name,
    Direction: dir,
    Protocol: proto,
    Ports: port,
    Rate: rate("net-class", own),
    Ceiling: rate("net-class", ceil),
    Priority: Number(prio),
  };
}

/** What the flags say; undefined if nothing. `none` of an update takes a limit away. */
export function networkShape(flags: ParsedFlags): NetworkShape | undefined {
  if (!Object.keys(shapeFlags).some((name) => flags.has(name))) return undefined;
  const read = (name: string, parse: (flag: string, text: string) => number): number => {
    const text = flags.text(name);
    if (text === undefined) return 0;
    return text === "none" ? -1 : parse(name, text);
  };
  const way = (name: string) => ({
    Rate: read(`net-rate-${name}`, rate),
    Burst: read(`net-burst-${name}`, parseBytes),
    Ceiling: read(`net-ceil-${name}`, rate),
  });
  const both = (name: string) => ({
    Out: read(`net-${name}-out`, parseInteger),
    In: read(`net-${name}-in`, parseInteger),
  });
  return {
    Out: way("out"),
    In: way("in"),
    Classes: flags.list("net-class").map(trafficClass),
    PacketsPerSecond: both("packets"),
    ConnectionsPerSecond: both("connections"),
  };
}
