// The default bridge network: who has which address on it, and the interface a container gets.
import { randomBytes, randomInt } from "node:crypto";
import { type BridgeSettings, ensureBridge, ensureFirewall, macOfAddress } from "../../runtime/bridge.ts";
import type { InterfaceSpec } from "../../runtime/spec.ts";
import { now } from "../timestamps.ts";
import { AddressPool } from "./addresses.ts";

/** What the network is, in the engine's words. */
export interface NetworkInfo {
  id: string;
  name: string;
  gateway: string;
  prefixLength: number;
  /** In CIDR notation. */
  subnet: string;
  created: string;
}

export class DefaultNetwork {
  readonly info: NetworkInfo;
  readonly #settings: BridgeSettings;
  readonly #pool: AddressPool;
  #bridgeIndex = 0;

  constructor(id: string, settings: BridgeSettings) {
    this.#settings = settings;
    this.#pool = new AddressPool(settings.address, settings.prefixLength);
    this.info = {
      id,
      name: "bridge",
      gateway: settings.address,
      prefixLength: settings.prefixLength,
      subnet: this.#pool.network,
      created: now(),
    };
  }

  /** Makes the bridge and the rules; what is there already stays. */
  async open(): Promise<void> {
    this.#bridgeIndex = ensureBridge(this.#settings).index;
    await ensureFirewall(this.#settings, this.#pool.network);
  }

  /** Takes an address and says what the container's interface is like. */
  connect(containerId: string): InterfaceSpec {
    const address = this.#pool.allocate();
    return {
      name: "eth0",
      // The container's id, and something new for each start: the kernel takes a dead namespace's links away a little
      // later, and a restart must not meet its own last one.
      hostName: `veth${containerId.slice(0, 7)}${randomBytes(2).toString("hex")}`,
      // Chosen by us because the kernel takes the other end's index only with this one's; far above those it gives out.
      hostIndex: randomInt(2 ** 24, 2 ** 31 - 1),
      bridgeIndex: this.#bridgeIndex,
      mtu: this.#settings.mtu,
      mac: macOfAddress(address),
      addresses: [{ address, prefixLength: this.#settings.prefixLength }],
      gateways: [this.#settings.address],
    };
  }

  reserve(address: string): void {
    this.#pool.reserve(address);
  }

  disconnect(address: string): void {
    this.#pool.release(address);
  }
}
