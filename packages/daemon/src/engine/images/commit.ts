// Commit: a container's changes and configuration become an image.
import type { ContainerConfig } from "../../api/schemas/container-create.ts";
import { type Caller, everything } from "../access/caller.ts";
import type { ContainerArchives } from "../containers/archives.ts";
import type { ContainerOperations } from "../containers/operations.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import { applyChanges } from "./changes.ts";
import type { ImageDefaults } from "./image.ts";
import type { ImageService } from "./service.ts";

export interface CommitOptions {
  reference: string | undefined;
  comment: string;
  author: string;
  /** Freeze the container meanwhile, if it runs. */
  pause: boolean;
  changes: readonly string[];
  /** What replaces the container's own configuration. */
  config: { [Field in keyof ContainerConfig]?: ContainerConfig[Field] | undefined };
}

/** The part of a container's configuration that an image can hold. */
function imageDefaults(config: ContainerConfig): ImageDefaults {
  const {
    User,
    ExposedPorts,
    Env,
    Entrypoint,
    Cmd,
    Volumes,
    WorkingDir,
    Labels,
    StopSignal,
    Healthcheck,
    Shell,
    OnBuild,
  } = config;
  const all: ImageDefaults = {
    User,
    ExposedPorts,
    Env,
    Entrypoint,
    Cmd,
    Volumes,
    WorkingDir,
    Labels,
    StopSignal,
    Healthcheck: Healthcheck ?? null,
    Shell,
    OnBuild,
  };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== null && value !== ""),
  ) as ImageDefaults;
}

/** What a request's body sets; its empty fields leave the container's alone. */
const given = (config: CommitOptions["config"]): Partial<ContainerConfig> =>
  Object.fromEntries(
    Object.entries(config).filter(
      ([, value]) =>
        value !== null &&
        value !== undefined &&
        value !== "" &&
        value !== false &&
        !(typeof value === "object" && Object.keys(value).length === 0),
    ),
  ) as Partial<ContainerConfig>;

export class Commits {
  readonly #containers: ContainerService;
  readonly #operations: ContainerOperations;
  readonly #archives: ContainerArchives;
  readonly #images: ImageService;

  constructor(
    containers: ContainerService,
    operations: ContainerOperations,
    archives: ContainerArchives,
    images: ImageService,
  ) {
    this.#containers = containers;
    this.#operations = operations;
    this.#archives = archives;
    this.#images = images;
  }

  /** Makes the image; returns its id. */
  async commit(container: Container, options: CommitOptions, caller: Caller): Promise<string> {
    const { config, imageId } = container.record.definition;
    const wanted = applyChanges(imageDefaults({ ...config, ...given(options.config) }), options.changes);
    const freeze = options.pause && container.alive && !container.paused;
    if (freeze) await this.#operations.pause(container);
    try {
      const packing = this.#archives.packChanges(container);
      const id = await this.#images.commit(this.#images.get(imageId, everything), packing.stream, caller, {
        config: wanted,
        author: options.author,
        comment: options.comment,
        createdBy: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])].join(" "),
        reference: options.reference,
        whole: packing.done,
      });
      this.#containers.announce(container, "commit", {
        comment: options.comment,
        imageID: id,
        imageRef: options.reference ?? "",
      });
      return id;
    } finally {
      if (freeze && container.paused) await this.#operations.unpause(container);
    }
  }
}
