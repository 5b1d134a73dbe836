// Answers from the networks' own names: addresses, and names of addresses.
import { isIPv4 } from "node:net";
import { addressBytes } from "@tsd/kernel-bindings";
import { encode } from "dns-packet";
import type { NameDirectory } from "./directory.ts";
import { CLASS_IN, HEADER_BYTES, type Question, Type } from "./message.ts";

/** Docker's; resolvers in containers that keep answers longer than a connection do so at their own risk. */
export const LOCAL_TTL = 600;
/** A pointer to the question's name, which every record of ours is about. */
const NAME_OF_QUESTION = 0xc00c;

/** A record about the name that was asked for. */
function record(type: number, data: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(12 + data.length);
  bytes.writeUInt16BE(NAME_OF_QUESTION, 0);
  bytes.writeUInt16BE(type, 2);
  bytes.writeUInt16BE(CLASS_IN, 4);
  bytes.writeUInt32BE(LOCAL_TTL, 6);
  bytes.writeUInt16BE(data.length, 10);
  bytes.set(data, 12);
  return bytes;
}

/** A name as labels: what stands between header and type of a message that asks for it. */
const nameBytes = (name: string): Buffer =>
  encode({ type: "query", questions: [{ type: "PTR", name }] }).subarray(HEADER_BYTES, -4);

/** A copy in random order: each member of a service is to be the first as often as the others. */
export function shuffled<T>(list: readonly T[], random: () => number = Math.random): T[] {
  const copy = [...list];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other] as T, copy[last] as T];
  }
  return copy;
}

const IPV4_REVERSE = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/;
const IPV6_REVERSE = /^((?:[0-9a-f]\.){32})ip6\.arpa$/;

/** An IPv6 address's sixteen bytes as text (RFC 5952). */
function shortened(groups: readonly number[]): string {
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  if (best.at < 0) return text(groups);
  return `${text(groups.slice(0, best.at))}::${text(groups.slice(best.at + best.length))}`;
}

/** The address whose name is asked for by a name below in-addr.arpa or ip6.arpa, or undefined. */
export function reversedAddress(name: string): string | undefined {
  const four = IPV4_REVERSE.exec(name);
  if (four) {
    const address = four.slice(1).reverse().map(Number).join(".");
    return isIPv4(address) ? address : undefined;
  }
  const digits = IPV6_REVERSE.exec(name)?.[1]?.replaceAll(".", "");
  if (!digits) return undefined;
  const hex = [...digits].reverse().join("");
  return shortened(
    Array.from({ length: 8 }, (_, group) => Number.parseInt(hex.slice(group * 4, group * 4 + 4), 16)),
  );
}

/** Records that answer a question about one of our names: none for a name that has no such records, undefined for a name
 * that is not ours. */
export function localRecords(
  directory: NameDirectory,
  containerId: string,
  question: Question,
): Buffer[] | undefined {
  if (question.class !== CLASS_IN) return undefined;
  const { type, name } = question;
  const address = name.endsWith(".arpa") ? reversedAddress(name) : undefined;
  if (address) {
    const names = directory.reverse(containerId, address);
    if (!names) return undefined;
    return type === Type.PTR || type === Type.ANY
      ? names.map((target) => record(Type.PTR, nameBytes(target)))
      : [];
  }
  const found = directory.lookup(containerId, name);
  if (!found) return undefined;
  const records: Buffer[] = [];
  if (type === Type.A || type === Type.ANY)
    for (const ipv4 of shuffled(found.ipv4)) records.push(record(Type.A, addressBytes(ipv4)));
  if (type === Type.AAAA || type === Type.ANY)
    for (const ipv6 of shuffled(found.ipv6)) records.push(record(Type.AAAA, addressBytes(ipv6)));
  return records;
}
