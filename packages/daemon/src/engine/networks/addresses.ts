// Hands out the addresses of one subnet, lowest first, each to one endpoint.
import { addressNumber, formatAddress, type Subnet } from "./subnet.ts";

/** How many addresses are looked at before a subnet counts as full: a /64 is never walked through. */
const MOST = 1n << 20n;

export class AddressPool {
  readonly subnet: Subnet;
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #taken = new Set<bigint>();
  /** No address below this one is free. */
  #next: bigint;

  /** `range` is the part of the subnet that addresses are taken from; `reserved` are never handed out. */
  constructor(subnet: Subnet, range: Subnet = subnet, reserved: readonly string[] = []) {
    this.subnet = subnet;
    const broadcast = subnet.family === 4 && subnet.prefixLength < 31 ? 1n : 0n;
    const end = range.base + range.size - 1n;
    // The subnet's own address is not a host's, but for networks of two (RFC 3021) or one.
    const begin = subnet.prefixLength < (subnet.family === 4 ? 31 : 127) ? subnet.base + 1n : subnet.base;
    this.#first = range.base > begin ? range.base : begin;
    this.#last = end === subnet.base + subnet.size - 1n ? end - broadcast : end;
    for (const address of reserved) this.#taken.add(addressNumber(address));
    this.#next = this.#first;
  }

  /** Takes the lowest free address. Undefined when there is none. */
  allocate(): string | undefined {
    const end = this.#last < this.#next + MOST ? this.#last : this.#next + MOST;
    for (let candidate = this.#next; candidate <= end; candidate++) {
      if (this.#taken.has(candidate)) continue;
      this.#taken.add(candidate);
      this.#next = candidate + 1n;
      return formatAddress(candidate, this.subnet.family);
    }
    return undefined;
  }

  /** Takes this address; false when somebody has it. */
  claim(address: string): boolean {
    const number = addressNumber(address);
    if (this.#taken.has(number)) return false;
    this.#taken.add(number);
    return true;
  }

  release(address: string): void {
    const number = addressNumber(address);
    this.#taken.delete(number);
    if (number < this.#next && number >= this.#first) this.#next = number;
  }
}
