// Hands out the addresses of one IPv4 network, lowest first, each to one container.

const toNumber = (address: string): number =>
  address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
const toAddress = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");

export class AddressPool {
  readonly #first: number;
  readonly #last: number;
  readonly #taken = new Set<number>();
  /** Just given back addresses rest a while: neighbours may still know their old holders. */
  #next: number;
  /** The network in CIDR notation. */
  readonly network: string;

  /** `gateway` is the bridge's address, never handed out. */
  constructor(gateway: string, prefixLength: number) {
    const size = 2 ** (32 - prefixLength);
    const base = Math.floor(toNumber(gateway) / size) * size;
    this.network = `${toAddress(base)}/${prefixLength}`;
    this.#first = base + 1;
    this.#last = base + size - 2;
    this.#taken.add(toNumber(gateway));
    this.#next = this.#first;
  }

  /** Takes the lowest free address. Throws when there is none. */
  allocate(): string {
    for (let candidate = this.#next; candidate <= this.#last; candidate++) {
      if (this.#taken.has(candidate)) continue;
      this.#taken.add(candidate);
      this.#next = candidate + 1;
      return toAddress(candidate);
    }
    throw new Error(`no free address in network ${this.network}`);
  }

  /** Marks an address that a running container was found with. */
  reserve(address: string): void {
    this.#taken.add(toNumber(address));
  }

  release(address: string): void {
    const number = toNumber(address);
    this.#taken.delete(number);
    if (number < this.#next) this.#next = number;
  }
}
