// Tables, chains, rules, sets and their elements as nf_tables messages (linux/netfilter/nf_tables.h): pure, so that plans can
// carry and tests compare them. A batch of them takes effect as a whole or not at all.
import { type Attribute, message, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE } from "../netlink/message.ts";
import { type Expression, type Verdict, verdictData } from "./expressions.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const types = {
  newTable: 0,
  deleteTable: 2,
  newChain: 3,
  deleteChain: 5,
  newRule: 6,
  getRules: 7,
  deleteRule: 8,
  newSet: 9,
  deleteSet: 11,
  newElement: 12,
  getElements: 13,
  deleteElement: 14,
  getGeneration: 16,
  /** Linux 6.3: as delete, and no error if it is not there. */
  destroyTable: 26,
} as const;

export type Family = "ip" | "ip6" | "inet" | "bridge" | "netdev";
const families: Readonly<Record<Family, number>> = { inet: 1, ip: 2, netdev: 5, bridge: 7, ip6: 10 };

/** A table, by its family and name. */
export interface Table {
  family: Family;
  name: string;
}

function familyHeader(family: number, resource = 0): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt8(family, 0);
  header.writeUInt16BE(resource, 2);
  return header;
}

/** One nf_tables message. */
export const tablesMessage = (
  type: keyof typeof types,
  family: Family,
  flags: number,
  attributes: readonly Attribute[],
): Buffer =>
  message((NFNL_SUBSYS_NFTABLES << 8) | types[type], flags, familyHeader(families[family]), attributes);

/** Messages in the frame that makes them one transaction. The frame itself is not acknowledged. */
export function batch(messages: readonly Buffer[]): Buffer {
  const frame = (type: number): Buffer => {
    const bytes = message(type, 0, familyHeader(0, NFNL_SUBSYS_NFTABLES), []);
    bytes.writeUInt16LE(bytes.readUInt16LE(6) & ~NLM_F_ACK, 6);
    return bytes;
  };
  return Buffer.concat([frame(NFNL_MSG_BATCH_BEGIN), ...messages, frame(NFNL_MSG_BATCH_END)]);
}

/** Makes a table; nothing happens if it is there. */
export const newTable = (table: Table): Buffer =>
  tablesMessage("newTable", table.family, NLM_F_CREATE, [[1, { string: table.name }]]);
/** Removes a table with all that is in it. An error if it is not there. */
export const deleteTable = (table: Table): Buffer =>
  tablesMessage("deleteTable", table.family, 0, [[1, { string: table.name }]]);
/** Removes what there is of a table, on kernels of any age: made first, so that there is something to remove. */
export const emptyTable = (table: Table): Buffer[] => [newTable(table), deleteTable(table), newTable(table)];

const hooks = {
  prerouting: 0,
  input: 1,
  forward: 2,
  output: 3,
  postrouting: 4,
  // Of netdev tables.
  ingress: 0,
  egress: 1,
} as const;

/** A chain; with a hook, packets come to it by themselves, in the order of priorities. */
export interface Chain {
  name: string;
  hook?: {
    type: "filter" | "nat" | "route";
    at: keyof typeof hooks;
    priority: number;
    policy?: "accept" | "drop";
    /** Of netdev tables: the interface, by name; the chain goes with it. */
    device?: string;
  };
}

export function newChain(table: Table, { name, hook }: Chain): Buffer {
  const attributes: Attribute[] = [
    [1, { string: table.name }],
    [3, { string: name }],
  ];
  if (hook)
    attributes.push(
      [
        4,
        {
          nested: [
            [1, { be32: hooks[hook.at] }],
            [2, { be32: hook.priority }],
            ...(hook.device ? ([[3, { string: hook.device }]] as const) : []),
          ],
        },
      ],
      [5, { be32: hook.policy === "drop" ? 0 : 1 }],
      [7, { string: hook.type }],
    );
  return tablesMessage("newChain", table.family, NLM_F_CREATE, attributes);
}

/** Removes a chain that no rule and no map leads to. */
export const deleteChain = (table: Table, chain: string): Buffer =>
  tablesMessage("deleteChain", table.family, 0, [
    [1, { string: table.name }],
    [3, { string: chain }],
  ]);

/** nft(8) shows what it finds here as the rule's comment. */
function comment(text: string): Attribute {
  const NFTA_RULE_USERDATA = 7;
  const UDATA_COMMENT = 0;
  const bytes = Buffer.from(`${text.slice(0, 127)}\0`);
  return [NFTA_RULE_USERDATA, { bytes: Buffer.concat([Buffer.from([UDATA_COMMENT, bytes.length]), bytes]) }];
}

/** Appends a rule to a chain. */
export const newRule = (
  table: Table,
  chain: string,
  expressions: readonly Expression[],
  about = "",
): Buffer =>
  tablesMessage("newRule", table.family, NLM_F_CREATE | NLM_F_APPEND, [
    [1, { string: table.name }],
    [2, { string: chain }],
    [4, { nested: expressions }],
    ...(about ? [comment(about)] : []),
  ]);

/** Removes every rule of a chain. */
export const flushChain = (table: Table, chain: string): Buffer =>
  tablesMessage("deleteRule", table.family, 0, [
    [1, { string: table.name }],
    [2, { string: chain }],
  ]);

/** The types by which nft(8) prints keys and data; the kernel only needs their sizes. */
const datatypes = {
  ipv4: { number: 7, size: 4 },
  ipv6: { number: 8, size: 16 },
  ether: { number: 9, size: 6 },
  protocol: { number: 12, size: 1 },
  port: { number: 13, size: 2 },
  mark: { number: 19, size: 4 },
  interface: { number: 20, size: 4 },
} as const;
export type Datatype = keyof typeof datatypes;

const padded = (size: number): number => (size + 3) & ~3;

/** A type's number and bytes; of a concatenation, each part takes whole registers. */
function combined(parts: readonly Datatype[]): { number: number; size: number } {
  const [only] = parts;
  if (parts.length === 1 && only) return datatypes[only];
  return {
    number: parts.reduce((number, part) => (number << 6) | datatypes[part].number, 0),
    size: parts.reduce((size, part) => size + padded(datatypes[part].size), 0),
  };
}

/** A set of keys, or a map from keys to data or verdicts. */
export interface TableSet {
  name: string;
  key: readonly Datatype[];
  data?: readonly Datatype[] | "verdict";
  /** Filled by packets themselves (rule.remember): how long elements stay, and how many there may be. */
  learned?: { milliseconds: number; size: number };
}

let setNumber = 0;

export function newSet(table: Table, set: TableSet): Buffer {
  const NFT_SET_MAP = 0x8;
  const NFT_SET_TIMEOUT = 0x10;
  const NFT_SET_EVAL = 0x20;
  const key = combined(set.key);
  const attributes: Attribute[] = [
    [1, { string: table.name }],
    [2, { string: set.name }],
    [3, { be32: (set.data ? NFT_SET_MAP : 0) | (set.learned ? NFT_SET_TIMEOUT | NFT_SET_EVAL : 0) }],
    [4, { be32: key.number }],
    [5, { be32: key.size }],
    // A number by which one message of a batch can refer to another; we go by names.
    [10, { be32: ++setNumber }],
  ];
  if (set.learned)
    attributes.push(
      [9, { nested: [[1, { be32: set.learned.size }]] }],
      [11, { be64: BigInt(set.learned.milliseconds) }],
    );
  // nft(8) wants to be told that a key is in the host's order.
  if (set.key.length === 1 && set.key[0] === "interface")
    attributes.push([13, { bytes: Buffer.from([0, 4, 1, 0, 0, 0]) }]);
  if (set.data === "verdict") attributes.push([6, { be32: 0xffffff00 }]);
  else if (set.data) {
    const value = combined(set.data);
    attributes.push([6, { be32: value.number }], [7, { be32: value.size }]);
  }
  return tablesMessage("newSet", table.family, NLM_F_CREATE, attributes);
}

/** Removes a set that no rule looks into any more. */
export const deleteSet = (table: Table, set: string): Buffer =>
  tablesMessage("deleteSet", table.family, 0, [
    [1, { string: table.name }],
    [2, { string: set }],
  ]);

/** Removes every element of a set. */
export const flushSet = (table: Table, set: string): Buffer =>
  tablesMessage("deleteElement", table.family, 0, [
    [1, { string: table.name }],
    [2, { string: set }],
  ]);

/** The bytes of a key or a value of several parts. */
export const concatenation = (...parts: readonly Uint8Array[]): Buffer =>
  Buffer.concat(
    parts.map((part) => {
      const bytes = Buffer.alloc(parts.length === 1 ? part.length : padded(part.length));
      bytes.set(part);
      return bytes;
    }),
  );

/** An element of a set, or of a map with what it leads to. */
export interface Element {
  key: Uint8Array;
  data?: Uint8Array;
  verdict?: Verdict;
}

/** Elements that fit into one message's attribute of 64 kB. */
const ELEMENTS_PER_MESSAGE = 400;

function elements(
  type: "newElement" | "deleteElement",
  table: Table,
  set: string,
  list: readonly Element[],
  flags: number,
): Buffer[] {
  const messages: Buffer[] = [];
  for (let first = 0; first < list.length; first += ELEMENTS_PER_MESSAGE) {
    const nested = list.slice(first, first + ELEMENTS_PER_MESSAGE).map(
      ({ key, data, verdict }, index): Attribute => [
        index + 1,
        {
          nested: [
            [1, { nested: [[1, { bytes: key }]] }],
            ...(data ? ([[2, { nested: [[1, { bytes: data }]] }]] as const) : []),
            ...(verdict ? ([[2, verdictData(verdict)]] as const) : []),
          ],
        },
      ],
    );
    messages.push(
      tablesMessage(type, table.family, flags, [
        [1, { string: table.name }],
        [2, { string: set }],
        [3, { nested }],
      ]),
    );
  }
  return messages;
}

/** Adds elements; those that are there with the same data stay. */
export const addElements = (table: Table, set: string, list: readonly Element[]): Buffer[] =>
  elements("newElement", table, set, list, NLM_F_CREATE);
/** Removes elements, by their keys. An error if one is not there. */
export const deleteElements = (table: Table, set: string, list: readonly Element[]): Buffer[] =>
  elements("deleteElement", table, set, list, 0);
