// A container's root to look into or to work in, whether it runs or not.
import { closeSync, constants, openSync } from "node:fs";
import { O_PATH } from "@tsd/kernel-bindings";
import { openLayers } from "../../runtime/rootview.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Container } from "./registry.ts";
import { type ContainerStarter, mountSpec } from "./starter.ts";

/** An open root. */
export interface OpenRoot {
  descriptor: number;
  /** The tasks file of its device rules, while it runs. */
  devices: string | undefined;
}

export class ContainerRoots {
  readonly #runtime: Runtime;
  readonly #starter: ContainerStarter;

  constructor(runtime: Runtime, starter: ContainerStarter) {
    this.#runtime = runtime;
    this.#starter = starter;
  }

  /** The container's changes, topmost, and its image's layers. */
  layers(container: Container): string[] {
    return [this.upper(container), ...this.#starter.layersBelow(container)];
  }

  /** The directory of what the container has changed. */
  upper(container: Container): string {
    return `${this.#starter.directory(container.id)}/diff`;
  }

  /** Gives `work` the root as the container's processes see it, with its volumes and binds. While it does not run it can't
   * be started either. */
  async use<T>(container: Container, work: (root: OpenRoot) => Promise<T>): Promise<T> {
    if (container.alive) {
      const { cgroup } = this.#runtime.places(
        container.id,
        container.record.definition.hostConfig.CgroupParent,
      );
      return this.#with(container.state.pid, this.#runtime.cgroups.deviceTasks(cgroup), work);
    }
    return container.exclusively(async () => {
      if (container.alive) return this.#with(container.state.pid, undefined, work);
      const { definition } = container.record;
      const [upper = "", ...layers] = this.layers(container);
      const held = await this.#runtime.holdRoot({
        root: {
          staging: this.#runtime.staging,
          layers,
          upper,
          work: `${this.#starter.directory(container.id)}/work`,
          readOnly: definition.hostConfig.ReadonlyRootfs,
        },
        files: [],
        mounts: definition.mounts.filter(({ type }) => type !== "tmpfs").map(mountSpec),
        init: undefined,
      });
      try {
        return await this.#with(held.pid, undefined, work);
      } finally {
        await held.close();
      }
    });
  }

  async #with<T>(pid: number, devices: string | undefined, work: (root: OpenRoot) => Promise<T>): Promise<T> {
    const descriptor = openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY);
    try {
      return await work({ descriptor, devices });
    } finally {
      closeSync(descriptor);
    }
  }

  /** The root's own files, without what is mounted on them, read-only. The caller closes the descriptor. */
  openFiles(container: Container): number {
    return openLayers(this.layers(container));
  }
}
