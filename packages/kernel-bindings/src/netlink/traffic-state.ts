// What shapes a link's traffic, read back from the kernel with its counters (TCA_STATS2, linux/gen_stats.h).
import { parseAttributes } from "./message.ts";
import { netlinkDump } from "./socket.ts";
import { getClasses, getQdiscs } from "./traffic-control.ts";

export interface TrafficCounters {
  bytes: number;
  packets: number;
  dropped: number;
  overlimits: number;
  /** Bytes that wait. */
  backlog: number;
}

/** A qdisc or a class as the kernel has it; rates in bits per second, 0 where it has none. */
export interface TrafficState extends TrafficCounters {
  kind: string;
  /** "1:" or "1:10", as tc(8) writes it. */
  handle: string;
  rate: number;
  ceiling: number;
}

const none = Buffer.alloc(0);
const handleText = (handle: number): string =>
  `${(handle >>> 16).toString(16)}:${handle & 0xffff ? (handle & 0xffff).toString(16) : ""}`;

function counters(statistics: Buffer): TrafficCounters {
  const parts = parseAttributes(statistics);
  // struct gnet_stats_basic: bytes, packets; struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits.
  const basic = parts.get(1);
  const queue = parts.get(3);
  return {
    bytes: Number(basic?.readBigUInt64LE(0) ?? 0n),
    packets: basic?.readUInt32LE(8) ?? 0,
    backlog: queue?.readUInt32LE(4) ?? 0,
    dropped: queue?.readUInt32LE(8) ?? 0,
    overlimits: queue?.readUInt32LE(16) ?? 0,
  };
}

/** The rate in a struct tc_ratespec, or in an attribute for what does not fit there; bytes per second. */
const rateIn = (parameters: Buffer | undefined, offset: number, large: Buffer | undefined): number =>
  large
    ? Number(large.readBigUInt64LE())
    : parameters && parameters.length >= offset + 12
      ? parameters.readUInt32LE(offset + 8)
      : 0;

function state(body: Buffer): TrafficState {
  const attributes = parseAttributes(body.subarray(20));
  const kind = attributes.get(1)?.toString("latin1").replace(/\0$/, "") ?? "";
  const options = parseAttributes(attributes.get(2) ?? none);
  const parameters = kind === "tbf" || kind === "htb" ? options.get(1) : undefined;
  const rate = rateIn(parameters, 0, kind === "tbf" ? options.get(4) : options.get(6));
  // A bucket's second rate is 0 where it has none.
  const ceiling = rateIn(parameters, 12, kind === "tbf" ? options.get(5) : options.get(7)) || rate;
  return {
    kind,
    handle: handleText(body.readUInt32LE(8)),
    rate: rate * 8,
    ceiling: ceiling * 8,
    ...counters(attributes.get(7) ?? none),
  };
}

const ofLink = (bodies: readonly Buffer[], index: number): TrafficState[] =>
  bodies.filter((body) => body.readInt32LE(4) === index).map(state);

/** The qdiscs and classes of a link of the daemon's network namespace. */
export const readTraffic = (index: number): { qdiscs: TrafficState[]; classes: TrafficState[] } => ({
  qdiscs: ofLink(netlinkDump(getQdiscs(index), `qdiscs of ${index}`), index),
  classes: ofLink(netlinkDump(getClasses(index), `classes of ${index}`), index),
});

/** The qdiscs of every link of the daemon's network namespace, by the links' indexes. */
export function readAllQdiscs(): Map<number, TrafficState[]> {
  const found = new Map<number, TrafficState[]>();
  for (const body of netlinkDump(getQdiscs(0), "qdiscs")) {
    const index = body.readInt32LE(4);
    found.set(index, [...(found.get(index) ?? []), state(body)]);
  }
  return found;
}
