// A container's root to look into or to work in, whether it runs or not.
import { closeSync, constants, openSync } from "node:fs";
import { O_PATH } from "@tsd/kernel-bindings";
import { openLayers } from "../../runtime/rootview.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { conflict } from "../errors.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import type { VolumeService } from "../volumes/service.ts";
import { volumeNames } from "./mount-spec.ts";
import type { Container } from "./registry.ts";
import type { ContainerStarter } from "./starter.ts";

/** An open root. */
export interface OpenRoot {
  descriptor: number;
  /** While it runs: the tasks file of its device rules, and its user namespace if it has one of its own. */
  devices: string | undefined;
  userNamespace: number | undefined;
}

const openRoot = (pid: number): number => openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY);

/** The root and the user namespace of a process, opened together: a moment later its number may be another's. */
function openProcess({
  pid,
  userNamespace,
}: Container["state"]): Pick<OpenRoot, "descriptor" | "userNamespace"> {
  const descriptor = openRoot(pid);
  try {
    return {
      descriptor,
      userNamespace: userNamespace && openSync(`/proc/${pid}/ns/user`, constants.O_RDONLY),
    };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** The root of a container that runs; undefined of one that does not. One whose process has ended in this moment is waited
 * for: its monitor is about to tell. */
async function openRunning(container: Container): Promise<ReturnType<typeof openProcess> | undefined> {
  while (container.alive) {
    try {
      return openProcess(container.state);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      await container.nextExit();
    }
  }
  return undefined;
}

export class ContainerRoots {
  readonly #runtime: Runtime;
  readonly #starter: ContainerStarter;
  readonly #volumes: VolumeService;
  readonly #writable: WritableLayers;

  constructor(runtime: Runtime, starter: ContainerStarter, volumes: VolumeService, writable: WritableLayers) {
    this.#runtime = runtime;
    this.#starter = starter;
    this.#volumes = volumes;
    this.#writable = writable;
  }

  /** The container's changes, topmost, and its image's layers. */
  layers(container: Container): string[] {
    return [this.upper(container), ...this.#starter.layersBelow(container)];
  }

  /** The directory of what the container has changed. */
  upper(container: Container): string {
    return `${this.#starter.layer(container.id)}/diff`;
  }

  /** Gives `work` the root as the container's processes see it, with its volumes and binds. While it does not run it can't
   * be started either. */
  async use<T>(container: Container, work: (root: OpenRoot) => Promise<T>): Promise<T> {
    for (;;) {
      const opened = await openRunning(container);
      if (opened) return this.#with({ ...opened, devices: this.#devices(container) }, work);
      const result = await container.exclusively(async () =>
        // Started meanwhile. Whether its process is still there is not to be found out here: its end needs this turn.
        container.alive ? undefined : { of: await this.#useStopped(container, work) },
      );
      if (result) return result.of;
    }
  }

  async #useStopped<T>(container: Container, work: (root: OpenRoot) => Promise<T>): Promise<T> {
    if (container.removing) throw conflict(`container ${container.id} is marked for removal`);
    const volumes = volumeNames(container);
    const holder = `files of ${container.id}`;
    await this.#volumes.use(volumes, holder);
    const held = await this.#writable
      .withRoom(container.id, () => this.#hold(container))
      .catch((error) => {
        this.#volumes.release(volumes, holder);
        throw error;
      });
    try {
      const descriptor = openRoot(held.pid);
      return await this.#with({ descriptor, devices: undefined, userNamespace: undefined }, work);
    } finally {
      await held.close();
      this.#volumes.release(volumes, holder);
    }
  }

  /** The device rules that hold for whoever works in the root of a container that runs. */
  #devices({ id, record }: Container): string | undefined {
    const cgroup = this.#runtime.cgroupOf(id, record.definition.hostConfig.CgroupParent);
    return this.#runtime.cgroups.deviceTasks(cgroup);
  }

  /** A process that keeps the root of a container that does not run. */
  #hold(container: Container): ReturnType<Runtime["holdRoot"]> {
    const { definition } = container.record;
    return this.#runtime.holdRoot({
      root: {
        staging: this.#runtime.staging,
        layers: this.#starter.layersBelow(container),
        base: this.#starter.layer(container.id),
        readOnly: definition.hostConfig.ReadonlyRootfs,
      },
      files: [],
      mounts: this.#starter.mounts(definition).filter(({ type }) => type !== "tmpfs"),
      init: undefined,
    });
  }

  /** Closes the descriptor in the end. */
  async #with<T>(root: OpenRoot, work: (root: OpenRoot) => Promise<T>): Promise<T> {
    try {
      return await work(root);
    } finally {
      closeSync(root.descriptor);
      if (root.userNamespace !== undefined) closeSync(root.userNamespace);
    }
  }

  /** The root's own files, without what is mounted on them, read-only. The caller closes the descriptor. */
  openFiles(container: Container): number {
    return openLayers(this.layers(container));
  }
}
