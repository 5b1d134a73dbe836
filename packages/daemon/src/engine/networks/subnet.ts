// Subnets of IPv4 and IPv6 as numbers: parsing, membership, overlap.
import { isIPv4, isIPv6 } from "node:net";
import { addressBytes, addressText } from "@tsd/kernel-bindings";

/** Whether a text is an address of one of the two families. */
export const isAddress = (text: string): boolean => isIPv4(text) || (isIPv6(text) && !text.includes("%"));

/** An address as a number. */
export function addressNumber(address: string): bigint {
  return BigInt(`0x${Buffer.from(addressBytes(address)).toString("hex")}`);
}

export const formatAddress = (number: bigint, family: 4 | 6): string =>
  addressText(Buffer.from(number.toString(16).padStart(family === 4 ? 8 : 32, "0"), "hex"));

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
