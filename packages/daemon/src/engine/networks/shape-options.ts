// How traffic is to be shaped, as requests say it: HostConfig.NetworkShape, options of networks and of endpoints. Pure.
import type { NetworkShape } from "../../api/schemas/container-create.ts";
import type { Shape, ShapeClass, ShapeDirection } from "../../runtime/network/shape.ts";
import { invalid } from "../errors.ts";

type Texts = Readonly<Record<string, string>>;

const units: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9 };
const FASTEST = 1e12;
const MOST_CLASSES = 64;
/** Each is four filters at least. */
const MOST_PORTS = 16;
/** A bucket must hold a whole frame. */
const SMALLEST_BURST = 2000;
const PREFIX = "tsd.";
const directions = ["out", "in"] as const;

/** Bits per second of "10mbit", "1gbit", "500k", "64000". Throws for what is none. */
export function parseRate(field: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)(?:bit|bps)?$/i.exec(text.trim());
  const rate = Math.round(Number(match?.[1]) * (units[(match?.[2] ?? "").toLowerCase()] ?? 1));
  if (!match || rate < 8 || rate > FASTEST)
    throw invalid(`${field}: invalid rate "${text}": not a number such as 10mbit`);
  return rate;
}

/** Bytes of "64k". Throws for what is none. */
function parseBurst(field: string, text: string): number {
  const match = /^(\d+)([km]?)b?$/i.exec(text.trim());
  const bytes = Number(match?.[1]) * 1024 ** " km".indexOf((match?.[2] ?? "").toLowerCase() || " ");
  if (!match || bytes < SMALLEST_BURST || bytes > 1 << 30)
    throw invalid(`${field}: invalid burst "${text}": from ${SMALLEST_BURST} bytes to 1g`);
  return bytes;
}

function parseCount(field: string, text: string): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) === 0)
    throw invalid(`${field}: "${text}" is no number of packets or connections`);
  return Number(text);
}

/** "80", "8000-8100", "21;20". */
function parsePorts(field: string, text: string): ShapeClass["ports"] {
  const parts = text.split(";").filter((part) => part !== "");
  if (parts.length > MOST_PORTS)
    throw invalid(`${field}: at most ${MOST_PORTS} ports or ranges, not ${parts.length}`);
  return parts.map((part) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (!match || first < 1 || last > 65535 || last < first)
      throw invalid(`${field}: invalid port "${part}"`);
    return { first, last };
  });
}

interface NamedClass extends ShapeClass {
  direction: "out" | "in";
}

/** "dir=out,proto=tcp,port=21,rate=50mbit,ceil=100mbit,prio=1". */
function parseClass(field: string, name: string, text: string): NamedClass {
  const fields = Object.fromEntries(
    text.split(",").map((part) => part.split(/=(.*)/s, 2) as [string, string]),
  );
  const known = ["name", "dir", "proto", "port", "rate", "ceil", "prio"];
  const unknown = Object.keys(fields).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalid(`${field}: unknown "${unknown}": not one of ${known.join(", ")}`);
  return checkClass(field, {
    Name: name,
    Direction: fields.dir ?? "out",
    Protocol: fields.proto ?? "tcp",
    Ports: fields.port ?? "",
    Rate: fields.rate ? parseRate(`${field}.rate`, fields.rate) : 0,
    Ceiling: fields.ceil ? parseRate(`${field}.ceil`, fields.ceil) : 0,
    Priority: Number(fields.prio ?? 0),
  });
}

function checkClass(field: string, one: NetworkShape["Classes"][number]): NamedClass {
  const { Name, Direction, Protocol, Ports, Rate, Ceiling, Priority } = one;
  if (!/^[\w.-]{1,32}$/.test(Name)) throw invalid(`${field}: invalid name "${Name}"`);
  if (Direction !== "out" && Direction !== "in")
    throw invalid(`${field}: invalid direction "${Direction}": neither out nor in`);
  if (!["tcp", "udp", "sctp", "icmp"].includes(Protocol))
    throw invalid(`${field}: invalid protocol "${Protocol}"`);
  if (Protocol === "icmp" && Ports !== "") throw invalid(`${field}: icmp has no ports`);
  if (Rate < 8) throw invalid(`${field}: a class needs a rate`);
  if (Ceiling !== 0 && Ceiling < Rate) throw invalid(`${field}: the ceiling is below the rate`);
  if (!Number.isInteger(Priority) || Priority < 0 || Priority > 7)
    throw invalid(`${field}: invalid priority ${Priority}: from 0 to 7`);
  return {
    name: Name,
    direction: Direction,
    protocol: Protocol as ShapeClass["protocol"],
    ports: parsePorts(field, Ports),
    rate: Rate,
    ceiling: Ceiling,
    priority: Priority,
  };
}

type Parts = { [D in "out" | "in"]: Partial<Omit<ShapeDirection, "classes">> & { classes?: NamedClass[] } };

const readers: Readonly<Record<string, (field: string, text: string) => number>> = {
  rate: parseRate,
  burst: parseBurst,
  ceil: parseRate,
  packets: parseCount,
  connections: parseCount,
};

/** What options say: tsd.rate.out, tsd.burst.in, tsd.ceil.out, tsd.packets.out, tsd.connections.in, tsd.class.NAME. */
function partsOfOptions(options: Texts): Parts {
  const parts: Parts = { out: {}, in: {} };
  for (const [name, text] of Object.entries(options)) {
    if (!name.startsWith(PREFIX) || name.startsWith("tsd.network.")) continue;
    const [, kind = "", rest = ""] = /^tsd\.([^.]+)\.(.+)$/.exec(name) ?? [];
    const read = readers[kind];
    if (kind === "class") addClass(parts, parseClass(name, rest, text));
    else if (read && (rest === "out" || rest === "in"))
      Object.assign(parts[rest], { [kind === "ceil" ? "ceiling" : kind]: read(name, text) });
    else
      throw invalid(
        `unknown option ${name}: not tsd.{rate,burst,ceil,packets,connections}.{out,in} nor tsd.class.NAME`,
      );
  }
  return parts;
}

function addClass(parts: Parts, one: NamedClass): void {
  const own = parts[one.direction];
  own.classes = [...(own.classes ?? []).filter(({ name }) => name !== one.name), one];
}

/** What HostConfig says, as far as it says anything. */
function partsOfRequest(shape: NetworkShape | null): Parts {
  const parts: Parts = { out: {}, in: {} };
  if (!shape) return parts;
  for (const direction of directions) {
    const key = direction === "out" ? "Out" : "In";
    const { Rate, Burst, Ceiling } = shape[key];
    const field = `NetworkShape.${key}`;
    for (const [name, rate] of Object.entries({ Rate, Ceiling }))
      if (rate < 0 || rate > FASTEST || (rate > 0 && rate < 8))
        throw invalid(`${field}.${name}: invalid rate ${rate}`);
    if (Burst !== 0 && (Burst < SMALLEST_BURST || Burst > 1 << 30))
      throw invalid(`${field}.Burst: invalid burst ${Burst}`);
    for (const [name, limits] of Object.entries({
      PacketsPerSecond: shape.PacketsPerSecond,
      ConnectionsPerSecond: shape.ConnectionsPerSecond,
    }))
      if (limits[key] < 0 || limits[key] > 1e9)
        throw invalid(`NetworkShape.${name}.${key}: invalid number ${limits[key]}`);
    Object.assign(
      parts[direction],
      Rate ? { rate: Rate } : {},
      Burst ? { burst: Burst } : {},
      Ceiling ? { ceiling: Ceiling } : {},
      shape.PacketsPerSecond[key] ? { packets: shape.PacketsPerSecond[key] } : {},
      shape.ConnectionsPerSecond[key] ? { connections: shape.ConnectionsPerSecond[key] } : {},
    );
  }
  shape.Classes.forEach((one, index) => {
    addClass(parts, checkClass(`NetworkShape.Classes.${index}`, one));
  });
  return parts;
}

/** Reads everything that is said of one endpoint: its network's options are the defaults of its own, and those of its
 * container's HostConfig. Throws for what can't be, naming it. */
export function readShape(network: Texts, endpoint: Texts, container: NetworkShape | null): Shape {
  const all = [partsOfOptions(network), partsOfOptions(endpoint), partsOfRequest(container)];
  const direction = (name: "out" | "in"): ShapeDirection => {
    const classes = new Map(
      all.flatMap((parts) => (parts[name].classes ?? []).map((one) => [one.name, one] as const)),
    );
    if (classes.size > MOST_CLASSES)
      throw invalid(`at most ${MOST_CLASSES} classes in one direction, not ${classes.size}`);
    const merged = Object.assign(
      { rate: 0, burst: 0, ceiling: 0, packets: 0, connections: 0 },
      ...all.map((parts) => parts[name]),
    ) as ShapeDirection;
    // A ceiling without a rate is one.
    if (!merged.rate) Object.assign(merged, { rate: merged.ceiling, ceiling: 0 });
    const own = [...classes.values()].map(({ direction: _direction, ...one }) => one);
    const sum = own.reduce((total, { rate }) => total + rate, 0);
    if (merged.rate && sum > merged.rate)
      throw invalid(
        `the classes of direction ${name} together have more than its rate: ${sum} of ${merged.rate} bits per second`,
      );
    if (merged.ceiling && merged.ceiling <= merged.rate)
      throw invalid(
        `the ceiling of direction ${name} is not above its rate: ${merged.ceiling} and ${merged.rate} bits per second`,
      );
    return { ...merged, classes: own };
  };
  return { out: direction("out"), in: direction("in") };
}

/** An update of a shape: 0 leaves a limit as it is, -1 takes it away; classes replace those of their names. */
export function mergeShapes(before: NetworkShape | null, update: NetworkShape | null): NetworkShape | null {
  if (!update) return before;
  if (!before) return mergeShapes(nothing, update);
  const number = (old: number, now: number): number => (now === 0 ? old : Math.max(now, 0));
  const merge = <T extends Readonly<Record<string, number>>>(old: T, now: T): T =>
    Object.fromEntries(
      Object.keys(now).map((key) => [key, number(old[key] ?? 0, now[key] ?? 0)]),
    ) as unknown as T;
  const changed = new Map(update.Classes.map((one) => [one.Name, one]));
  const known = new Set(before.Classes.map(({ Name }) => Name));
  return {
    Out: merge(before.Out, update.Out),
    In: merge(before.In, update.In),
    PacketsPerSecond: merge(before.PacketsPerSecond, update.PacketsPerSecond),
    ConnectionsPerSecond: merge(before.ConnectionsPerSecond, update.ConnectionsPerSecond),
    // Each stays where it is, so that the kernel's can be changed in their places. A class without a rate goes.
    Classes: [
      ...before.Classes.map((one) => changed.get(one.Name) ?? one),
      ...update.Classes.filter(({ Name }) => !known.has(Name)),
    ].filter(({ Rate }) => Rate > 0),
  };
}

const nothing: NetworkShape = {
  Out: { Rate: 0, Burst: 0, Ceiling: 0 },
  In: { Rate: 0, Burst: 0, Ceiling: 0 },
  Classes: [],
  PacketsPerSecond: { Out: 0, In: 0 },
  ConnectionsPerSecond: { Out: 0, In: 0 },
};
