// One network in memory: its record, its addresses, its links on the host, and who is in it.
import { randomBytes } from "node:crypto";
import type { Sight } from "../access/caller.ts";
import { EngineError } from "../errors.ts";
import { AddressPool } from "./addresses.ts";
import type { BridgeOptions } from "./bridge-options.ts";
import type { EndpointState, IpamConfig, NetworkRecord } from "./record.ts";
import { Subnet } from "./subnet.ts";
import type { EndpointContext } from "./validate.ts";

interface Pool {
  addresses: AddressPool;
  /** The bridge's own address, or that of the router in a macvlan network; "" without one. */
  gateway: string;
}

/** Addresses that an endpoint was given. */
export type Addresses = Pick<
  EndpointState,
  "address" | "prefixLength" | "gateway" | "address6" | "prefixLength6" | "gateway6"
>;

const addressInUse = (): EngineError => new EngineError("forbidden", "Address already in use");

/** The names of networks that are always there. */
export const predefined: ReadonlySet<string> = new Set(["bridge", "host", "none"]);

export class Network {
  readonly record: NetworkRecord;
  /** Of bridges. */
  readonly bridge: BridgeOptions | undefined;
  /** The bridge or parent on the host, while the daemon runs; index 0 without one. */
  link = { name: "", index: 0 };
  /** Who is in it, by container id. */
  readonly endpoints = new Map<string, EndpointState>();
  readonly #pools: Pool[];

  constructor(record: NetworkRecord, bridge: BridgeOptions | undefined) {
    this.record = record;
    this.bridge = bridge;
    this.#pools = record.ipam.config.map((config) => poolOf(config, record));
  }

  get id(): string {
    return this.record.id;
  }
  get name(): string {
    return this.record.name;
  }
  get predefined(): boolean {
    return predefined.has(this.record.name);
  }
  /** Whether it exists for somebody. */
  seenBy(sight: Sight): boolean {
    return this.predefined || sight.sees(this.record.owner);
  }

  get subnets(): Subnet[] {
    return this.#pools.map(({ addresses }) => addresses.subnet);
  }

  /** What endpoints may ask of it. */
  get context(): EndpointContext {
    // The default network's subnet is the daemon's owner's choice.
    const chosen = this.record.ipam.chosen || this.name === "bridge";
    return { userDefined: !this.predefined, subnets: chosen ? this.subnets : [] };
  }

  /** The host's addresses in it: those of its bridge. */
  get gateways(): { address: string; prefixLength: number }[] {
    return this.#pools
      .filter(({ gateway }) => gateway)
      .map(({ gateway, addresses }) => ({ address: gateway, prefixLength: addresses.subnet.prefixLength }));
  }

  /** A default route leads out of it. */
  get leadsOut(): boolean {
    const { driver, internal } = this.record;
    return !internal && driver !== "host" && driver !== "null" && this.#pools.some(({ gateway }) => gateway);
  }

  /** Gives an endpoint its addresses: those it asks for, or the next free ones. */
  allocate(asked: { ipv4: string; ipv6: string }): Addresses {
    const taken: string[] = [];
    try {
      const four = this.#take(4, asked.ipv4, taken);
      const six = this.#take(6, asked.ipv6, taken);
      return {
        address: four.address,
        prefixLength: four.prefixLength,
        gateway: four.gateway,
        address6: six.address,
        prefixLength6: six.prefixLength,
        gateway6: six.gateway,
      };
    } catch (error) {
      this.release(taken);
      throw error;
    }
  }

  #take(
    family: 4 | 6,
    asked: string,
    taken: string[],
  ): { address: string; prefixLength: number; gateway: string } {
    const pools = this.#pools.filter(({ addresses }) => addresses.subnet.family === family);
    const none = { address: "", prefixLength: 0, gateway: "" };
    if (asked) {
      const pool = pools.find(({ addresses }) => addresses.subnet.contains(asked));
      if (!pool)
        throw new EngineError(
          "invalid",
          "invalid endpoint settings:\nno configured subnet contains IP address ".concat(asked),
        );
      if (!pool.addresses.claim(asked)) throw addressInUse();
      taken.push(asked);
      return { address: asked, prefixLength: pool.addresses.subnet.prefixLength, gateway: pool.gateway };
    }
    if (pools.length === 0) return none;
    for (const { addresses, gateway } of pools) {
      const address = addresses.allocate();
      if (!address) continue;
      taken.push(address);
      return { address, prefixLength: addresses.subnet.prefixLength, gateway };
    }
    throw new EngineError(
      "system",
      `no available IPv${family} addresses on this network's address pools: ${this.name} (${this.id})`,
    );
  }

  /** Marks addresses that an earlier daemon's endpoint has. */
  claim(addresses: readonly string[]): void {
    for (const address of addresses) this.#poolOf(address)?.addresses.claim(address);
  }

  release(addresses: readonly string[]): void {
    for (const address of addresses) this.#poolOf(address)?.addresses.release(address);
  }

  #poolOf(address: string): Pool | undefined {
    return this.#pools.find(({ addresses }) => addresses.subnet.contains(address));
  }
}

function poolOf(config: IpamConfig, { internal, driver }: NetworkRecord): Pool {
  const subnet = Subnet.parse(config.Subnet);
  if (!subnet) throw new Error(`network's subnet ${config.Subnet} is none`);
  const range = (config.IPRange && Subnet.parse(config.IPRange)) || subnet;
  // Without a router of its own, a macvlan network that is closed has no gateway to give.
  const gateway =
    config.Gateway || (driver !== "bridge" && internal ? "" : subnet.at(subnet.size > 2n ? 1n : 0n));
  const reserved = [...(gateway ? [gateway] : []), ...Object.values(config.AuxiliaryAddresses ?? {})];
  return { addresses: new AddressPool(subnet, range, reserved), gateway };
}

export const newId = (): string => randomBytes(32).toString("hex");
