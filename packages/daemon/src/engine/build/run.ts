// Carries out RUN: a container as any other's, whose changes become a layer.
import { closeSync } from "node:fs";
import { finished } from "node:stream/promises";
import { containerCreateSchema } from "../../api/schemas/container-create.ts";
import type { LayerDirectory, UnpackedLayer } from "../../content/layers.ts";
import { openLayers } from "../../runtime/rootview.ts";
import { type Caller, everything } from "../access/caller.ts";
import type { ContainerMount } from "../containers/record.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import { EngineError } from "../errors.ts";
import type { ImageDefaults, ImageRecord } from "../images/image.ts";
import type { ImageService } from "../images/service.ts";
import type { BuildOptions } from "./options.ts";
import { type BuildOutput, OutputSink } from "./output.ts";
import { missingPlaces, removePlaces } from "./run-mounts.ts";

export interface RunParts {
  containers: ContainerService;
  images: ImageService;
  layers: LayerDirectory;
}

export interface RunTask {
  base: ImageRecord;
  config: ImageDefaults;
  command: readonly string[];
  environment: readonly string[];
  /** Of the instruction; "" for the build's. */
  network: string;
  mounts: readonly ContainerMount[];
}

/** A command ended with another status than 0. */
export class CommandFailure extends EngineError {
  readonly code: number;
  constructor(command: readonly string[], code: number) {
    super("system", `The command '${command.join(" ")}' returned a non-zero code: ${code}`);
    this.code = code;
  }
}

export const shortId = (id: string): string => id.replace("sha256:", "").slice(0, 12);

export class Runner {
  readonly #parts: RunParts;
  readonly #options: BuildOptions;
  readonly #caller: Caller;
  readonly #output: BuildOutput;
  readonly #signal: AbortSignal;

  constructor(
    parts: RunParts,
    options: BuildOptions,
    caller: Caller,
    output: BuildOutput,
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#caller = caller;
    this.#output = output;
    this.#signal = signal;
  }

  /** A create request, judged like every other one; where a role demands limits, and the build names none, they are the
   * role's. */
  #request({ base, config, command, environment, network }: RunTask): unknown {
    const { limits, extraHosts } = this.#options;
    const most = this.#caller.role?.limits;
    return {
      Image: base.id,
      Cmd: command,
      Entrypoint: [""],
      Env: [...(config.Env ?? []), ...environment],
      User: config.User ?? "",
      WorkingDir: config.WorkingDir ?? "",
      Labels: { ...config.Labels, ...most?.labels },
      Volumes: config.Volumes ?? null,
      Healthcheck: { Test: ["NONE"] },
      AttachStdout: true,
      AttachStderr: true,
      HostConfig: {
        ...limits,
        Memory: limits.Memory || most?.memory || 0,
        NanoCpus: limits.CpuQuota || most?.cpus === undefined ? 0 : Math.floor(most.cpus * 1e9),
        PidsLimit: most?.pids ?? null,
        NetworkMode: network || this.#options.network || "default",
        ExtraHosts: extraHosts,
        LogConfig: { Type: "none", Config: {} },
      },
    };
  }

  /** Runs a command; returns the layer of what it changed, if it changed anything. */
  async run(task: RunTask): Promise<UnpackedLayer | undefined> {
    const { containers } = this.#parts;
    const request = containerCreateSchema.parse(this.#request(task));
    const own = { mounts: task.mounts, temporary: true };
    const { id } = await containers.creation.create(request, undefined, this.#caller, own);
    const container = containers.find(id, everything);
    let layer: UnpackedLayer | undefined;
    try {
      const places = this.#missingPlaces(task);
      await this.#output.say(` ---> Running in ${shortId(id)}\n`);
      const code = await this.#toItsEnd(container);
      if (this.#signal.aborted) throw new EngineError("system", "Build cancelled");
      if (code !== 0) throw new CommandFailure(task.command, code);
      const upper = `${containers.starter.layer(id)}/diff`;
      removePlaces(upper, places);
      layer = await this.#parts.layers.take(upper, !this.#options.remove);
    } catch (error) {
      await this.#leave(container, this.#options.forceRemove || this.#signal.aborted);
      throw error;
    }
    try {
      await this.#leave(container, this.#options.remove);
    } catch (error) {
      if (layer) await this.#parts.layers.discard(layer);
      throw error;
    }
    return layer;
  }

  #missingPlaces({ base, mounts }: RunTask): string[] {
    if (mounts.length === 0) return [];
    const root = openLayers(this.#parts.images.layerDirectories(base));
    try {
      return missingPlaces(root, mounts);
    } finally {
      closeSync(root);
    }
  }

  async #toItsEnd(container: Container): Promise<number> {
    const { containers } = this.#parts;
    const sink = new OutputSink(this.#output);
    const written = finished(sink, { readable: false });
    written.catch(() => undefined); // heard of below, if the container ever ran
    containers.attach(container, sink, { stdin: false, stdout: true, stderr: true }, "");
    const exited = container.nextExit();
    const kill = (): void => {
      if (container.alive) containers.kill(container, container.id, "SIGKILL");
    };
    this.#signal.addEventListener("abort", kill);
    try {
      if (this.#signal.aborted) throw new EngineError("system", "Build cancelled");
      await containers.start(container);
      if (this.#signal.aborted) kill();
      const code = await exited;
      await written;
      return code;
    } finally {
      this.#signal.removeEventListener("abort", kill);
    }
  }

  /** Takes the container away, or leaves it for whoever wants to look into it. */
  async #leave(container: Container, remove: boolean): Promise<void> {
    const { containers } = this.#parts;
    if (!remove) {
      containers.registry.redefine(container, { temporary: false });
      return;
    }
    await containers.remove(container, { force: true, volumes: true });
    await this.#output.say(` ---> Removed intermediate container ${shortId(container.id)}\n`);
  }
}
