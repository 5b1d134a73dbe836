// Which subnet a network gets when nobody says: the first of the pools that nothing else uses.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { EngineError, notFound } from "../errors.ts";
import { Subnet } from "./subnet.ts";

/** A stretch of addresses that is cut into subnets of one size. */
export interface AddressPoolSetting {
  base: string;
  size: number;
}

/** dockerd's own. */
const usual: readonly AddressPoolSetting[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/16", size: 16 },
  { base: "172.19.0.0/16", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
];

const MOST_SUBNETS = 1n << 16n;

/** IPv4 routes of this network namespace (proc(5), /proc/net/route): what is reached there can't be a container network. */
function routedSubnets(): Subnet[] {
  const lines = readFileSync("/proc/net/route", "utf8").trim().split("\n").slice(1);
  return lines.flatMap((line) => {
    const [, destination = "0", , , , , , mask = "0"] = line.split(/\s+/);
    const native = (hex: string): bigint => BigInt(Buffer.from(hex, "hex").reverse().readUInt32BE(0));
    const prefixLength = native(mask).toString(2).replaceAll("0", "").length;
    return prefixLength === 0 ? [] : [new Subnet(4, native(destination), prefixLength)];
  });
}

/** Cuts subnets for networks that ask for none. */
export class SubnetChooser {
  readonly #pools: readonly AddressPoolSetting[];
  /** Of this installation: its own random prefix below fd00::/8 (RFC 4193). */
  readonly #unique: Subnet;

  constructor(pools: readonly AddressPoolSetting[], installation: string) {
    this.#pools = pools.length > 0 ? pools : usual;
    const digest = createHash("sha256").update(installation).digest();
    this.#unique = new Subnet(6, (0xfdn << 120n) | (BigInt(`0x${digest.toString("hex", 0, 5)}`) << 80n), 48);
  }

  /** The first free one that overlaps none of `taken`. Throws with Docker's words when there is none. */
  choose(family: 4 | 6, taken: readonly Subnet[]): Subnet {
    const used = family === 4 ? [...taken, ...routedSubnets()] : taken;
    const own = this.#pools.flatMap(({ base, size }) => {
      const pool = Subnet.parse(base);
      return pool?.family === family ? [{ pool, size }] : [];
    });
    const pools = family === 6 && own.length === 0 ? [{ pool: this.#unique, size: 64 }] : own;
    for (const { pool, size } of pools) {
      const step = 1n << BigInt((family === 4 ? 32 : 128) - size);
      const count = pool.size / step < MOST_SUBNETS ? pool.size / step : MOST_SUBNETS;
      for (let number = 0n; number < count; number++) {
        const candidate = new Subnet(family, pool.base + number * step, size);
        if (!used.some((other) => other.overlaps(candidate))) return candidate;
      }
    }
    throw notFound(
      `could not find an available, non-overlapping IPv${family} address pool among the defaults to assign to the network`,
    );
  }
}

/** Throws if a subnet that somebody asks for is another network's, or one that the host has a route to by another way. */
export function checkFree(subnet: Subnet, taken: readonly Subnet[]): void {
  if (taken.some((other) => other.overlaps(subnet)))
    throw new EngineError("forbidden", "Pool overlaps with other one on this address space");
}
