// Subnets of IPv4 and IPv6 as numbers: parsing, membership, overlap.
import { isIPv4, isIPv6 } from "node:net";
import { addressBytes } from "@tsd/kernel-bindings";

/** Whether a text is an address of one of the two families. */
export const isAddress = (text: string): boolean => isIPv4(text) || (isIPv6(text) && !text.includes("%"));

/** An address as a number. */
export function addressNumber(address: string): bigint {
  return BigInt(`0x${Buffer.from(addressBytes(address)).toString("hex")}`);
}

/** RFC 5952: lower case, the longest run of zeros shortened. */
function formatIPv6(number: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((number >> BigInt(16 * (7 - index))) & 0xffffn).toString(16),
  );
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

const formatIPv4 = (number: bigint): string =>
  [24n, 16n, 8n, 0n].map((shift) => String((number >> shift) & 255n)).join(".");

export const formatAddress = (number: bigint, family: 4 | 6): string =>
  family === 4 ? formatIPv4(number) : formatIPv6(number);

/** An address as it is written canonically. */
export const canonicalAddress = (address: string): string =>
  formatAddress(addressNumber(address), isIPv4(address) ? 4 : 6);

export class Subnet {
  readonly family: 4 | 6;
  readonly base: bigint;
  readonly prefixLength: number;

  constructor(family: 4 | 6, base: bigint, prefixLength: number) {
    this.family = family;
    this.prefixLength = prefixLength;
    const host = BigInt((family === 4 ? 32 : 128) - prefixLength);
    this.base = (base >> host) << host;
  }

  /** Reads CIDR notation; undefined for what is none. `exact` wants the address to be the network's. */
  static parse(text: string): Subnet | undefined {
    const [address = "", length = "", more] = text.split("/");
    if (more !== undefined || !/^\d{1,3}$/.test(length) || !isAddress(address)) return undefined;
    const family = isIPv4(address) ? 4 : 6;
    if (Number(length) > (family === 4 ? 32 : 128)) return undefined;
    return new Subnet(family, addressNumber(address), Number(length));
  }

  get size(): bigint {
    return 1n << BigInt((this.family === 4 ? 32 : 128) - this.prefixLength);
  }

  /** The address at a place in the subnet. */
  at(offset: bigint): string {
    return formatAddress(this.base + offset, this.family);
  }

  contains(address: string): boolean {
    if (isIPv4(address) !== (this.family === 4)) return false;
    const number = addressNumber(address);
    return number >= this.base && number < this.base + this.size;
  }

  overlaps(other: Subnet): boolean {
    return (
      this.family === other.family &&
      this.base < other.base + other.size &&
      other.base < this.base + this.size
    );
  }

  within(other: Subnet): boolean {
    return this.overlaps(other) && this.prefixLength >= other.prefixLength;
  }

  toString(): string {
    return `${this.at(0n)}/${this.prefixLength}`;
  }
}
