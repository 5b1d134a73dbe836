// Traffic control as rtnetlink messages (linux/pkt_sched.h, linux/pkt_cls.h): token buckets (TBF), classes (HTB) with filters
// by protocol and port (u32), and the way by which what comes in is shaped like what goes out (ingress, mirred, ifb). Pure.
import { type Attribute, message, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, parseAttributes } from "./message.ts";

const RTM_NEWLINK = 16;
const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTCLASS = 40;
const RTM_DELTCLASS = 41;
const RTM_GETTCLASS = 42;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const NLM_F_REPLACE = 0x100;
const IFLA_LINKINFO = 18;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const ROOT = 0xffffffff;
const INGRESS = 0xfffffff1;
const INGRESS_HANDLE = 0xffff0000;
/** Of our root qdiscs: 1: in tc's writing. */
const HANDLE = 1 << 16;
const LINKLAYER_ETHERNET = 1;
const ETH_P_ALL = 0x0003;
export const ETHERTYPES = { 4: 0x0800, 6: 0x86dd } as const;

function header(index: number, handle: number, parent: number, info = 0): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(handle >>> 0, 8);
  bytes.writeUInt32LE(parent >>> 0, 12);
  bytes.writeUInt32LE(info >>> 0, 16);
  return bytes;
}

/** struct tc_ratespec; a rate beyond 32 bits goes into an attribute of its own. */
function rateSpec(bytesPerSecond: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(LINKLAYER_ETHERNET, 1);
  bytes.writeUInt32LE(Math.min(bytesPerSecond, 0xffffffff), 8);
  return bytes;
}

function u64(value: number): Attribute["1"] {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return { bytes };
}

export interface TokenBucket {
  /** Bits per second. */
  rate: number;
  /** Bytes. */
  burst: number;
  /** Bytes that wait, at most. */
  limit: number;
  /** What a burst itself is held to, by a second bucket, in bits per second and bytes. */
  ceiling: { rate: number; burst: number } | undefined;
}

/** A bucket of tokens, in place of the one that is there. */
export function tokenBucket(index: number, bucket: TokenBucket): Buffer {
  const rate = Math.floor(bucket.rate / 8);
  const peak = Math.floor((bucket.ceiling?.rate ?? 0) / 8);
  const parameters = Buffer.alloc(36);
  parameters.set(rateSpec(rate), 0);
  if (bucket.ceiling) parameters.set(rateSpec(peak), 12);
  parameters.writeUInt32LE(Math.min(bucket.limit, 0xffffffff), 24);
  return message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, header(index, HANDLE, ROOT), [
    [TCA_KIND, { string: "tbf" }],
    [
      TCA_OPTIONS,
      {
        nested: [
          [1, { bytes: parameters }],
          [6, { u32: bucket.burst }],
          ...(rate > 0xffffffff ? ([[4, u64(rate)]] as const) : []),
          ...(bucket.ceiling ? ([[7, { u32: bucket.ceiling.burst }]] as const) : []),
          ...(peak > 0xffffffff ? ([[5, u64(peak)]] as const) : []),
        ],
      },
    ],
  ]);
}

/** A root of classes; what no filter finds goes to the class `fallback`. */
export function classRoot(index: number, fallback: number): Buffer {
  const parameters = Buffer.alloc(20);
  parameters.writeUInt32LE(3, 0); // HTB's version
  parameters.writeUInt32LE(10, 4); // rate2quantum; each class has a quantum of its own
  parameters.writeUInt32LE(fallback, 8);
  return message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, header(index, HANDLE, ROOT), [
    [TCA_KIND, { string: "htb" }],
    [TCA_OPTIONS, { nested: [[2, { bytes: parameters }]] }],
  ]);
}

export interface ClassSettings {
  /** Its number, and that of the class it borrows from; 0 for the root. */
  number: number;
  parent: number;
  /** Bits per second: what it gets in any case, and what it may borrow up to. */
  rate: number;
  ceiling: number;
  /** Bytes that may come at once: as far as the rate is concerned, and at most. */
  burst: number;
  ceilingBurst: number;
  /** 0 is asked first when there is something to lend. */
  priority: number;
}

/** The kernel counts bursts in ticks of 64 ns at the class's rate (PSCHED_TICKS2NS). */
const ticks = (burst: number, rate: number): number =>
  Math.min(Math.ceil((burst / rate) * (1e9 / 64)), 0xffffffff);

/** A class of a root of classes; one that is there is changed, with its counters and what waits in it. */
export function trafficClass(index: number, settings: ClassSettings): Buffer {
  const rate = Math.max(1, Math.floor(settings.rate / 8));
  const ceiling = Math.max(rate, Math.floor(settings.ceiling / 8));
  const parameters = Buffer.alloc(44);
  parameters.set(rateSpec(rate), 0);
  parameters.set(rateSpec(ceiling), 12);
  parameters.writeUInt32LE(ticks(settings.burst, rate), 24);
  parameters.writeUInt32LE(ticks(settings.ceilingBurst, ceiling), 28);
  // What one class sends before it is another's turn: a packet before segmentation at least.
  parameters.writeUInt32LE(Math.min(200_000, Math.max(60_000, Math.floor(rate / 100))), 32);
  parameters.writeUInt32LE(settings.priority, 40);
  return message(
    RTM_NEWTCLASS,
    NLM_F_CREATE,
    header(index, HANDLE | settings.number, settings.parent ? HANDLE | settings.parent : HANDLE),
    [
      [TCA_KIND, { string: "htb" }],
      [
        TCA_OPTIONS,
        {
          nested: [
            [1, { bytes: parameters }],
            ...(rate > 0xffffffff ? ([[6, u64(rate)]] as const) : []),
            ...(ceiling > 0xffffffff ? ([[7, u64(ceiling)]] as const) : []),
          ],
        },
      ],
    ],
  );
}

export const deleteClass = (index: number, number: number): Buffer =>
  message(RTM_DELTCLASS, 0, header(index, HANDLE | number, 0), []);

/** A word of the packet, `offset` bytes into its network header, that must be `value` under `mask`. */
export interface U32Key {
  offset: number;
  mask: number;
  value: number;
}

/** struct tc_u32_sel with its keys. */
function selector(keys: readonly U32Key[]): Buffer {
  const TERMINAL = 1;
  const bytes = Buffer.alloc(16 + 16 * keys.length);
  bytes.writeUInt8(TERMINAL, 0);
  bytes.writeUInt8(keys.length, 2);
  keys.forEach(({ offset, mask, value }, position) => {
    const at = 16 + 16 * position;
    bytes.writeUInt32BE(mask >>> 0, at);
    bytes.writeUInt32BE(value >>> 0, at + 4);
    bytes.writeInt32LE(offset, at + 8);
  });
  return bytes;
}

const filterInfo = (priority: number, etherType: number): number =>
  ((priority << 16) | (((etherType & 0xff) << 8) | (etherType >> 8))) >>> 0;

/** Leads packets of an EtherType that all keys fit to a class. */
export const classFilter = (
  index: number,
  filter: { priority: number; etherType: number; keys: readonly U32Key[]; number: number },
): Buffer =>
  message(
    RTM_NEWTFILTER,
    NLM_F_CREATE | NLM_F_EXCL,
    header(index, 0, HANDLE, filterInfo(filter.priority, filter.etherType)),
    [
      [TCA_KIND, { string: "u32" }],
      [
        TCA_OPTIONS,
        {
          nested: [
            [1, { u32: HANDLE | filter.number }],
            [5, { bytes: selector(filter.keys) }],
          ],
        },
      ],
    ],
  );

/** Takes away all filters of a priority, which are of one EtherType. */
export const deleteFilters = (index: number, priority: number, etherType: number): Buffer =>
  message(RTM_DELTFILTER, 0, header(index, 0, HANDLE, filterInfo(priority, etherType)), []);

/** Where filters on what comes in by a link are put. */
export const ingressQdisc = (index: number): Buffer =>
  message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, header(index, INGRESS_HANDLE, INGRESS), [
    [TCA_KIND, { string: "ingress" }],
  ]);

/** Leads everything that comes in by one link out through another (of kind ifb), from where it goes on as if it had just
 * come in. */
export function redirectIngress(index: number, to: number): Buffer {
  const TC_ACT_STOLEN = 4;
  const TCA_EGRESS_REDIR = 1;
  const parameters = Buffer.alloc(28);
  parameters.writeInt32LE(TC_ACT_STOLEN, 8);
  parameters.writeInt32LE(TCA_EGRESS_REDIR, 20);
  parameters.writeUInt32LE(to, 24);
  const action: Attribute = [
    1,
    {
      nested: [
        [1, { string: "mirred" }],
        [2, { nested: [[2, { bytes: parameters }]] }],
      ],
    },
  ];
  return message(
    RTM_NEWTFILTER,
    NLM_F_CREATE | NLM_F_EXCL,
    header(index, 0, INGRESS_HANDLE, filterInfo(1, ETH_P_ALL)),
    [
      [TCA_KIND, { string: "u32" }],
      [
        TCA_OPTIONS,
        {
          nested: [
            [5, { bytes: selector([{ offset: 0, mask: 0, value: 0 }]) }],
            [7, { nested: [action] }],
          ],
        },
      ],
    ],
  );
}

/** A link that only passes on what is led to it, up at once. */
export function createIfb(link: { name: string; index: number }): Buffer {
  const IFF_UP = 1;
  const linkHeader = Buffer.alloc(16);
  linkHeader.writeInt32LE(link.index, 4);
  linkHeader.writeUInt32LE(IFF_UP, 8);
  linkHeader.writeUInt32LE(IFF_UP, 12);
  return message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, linkHeader, [
    [3, { string: link.name }],
    [13, { u32: 1000 }], // IFLA_TXQLEN
    [IFLA_LINKINFO, { nested: [[1, { string: "ifb" }]] }],
  ]);
}

/** Takes away what shapes what goes out by a link, or, with `ingress`, what comes in. */
export const deleteQdisc = (index: number, ingress = false): Buffer =>
  message(RTM_DELQDISC, 0, header(index, 0, ingress ? INGRESS : ROOT), []);

/** Everything of a kind that a link has. */
export const getQdiscs = (index: number): Buffer =>
  message(RTM_GETQDISC, NLM_F_DUMP, header(index, 0, 0), []);
export const getClasses = (index: number): Buffer =>
  message(RTM_GETTCLASS, NLM_F_DUMP, header(index, 0, 0), []);

/** What a kernel lacks that refuses to make something, in words; undefined where the reason is another. */
export function missingInKernel(bytes: Buffer, errno: number): string | undefined {
  const ENOENT = 2;
  const EOPNOTSUPP = 95;
  const type = bytes.readUInt16LE(4);
  const attributes = parseAttributes(bytes.subarray(type === RTM_NEWLINK ? 32 : 36));
  const word = (value: Buffer | undefined): string => value?.toString("latin1").replace(/\0.*$/s, "") ?? "";
  if (type === RTM_NEWLINK && errno === EOPNOTSUPP) {
    const kind = word(parseAttributes(attributes.get(IFLA_LINKINFO) ?? Buffer.alloc(0)).get(1));
    return kind && `this kernel has no links of kind ${kind} (module ${kind})`;
  }
  const kind = word(attributes.get(TCA_KIND));
  if (errno !== ENOENT || !kind) return undefined;
  if (type === RTM_NEWQDISC) return `this kernel has no queueing discipline ${kind} (module sch_${kind})`;
  if (type !== RTM_NEWTFILTER) return undefined;
  // The filter may be there, and the action in it not.
  return `this kernel has no traffic filter ${kind}, or not its action (modules cls_${kind}, act_mirred)`;
}
