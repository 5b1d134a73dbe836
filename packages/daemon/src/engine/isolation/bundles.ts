// Containers as bundles for OCI runtimes: what such a runtime would be told to run the same container.
import type { OciBundle } from "../../api/oci-config.ts";
import type { ContainerCreate } from "../../api/schemas/container-create.ts";
import { ociConfig } from "../../runtime/oci/bundle.ts";
import { unspeakable } from "../../runtime/oci/mounts.ts";
import type { ContainerSpec } from "../../runtime/spec.ts";
import type { Caller } from "../access/caller.ts";
import { annotations, seccompOf } from "../containers/oci-facts.ts";
import { type ContainerRecord, initialState } from "../containers/record.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";

function notes(spec: ContainerSpec, networks: number): string[] {
  return [
    ...(networks > 0
      ? [`${networks} network interface(s): an OCI runtime makes the network namespace, with a loopback only`]
      : []),
    ...(spec.nameServer ? ["the name server of user-defined networks is the engine's"] : []),
    ...unspeakable(spec).map(({ target, why }) => `${target}: it ${why}`),
    ...(spec.process.rlimits.some(({ tolerated }) => tolerated)
      ? [
          "limits that are the engine's defaults are set as far as the host allows; a runtime fails where it does not",
        ]
      : []),
  ];
}

export class Bundles {
  readonly #containers: ContainerService;

  constructor(containers: ContainerService) {
    this.#containers = containers;
  }

  /** The bundle of a container as its next start would be; while it runs, with the ids that it has. */
  ofContainer({ record, state, alive }: Container): OciBundle {
    return this.#bundle(record, state.userNamespace?.maps, alive);
  }

  /** The bundle of a container that would be created and started so: judged like a create, and nothing is left of it. */
  async ofRequest(request: ContainerCreate, name: string | undefined, caller: Caller): Promise<OciBundle> {
    const definition = await this.#containers.creation.rehearse(request, name, caller);
    return this.#bundle({ definition, state: { ...initialState } }, undefined, false);
  }

  #bundle(
    record: ContainerRecord,
    maps: NonNullable<ContainerRecord["state"]["userNamespace"]>["maps"] | undefined,
    alive: boolean,
  ): OciBundle {
    const { spec, files, endpoints } = this.#containers.starter.rehearse(record, alive);
    const { user } = spec.namespaces;
    const own: ContainerSpec =
      maps && user.kind === "private"
        ? { ...spec, namespaces: { ...spec.namespaces, user: { ...user, maps } } }
        : spec;
    const taken = new Set(spec.mounts.map(({ target }) => target));
    const written = files.filter(({ target }) => !taken.has(target));
    return {
      Config: ociConfig(
        { ...own, files: own.files.filter(({ target }) => taken.has(target)) },
        {
          root: "rootfs",
          seccomp: seccompOf(record.definition, own),
          annotations: annotations(record.definition),
        },
      ),
      Files: written.map(({ target, text }) => ({ Path: target, Text: text })),
      Notes: notes(own, Object.keys(endpoints).length),
    };
  }
}
