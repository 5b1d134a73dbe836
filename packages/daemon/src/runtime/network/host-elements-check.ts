// Compares what a container ought to have in the daemon's own nf_tables with what the kernel has.
import { addressText, readElements, rule, type tables } from "@tsd/kernel-bindings";
import { type Entries, entryElements, GUARD, NAT, protocolNumbers } from "./host-elements.ts";

const hexadecimal = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** What one element is, and what it leads to, in hexadecimal. */
interface Known {
  table: tables.Table;
  set: string;
  key: string;
  data: string;
}

/** What the kernel has in its sets, by "family set": keys with what they lead to; what each container ought to have; and senders
 * by the link that they are of. */
export interface KernelElements {
  sets: ReadonlyMap<string, ReadonlyMap<string, string>>;
  expected: ReadonlyMap<string, readonly Known[]>;
  senders: ReadonlyMap<string, readonly { set: string; key: string }[]>;
  /** All that ought to be there, as "set key". */
  allowed: ReadonlySet<string>;
}

const GUARD_SETS = ["ports", "senders", "sources", "sources6", "hairpins"];
const SENDER_SETS: ReadonlySet<string> = new Set(["senders", "sources", "sources6"]);
/** A link's index, first in each sender's key. */
const LINK_LENGTH = 8;

/** Reads the sets, once for all containers. Throws KernelError where they are gone. */
export function readKernelElements(all: ReadonlyMap<string, Entries>): KernelElements {
  const sets = new Map<string, Map<string, string>>();
  const senders = new Map<string, { set: string; key: string }[]>();
  const read = (table: tables.Table, names: readonly string[]): void => {
    for (const set of names) {
      const found = new Map<string, string>();
      for (const element of readElements(table, set)) {
        const key = hexadecimal(element.key);
        found.set(key, hexadecimal(element.data));
        if (table !== GUARD || !SENDER_SETS.has(set)) continue;
        const link = key.slice(0, LINK_LENGTH);
        const list = senders.get(link);
        if (list) list.push({ set, key });
        else senders.set(link, [{ set, key }]);
      }
      sets.set(`${table.family} ${set}`, found);
    }
  };
  read(GUARD, GUARD_SETS);
  for (const family of [4, 6] as const) read(NAT[family], ["published", "bound", "open"]);
  const expected = new Map<string, Known[]>();
  const allowed = new Set<string>();
  for (const [id, entries] of all) {
    const own = entryElements(entries).map(
      ({ table, set, element: { key, data } }): Known => ({
        table,
        set,
        key: hexadecimal(key),
        data: data ? hexadecimal(data) : "",
      }),
    );
    expected.set(id, own);
    for (const { table, set, key } of own) if (table === GUARD) allowed.add(`${set} ${key}`);
  }
  return { sets, expected, senders, allowed };
}

export interface ElementDifference {
  what: string;
  expected: string;
  found: string;
}

const about = (table: tables.Table, set: string, key: string): string =>
  `nf_tables ${table.family} ${table.name}, set ${set}, ${elementText(set, Buffer.from(key, "hex"))}`;

/** What a container has too little, or its ports too much, in the tables: in words. */
export function compareElements(
  id: string,
  { ports }: Entries,
  { sets, expected, senders, allowed }: KernelElements,
): ElementDifference[] {
  const differences: ElementDifference[] = [];
  for (const { table, set, key, data } of expected.get(id) ?? []) {
    const found = sets.get(`${table.family} ${set}`)?.get(key);
    if (found === undefined)
      differences.push({ what: about(table, set, key), expected: "there", found: "not there" });
    else if (found !== data)
      differences.push({
        what: about(table, set, key),
        expected: elementData(data),
        found: elementData(found),
      });
  }
  for (const { index } of ports)
    for (const { set, key } of senders.get(hexadecimal(rule.native32(index))) ?? [])
      if (!allowed.has(`${set} ${key}`))
        differences.push({ what: about(GUARD, set, key), expected: "not there", found: "there" });
  return differences;
}
const protocolNames = new Map<number, string>(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name]),
);

/** A key in words: link, MAC address and address of a sender; address, protocol and port of what is published. */
function elementText(set: string, key: Uint8Array): string {
  const bytes = Buffer.from(key);
  const mac = (at: number): string => bytes.toString("hex", at, at + 6).replace(/(..)(?=.)/g, "$1:");
  if (set === "ports" || set === "hairpins") return `link ${bytes.readUInt32LE(0)}`;
  if (set === "senders") return `link ${bytes.readUInt32LE(0)}, ${mac(4)}`;
  if (set.startsWith("sources"))
    return `link ${bytes.readUInt32LE(0)}, ${mac(4)}, ${addressText(bytes.subarray(12))}`;
  const at = bytes.length - 8;
  const address = at > 0 ? `${addressText(bytes.subarray(0, at))} ` : "";
  return `${address}port ${bytes.readUInt16BE(at + 4)}/${protocolNames.get(bytes[at] ?? 0)}`;
}

/** What a published port leads to, in words. */
function elementData(data: string): string {
  const bytes = Buffer.from(data, "hex");
  const at = bytes.length - 4;
  return at > 0 ? `leads to ${addressText(bytes.subarray(0, at))} port ${bytes.readUInt16BE(at)}` : "there";
}
