// Expressions of nf_tables rules (linux/netfilter/nf_tables.h): small instructions that load, compare and decide. Pure.
import type { Attribute } from "../netlink/message.ts";

/** One expression of a rule. */
export type Expression = Attribute;

/** The 4-byte registers: a value of more bytes takes as many as it needs, one after the other (NFT_REG32_00…15). */
export const register = (number: number): number => 8 + number;
const VERDICT_REGISTER = 0;

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;

const expression = (name: string, attributes: readonly Attribute[]): Expression => [
  NFTA_LIST_ELEM,
  {
    nested: [
      [NFTA_EXPR_NAME, { string: name }],
      ...(attributes.length ? [[NFTA_EXPR_DATA, { nested: attributes }] as const] : []),
    ],
  },
];

/** A 32-bit value in the host's order, as the kernel keeps interface indexes and marks. */
export function native32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** A 16-bit value in network order: ports, EtherTypes. */
export function network16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

const data = (value: Uint8Array): Attribute["1"] => ({ nested: [[NFTA_DATA_VALUE, { bytes: value }]] });

const counterBody = (): Attribute[] => [
  [NFTA_EXPR_NAME, { string: "counter" }],
  [
    NFTA_EXPR_DATA,
    {
      nested: [
        [1, { be64: 0n }],
        [2, { be64: 0n }],
      ],
    },
  ],
];

/** What a rule can decide; the codes of linux/netfilter.h and enum nft_verdicts. */
export type Verdict = "accept" | "drop" | "return" | { jump: string } | { goto: string };

/** A verdict as an attribute's value, for rules and for maps of verdicts. */
export function verdictData(verdict: Verdict): Attribute["1"] {
  const NFTA_VERDICT_CODE = 1;
  const NFTA_VERDICT_CHAIN = 2;
  const codes = { drop: 0, accept: 1, return: -5 };
  const code = typeof verdict === "string" ? codes[verdict] : "jump" in verdict ? -3 : -4;
  const chain = typeof verdict === "string" ? undefined : "jump" in verdict ? verdict.jump : verdict.goto;
  const nested: Attribute[] = [[NFTA_VERDICT_CODE, { be32: code }]];
  if (chain) nested.push([NFTA_VERDICT_CHAIN, { string: chain }]);
  return { nested: [[NFTA_DATA_VERDICT, { nested }]] };
}

/** Goes on only if the bytes in the register are between two values, both included. */
export const between = (first: Uint8Array, last: Uint8Array, source = register(0)): Expression[] =>
  Buffer.compare(first, last) === 0
    ? [compare("==", first, source)]
    : [compare(">=", first, source), compare("<=", last, source)];

/** Ends the rule with a verdict. */
export const verdict = (value: Verdict): Expression =>
  expression("immediate", [
    [1, { be32: VERDICT_REGISTER }],
    [2, verdictData(value)],
  ]);

/** Puts a constant into a register. */
export const immediate = (destination: number, value: Uint8Array): Expression =>
  expression("immediate", [
    [1, { be32: destination }],
    [2, data(value)],
  ]);

const metaKeys = {
  protocol: 1,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  l4proto: 16,
} as const;

/** Loads what the kernel knows of a packet besides its bytes. */
export const meta = (key: keyof typeof metaKeys, destination = register(0)): Expression =>
  expression("meta", [
    [1, { be32: destination }],
    [2, { be32: metaKeys[key] }],
  ]);

const bases = { link: 0, network: 1, transport: 2 } as const;
export type PayloadBase = keyof typeof bases;

/** Loads bytes of a header. */
export const payload = (
  base: PayloadBase,
  offset: number,
  length: number,
  destination = register(0),
): Expression =>
  expression("payload", [
    [1, { be32: destination }],
    [2, { be32: bases[base] }],
    [3, { be32: offset }],
    [4, { be32: length }],
  ]);

/** Writes bytes of a header from a register and mends the checksum at `checksumOffset` of the same header. */
export const writePayload = (
  base: PayloadBase,
  offset: number,
  length: number,
  source: number,
  checksumOffset: number,
): Expression =>
  expression("payload", [
    [2, { be32: bases[base] }],
    [3, { be32: offset }],
    [4, { be32: length }],
    [5, { be32: source }],
    [6, { be32: 1 }], // NFT_PAYLOAD_CSUM_INET
    [7, { be32: checksumOffset }],
  ]);

/** Gives the frame another destination on its link, from a register of 6 bytes. */
export const writeDestination = (source: number): Expression =>
  expression("payload", [
    [2, { be32: bases.link }],
    [3, { be32: 0 }],
    [4, { be32: 6 }],
    [5, { be32: source }],
  ]);

/** Sends a copy of the packet out by the interface whose index is in the register; in netdev tables. */
export const duplicateTo = (interfaceRegister: number): Expression =>
  expression("dup", [[2, { be32: interfaceRegister }]]);

const comparisons = { "==": 0, "!=": 1, "<": 2, "<=": 3, ">": 4, ">=": 5 } as const;

/** Goes on with the rule only if the register compares so with a constant. */
export const compare = (
  operator: keyof typeof comparisons,
  value: Uint8Array,
  source = register(0),
): Expression =>
  expression("cmp", [
    [1, { be32: source }],
    [2, { be32: comparisons[operator] }],
    [3, data(value)],
  ]);

/** register = (register & mask) ^ 0. */
export const maskBits = (mask: Uint8Array, source = register(0)): Expression =>
  expression("bitwise", [
    [1, { be32: source }],
    [2, { be32: source }],
    [3, { be32: mask.length }],
    [4, data(mask)],
    [5, data(Buffer.alloc(mask.length))],
  ]);

/** Goes on only if the key from `source` on is (or, inverted, is not) in a set. */
export const inSet = (set: string, source = register(0), inverted = false): Expression =>
  expression("lookup", [
    [1, { string: set }],
    [2, { be32: source }],
    ...(inverted ? ([[5, { be32: 1 }]] as const) : []),
  ]);

/** Loads what a map holds for the key from `source` on; without an entry the rule ends. */
export const lookUp = (map: string, source: number, destination: number): Expression =>
  expression("lookup", [
    [1, { string: map }],
    [2, { be32: source }],
    [3, { be32: destination }],
  ]);

/** Decides by a map of verdicts; without an entry the rule ends. */
export const decideBy = (map: string, source = register(0)): Expression =>
  lookUp(map, source, VERDICT_REGISTER);

const connectionKeys = { state: 0, status: 2, mark: 3 } as const;

/** Loads what connection tracking knows of the packet. */
export const connection = (key: keyof typeof connectionKeys, destination = register(0)): Expression =>
  expression("ct", [
    [1, { be32: destination }],
    [2, { be32: connectionKeys[key] }],
  ]);

const originalKeys = {
  protocol: 10,
  destinationPort: 12,
  source: 19,
  destination: 20,
  source6: 21,
  destination6: 22,
} as const;

/** Loads a part of the connection's first packet, whichever way the packet at hand goes: addresses of IPv4 or IPv6 (for
 * packets of the other kind the rule ends), the port it was sent to, its protocol. */
export const originally = (key: keyof typeof originalKeys, destination = register(0)): Expression =>
  expression("ct", [
    [1, { be32: destination }],
    [2, { be32: originalKeys[key] }],
    [3, { bytes: Buffer.from([0]) }], // IP_CT_DIR_ORIGINAL
  ]);

/** Remembers a key in a set, for as long as the set keeps its elements; each counts its packets. */
export const remember = (set: string, source: number, milliseconds: number): Expression =>
  expression("dynset", [
    [1, { string: set }],
    [3, { be32: 1 }], // NFT_DYNSET_OP_UPDATE
    [4, { be32: source }],
    [6, { be64: BigInt(milliseconds) }],
    [7, { nested: counterBody() }],
  ]);

/** Bits of `connection("state")`. */
export const ConnectionState = { invalid: 1, established: 2, related: 4, new: 8 } as const;
/** The bit of `connection("status")` of connections that were redirected (IPS_DST_NAT). */
export const DESTINATION_NAT = 32;

/** Goes on only if any of the bits is set in a register of 32 bits in the host's order. */
export const anyBit = (bits: number, source = register(0)): Expression[] => [
  maskBits(native32(bits), source),
  compare("!=", native32(0), source),
];

/** Goes on only if the destination is an address of this host's (RTN_LOCAL). */
export const destinationIsLocal = (): Expression[] => [
  expression("fib", [
    [1, { be32: register(0) }],
    [2, { be32: 3 }], // NFT_FIB_RESULT_ADDRTYPE
    [3, { be32: 2 }], // NFTA_FIB_F_DADDR
  ]),
  compare("==", native32(2)),
];

/** Redirects the connection to the address and port in registers. */
export const destinationNat = (family: 4 | 6, address: number, port: number): Expression =>
  expression("nat", [
    [1, { be32: 1 }], // NFT_NAT_DNAT
    [2, { be32: family === 4 ? 2 : 10 }],
    [3, { be32: address }],
    [5, { be32: port }],
  ]);

/** Gives the connection the outgoing interface's address. */
export const masquerade = (): Expression => expression("masq", []);

/** Counts packets and bytes from here on. */
export const counter = (): Expression => [NFTA_LIST_ELEM, { nested: counterBody() }];

/** Goes on while the rate (packets per second) is kept, or, with `over`, once it is exceeded. */
export const packetRate = (perSecond: number, burst: number, over = false): Expression =>
  expression("limit", [
    [1, { be64: BigInt(perSecond) }],
    [2, { be64: 1n }], // seconds
    [3, { be32: burst }],
    [4, { be32: 0 }], // NFT_LIMIT_PKTS
    [5, { be32: over ? 1 : 0 }],
  ]);
