// Devices of the host's that containers have (--network device:NAME): they come back when the container ends.
import { closeSync, openSync } from "node:fs";
import { fetchLink } from "@tsd/kernel-bindings";
import type { LifecycleObserver } from "../containers/lifecycle.ts";
import type { Container } from "../containers/registry.ts";
import { deviceOf } from "./places.ts";

export class DeviceLoans implements LifecycleObserver {
  readonly #report: (problem: unknown, what: string) => void;
  /** Network namespaces that are kept until their devices are back, by container: with its namespace a device that is
   * not a physical one would vanish. */
  readonly #namespaces = new Map<string, number>();

  constructor(report: (problem: unknown, what: string) => void) {
    this.#report = report;
  }

  started(container: Container): void {
    if (!deviceOf(container.record.definition.hostConfig.NetworkMode)) return;
    try {
      this.#namespaces.set(container.id, openSync(`/proc/${container.state.pid}/ns/net`, "r"));
    } catch (error) {
      this.#report(error, `device of container ${container.id}`);
    }
  }

  ended(container: Container): void {
    const namespace = this.#namespaces.get(container.id);
    const device = deviceOf(container.record.definition.hostConfig.NetworkMode);
    if (namespace === undefined || !device) return;
    this.#namespaces.delete(container.id);
    fetchLink(device, `/proc/self/fd/${namespace}`)
      .catch((error) => this.#report(error, `return of device ${device} from container ${container.id}`))
      .finally(() => closeSync(namespace));
  }
}
