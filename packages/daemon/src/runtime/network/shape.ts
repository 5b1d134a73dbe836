// How a container's traffic is shaped: what is asked for, as qdiscs, classes and filters on the host's end of its link (what
// comes to it) and on an ifb (what it sends). Pure.
import { traffic } from "@tsd/kernel-bindings";

/** Traffic of one service: a protocol, and its port at either end. */
export interface ShapeClass {
  name: string;
  protocol: "tcp" | "udp" | "sctp" | "icmp";
  ports: readonly { first: number; last: number }[];
  /** Bits per second: what it gets in any case, and what it may borrow up to. */
  rate: number;
  ceiling: number;
  /** 0 (first) to 7. */
  priority: number;
}

/** One direction; 0 for no limit. */
export interface ShapeDirection {
  /** Bits per second. */
  rate: number;
  /** Bytes; 0 for one that fits the rate. */
  burst: number;
  /** Bits per second that a burst goes at; 0 for the link's own speed. */
  ceiling: number;
  classes: readonly ShapeClass[];
  /** Packets, and new TCP connections, in a second. */
  packets: number;
  connections: number;
}

/** As seen from the container: what it sends, and what comes to it. */
export interface Shape {
  out: ShapeDirection;
  in: ShapeDirection;
}

/** A link of kind ifb. */
export interface Shaper {
  name: string;
  index: number;
}

const ROOT_CLASS = 1;
const FIRST_CLASS = 0x10;
const REST_CLASS = 0xff;
/** Some packets; a packet before segmentation, as far as the rate allows; what two ticks of the timer let through (1/250 s). */
const SMALLEST_BURST = 16_000;
const WHOLE_PACKET = 70_000;
const TICKS_PER_SECOND = 250;
/** Seconds that a packet may wait in a bucket before others are dropped. */
const LATENCY = 0.05;
const protocolNumbers = {
  4: { tcp: 6, udp: 17, sctp: 132, icmp: 1 },
  6: { tcp: 6, udp: 17, sctp: 132, icmp: 58 },
} as const;

export const burstOf = (rate: number, asked: number): number =>
  asked ||
  Math.ceil(
    Math.max(SMALLEST_BURST, Math.min(WHOLE_PACKET, rate / 8 / 50), (rate / 8 / TICKS_PER_SECOND) * 2),
  );

/** Whether a direction needs a qdisc. */
export const isShaped = ({ rate, classes }: ShapeDirection): boolean => rate > 0 || classes.length > 0;

/** Blocks of ports that one mask covers each. */
export function portBlocks(first: number, last: number): { value: number; mask: number }[] {
  const blocks: { value: number; mask: number }[] = [];
  for (let port = first; port <= last; ) {
    let size = 1;
    while (port % (size * 2) === 0 && port + size * 2 - 1 <= last) size *= 2;
    blocks.push({ value: port, mask: 0xffff & ~(size - 1) });
    port += size;
  }
  return blocks;
}

/** A class as tc(8) writes it. */
export const classHandle = (number: number): string => `1:${number.toString(16)}`;
/** The number of the class at a position. */
export const classNumber = (position: number): number => FIRST_CLASS + position;

/** Filters of one priority are of one EtherType. */
const filterPriority = (position: number, family: 4 | 6): number => position * 2 + (family === 4 ? 1 : 2);
const families = [4, 6] as const;

/** Filters of a class: for IPv4 and IPv6, for each block of ports, at either end. Ports are looked for in headers without
 * options, and in no fragment but the first: further ones have none. */
function filters(index: number, { protocol, ports }: ShapeClass, position: number): Buffer[] {
  return families.flatMap((family) => {
    const code = protocolNumbers[family][protocol];
    // The protocol is the third byte of IPv4's third word, and the third byte of IPv6's second.
    const own: traffic.U32Key =
      family === 4
        ? { offset: 8, mask: 0x00ff0000, value: code << 16 }
        : { offset: 4, mask: 0x0000ff00, value: code << 8 };
    const transport = family === 4 ? 20 : 40;
    const plain: traffic.U32Key[] =
      family === 4
        ? [
            { offset: 0, mask: 0x0f000000, value: 0x05000000 },
            { offset: 4, mask: 0x00001fff, value: 0 },
          ]
        : [];
    const keys =
      ports.length === 0
        ? [[own]]
        : ports
            .flatMap(({ first, last }) => portBlocks(first, last))
            .flatMap(({ value, mask }) => [
              [...plain, own, { offset: transport, mask: mask << 16, value: value << 16 }],
              [...plain, own, { offset: transport, mask, value }],
            ]);
    return keys.map((list) =>
      traffic.classFilter(index, {
        priority: filterPriority(position, family),
        etherType: traffic.ETHERTYPES[family],
        keys: list,
        number: classNumber(position),
      }),
    );
  });
}

/** What the classes of a direction are to be, by their numbers. */
export function classSettings(direction: ShapeDirection): traffic.ClassSettings[] {
  const { rate, burst, ceiling, classes } = direction;
  const sum = classes.reduce((total, { rate: own }) => total + own, 0);
  const total = rate || Math.max(sum, ...classes.map(({ ceiling: own }) => own));
  const rest = Math.max(total - sum, Math.ceil(total / 100));
  const most = ceiling || total;
  const make = (number: number, own: number, upTo: number, priority: number): traffic.ClassSettings => ({
    number,
    parent: number === ROOT_CLASS ? 0 : ROOT_CLASS,
    rate: own,
    ceiling: upTo,
    burst: burstOf(upTo, burst),
    ceilingBurst: burstOf(upTo, ceiling ? 0 : burst),
    priority,
  });
  return [
    make(ROOT_CLASS, total, most, 0),
    ...classes.map((one, position) =>
      make(classNumber(position), one.rate, Math.min(one.ceiling || most, most), one.priority),
    ),
    make(REST_CLASS, rest, most, 7),
  ];
}

/** The whole of a direction: of what goes out by a link. */
export function rootMessages(index: number, direction: ShapeDirection): Buffer[] {
  const { rate, burst, ceiling, classes } = direction;
  if (classes.length === 0) {
    const size = burstOf(rate, burst);
    return [
      traffic.tokenBucket(index, {
        rate,
        burst: size,
        limit: Math.ceil((rate / 8) * LATENCY) + size,
        ceiling: ceiling ? { rate: ceiling, burst: burstOf(ceiling, 0) } : undefined,
      }),
    ];
  }
  return [
    traffic.classRoot(index, REST_CLASS),
    ...classSettings(direction).map((settings) => traffic.trafficClass(index, settings)),
    ...classes.flatMap((one, position) => filters(index, one, position)),
  ];
}

const sameFilters = (one: ShapeClass, other: ShapeClass | undefined): boolean =>
  one.protocol === other?.protocol && JSON.stringify(one.ports) === JSON.stringify(other.ports);

/** What turns the classes of a direction into others where they are, so that their counters go on and nothing that waits is
 * lost; undefined where the tree must be made anew, since classes keep their numbers. */
export function changeMessages(
  index: number,
  before: ShapeDirection,
  after: ShapeDirection,
): Buffer[] | undefined {
  const [old, now] = [before.classes, after.classes];
  if (old.length === 0 || now.length === 0) return undefined;
  if (old.some(({ name }, position) => position < now.length && now[position]?.name !== name))
    return undefined;
  const gone = old.slice(now.length).map((_, position) => now.length + position);
  const unfiltered = (position: number): Buffer[] =>
    families.map((family) =>
      traffic.deleteFilters(index, filterPriority(position, family), traffic.ETHERTYPES[family]),
    );
  return [
    ...gone.flatMap((position) => [
      ...unfiltered(position),
      traffic.deleteClass(index, classNumber(position)),
    ]),
    ...classSettings(after).map((settings) => traffic.trafficClass(index, settings)),
    ...now.flatMap((one, position) => {
      const was = old[position];
      if (sameFilters(one, was)) return [];
      return [...(was ? unfiltered(position) : []), ...filters(index, one, position)];
    }),
  ];
}

/** What is sent to the kernel for a new link: what comes to the container goes out by it, what the container sends comes in
 * by it, and is led through the ifb. */
export function shapeMessages(index: number, shape: Shape, shaper: Shaper | undefined): Buffer[] {
  return [
    ...(isShaped(shape.in) ? rootMessages(index, shape.in) : []),
    ...(shaper && isShaped(shape.out)
      ? [
          traffic.createIfb(shaper),
          ...rootMessages(shaper.index, shape.out),
          traffic.ingressQdisc(index),
          traffic.redirectIngress(index, shaper.index),
        ]
      : []),
  ];
}

export const unshaped: Shape = {
  out: { rate: 0, burst: 0, ceiling: 0, classes: [], packets: 0, connections: 0 },
  in: { rate: 0, burst: 0, ceiling: 0, classes: [], packets: 0, connections: 0 },
};
