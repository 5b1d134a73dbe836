// Starts one container: gathers what its plan needs, carries the plan out, and undoes everything if that fails.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Launch, type Plan, setSelinuxLabel } from "@tsd/kernel-bindings";
import { SpecificationError } from "../../runtime/errors.ts";
import type { LinkReaper } from "../../runtime/network/link-reaper.ts";
import {
  checkForeign,
  deleteForeign,
  type ForeignRuntime,
  foreignPlan,
  writeBundle,
} from "../../runtime/oci/foreign.ts";
import { containerPlan } from "../../runtime/plan.ts";
import { readUserFiles } from "../../runtime/rootview.ts";
import type { ContainerPlaces, Runtime } from "../../runtime/runtime.ts";
import type { ContainerSpec, MountSpec } from "../../runtime/spec.ts";
import { type SecurityLabels, specifyContainer } from "../../runtime/specify.ts";
import { type ResolvedUser, resolveUser } from "../../runtime/user.ts";
import type { UserNamespaceChoice } from "../../runtime/user-namespace.ts";
import { everything } from "../access/caller.ts";
import { conflict } from "../errors.ts";
import type { ImageSource } from "../images/image.ts";
import type { Joined, Member, Memberships } from "../networks/memberships.ts";
import type { Names } from "../networks/names.ts";
import { requestedPorts } from "../networks/ports.ts";
import type { NetworkService } from "../networks/service.ts";
import { labelsOf } from "../policies/labels.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import type { UserNamespaces } from "../user-namespaces/service.ts";
import type { VolumeService } from "../volumes/service.ts";
import type { Attachment } from "./attachment.ts";
import { commandOf } from "./definition.ts";
import { type EtcFile, endpointAddresses, etcFiles, writeEtcFiles } from "./etc-files.ts";
import { writeHookBundle } from "./hook-bundle.ts";
import { assignLabels, labelsInForce, lacksLabels, relabelSteps } from "./labels.ts";
import { linkEnvironment, parseLink } from "./links.ts";
import { loggedContainer } from "./log-attributes.ts";
import { logForward } from "./log-forward.ts";
import { logSettings } from "./log-settings.ts";
import { mountSpec, volumeNames } from "./mount-spec.ts";
import { annotations, seccompOf } from "./oci-facts.ts";
import {
  type ContainerDefinition,
  type ContainerRecord,
  type ContainerState,
  type ContainerStore,
  imagesOf,
} from "./record.ts";
import { Container, type ContainerRegistry } from "./registry.ts";
import { Sharing } from "./sharing.ts";

export interface StarterParts {
  runtime: Runtime;
  images: ImageSource;
  networks: NetworkService;
  memberships: Memberships;
  reaper: LinkReaper;
  names: Names;
  volumes: VolumeService;
  userNamespaces: UserNamespaces;
  registry: ContainerRegistry;
  /** Where containers keep their directories, and what they write. */
  root: string;
  layers: WritableLayers;
  /** The lowest layer of every root. */
  skeleton: string;
  /** The lowest layer of other images, where they are mounted: a directory with nothing in it. */
  empty: string;
}

/** A container on its way: the plan, and what the launcher said. */
export interface Start {
  plan: Plan;
  launch: Launch;
  /** The clients that were attached from the start, in the order of the launch's. */
  clients: Attachment[];
}

const LAUNCH_CLIENTS = 8;

/** Of containers that are only thought of. */
const forgetfulStore: ContainerStore = {
  all: () => [],
  insert: () => undefined,
  saveState: () => undefined,
  saveDefinition: () => undefined,
  delete: () => undefined,
};

export class ContainerStarter {
  readonly #parts: StarterParts;
  readonly sharing: Sharing;
  /** Users of roots that nothing has changed yet, by image and user. */
  readonly #users = new Map<string, ResolvedUser>();

  constructor(parts: StarterParts) {
    this.#parts = parts;
    this.sharing = new Sharing(parts.registry, parts.userNamespaces);
  }

  directory(id: string): string {
    return join(this.#parts.root, id);
  }

  logPath(id: string): string {
    return join(this.directory(id), `${id}-json.log`);
  }

  /** Where a traced container's calls are written down. */
  tracePath(id: string): string {
    return join(this.directory(id), "calls");
  }

  /** Makes the container's own directories, at create; `size` limits what it may write. */
  async prepare(id: string, size: number | undefined): Promise<void> {
    mkdirSync(this.directory(id), { mode: 0o710 });
    await this.#parts.layers.make(id, size);
  }

  /** The directory with what the container has written: diff, and work. */
  layer(id: string): string {
    return this.#parts.layers.directory(id);
  }

  /** The layers below a container's own files, topmost first. */
  layersBelow(container: Container): string[] {
    const { images, skeleton } = this.#parts;
    return [
      ...images.layerDirectories(images.get(container.record.definition.imageId, everything)),
      skeleton,
    ];
  }

  /** What is mounted in a container, as its plan wants it. */
  mounts({ mounts }: ContainerDefinition): MountSpec[] {
    const { images, empty } = this.#parts;
    return mounts.map((mount) =>
      mountSpec(mount, (id) => [...images.layerDirectories(images.get(id, everything)), empty]),
    );
  }

  /** Resolves when the container's images are fit to be started from, and its profile loaded; undefined where that is known
   * already. */
  ready({ record: { definition } }: Container): Promise<unknown> | undefined {
    const { images, runtime } = this.#parts;
    const waits = [
      ...imagesOf(definition).map((id) => images.ready(images.get(id, everything))),
      runtime.modules.ensureProfile(definition.labels?.appArmor ?? ""),
    ].filter((wait) => wait !== undefined);
    return waits.length > 0 ? Promise.all(waits) : undefined;
  }

  /** Carries the plan out. The caller waits for `launch.monitor.started`, and on failure calls `abandon`. */
  start(container: Container): Start {
    const { runtime } = this.#parts;
    const { spec, files, places, labels } = this.#specify(container, (linkEnvironment, user) =>
      this.#join(container, linkEnvironment, user),
    );
    mkdirSync(places.directory, { recursive: true, mode: 0o700 });
    if (spec.hooks) writeHookBundle(spec, spec.hooks, container.record.definition);
    writeEtcFiles(files);
    if (labels.mount) for (const { source } of files) setSelinuxLabel(source, labels.mount);
    const clients = [...container.waitingClients].filter(({ gone }) => !gone).slice(0, LAUNCH_CLIENTS);
    const launch = runtime.launch(
      this.#plan(container.record.definition, spec, places),
      clients.map(({ streams }) => streams),
    );
    return { plan: launch.plan, launch, clients };
  }

  /** Our own runtime's plan, or that by which another one is had to run the container. */
  #plan(definition: ContainerDefinition, spec: ContainerSpec, places?: ContainerPlaces): Plan {
    const { runtime } = this.#parts;
    const found = runtime.foreign.find(definition.hostConfig.Runtime);
    if (!found) return containerPlan(spec);
    checkForeign(spec, found);
    const start = {
      runtime: found,
      execRoot: runtime.settings.execRoot,
      seccomp: seccompOf(definition, spec),
      annotations: annotations(definition),
    };
    const bundle = places ? writeBundle(spec, places.directory, start) : "BUNDLE";
    return foreignPlan(spec, bundle, start);
  }

  /** The plan that a container like this would be started with now, and its places in networks: nothing is made, taken or
   * written down. */
  rehearse(
    record: ContainerRecord,
    alive = false,
  ): {
    plan: Plan;
    spec: ContainerSpec;
    files: EtcFile[];
    endpoints: ContainerState["endpoints"];
    userNamespace: UserNamespaceChoice;
  } {
    const shadow = new Container({ ...record, state: { ...record.state } }, forgetfulStore);
    // Ids are taken as by somebody else: the container itself may be about to start.
    const holder = `rehearsal of ${record.definition.id}`;
    const sharesNetwork = record.definition.hostConfig.NetworkMode.startsWith("container:");
    const { endpoints, interfaces } = sharesNetwork
      ? { endpoints: {}, interfaces: [] }
      : alive // it has its places, which nobody can have twice
        ? { endpoints: record.state.endpoints, interfaces: [] }
        : this.#parts.memberships.rehearse(this.member(shadow));
    shadow.record.state.endpoints = endpoints;
    try {
      const { spec, files } = this.#specify(shadow, () => ({ interfaces }), holder);
      return {
        plan: this.#plan(record.definition, spec),
        spec,
        files,
        endpoints,
        userNamespace: spec.namespaces.user,
      };
    } finally {
      this.#parts.userNamespaces.release(holder);
    }
  }

  /** Everything that a container's plan is made from. `join` gives it its places in networks. */
  #specify(
    container: Container,
    join: (linkEnvironment: string[], user: UserNamespaceChoice) => Pick<Joined, "interfaces">,
    holder = container.id,
  ): { spec: ContainerSpec; files: EtcFile[]; places: ContainerPlaces; labels: SecurityLabels } {
    const { runtime, images, networks } = this.#parts;
    const { definition } = container.record;
    const { hostConfig } = definition;
    const config = { ...definition.config, Hostname: this.sharing.hostname(container) };
    const layers = images.layerDirectories(images.get(definition.imageId, everything));
    const directory = this.directory(container.id);
    const user = this.#user(container, layers);
    const namespaces = this.sharing.namespaces(container, user, holder);
    const links = this.#links(container);
    const linkEnvironment = links.flatMap(({ environment }) => environment);
    const { interfaces } = join(linkEnvironment, namespaces.user);
    const nameServer = this.#parts.names.settings(container);
    const places = runtime.places(container.id, hostConfig.CgroupParent);
    const files = etcFiles(directory, {
      config,
      hostConfig,
      addresses: endpointAddresses(container.state.endpoints),
      linked: links.map(({ address, names }) => ({ address, names })),
      gateway: networks.default.gateways[0]?.address ?? "",
      names: hostConfig.NetworkMode === "host" ? "host" : nameServer ? "served" : "own",
    });
    const log = logSettings(hostConfig.LogConfig);
    const compressor = log?.compress ? runtime.settings.compressorPath : "";
    const labels = this.#labels(container);
    const spec = specifyContainer(runtime, {
      id: container.id,
      config: { ...config, Env: [...linkEnvironment, ...(config.Env ?? [])] },
      hostConfig,
      command: commandOf(config),
      layers: [...layers, this.#parts.skeleton],
      layer: this.layer(container.id),
      places,
      user,
      namespaces,
      interfaces,
      nameServer,
      mounts: [...this.mounts(definition), ...this.sharing.sharedMemory(namespaces.ipc)],
      files,
      labels,
      relabel: relabelSteps(definition.mounts, labels),
      trace: hostConfig.SeccompTrace ? this.tracePath(container.id) : undefined,
      log: log && {
        path: this.logPath(container.id),
        maximumSize: log.maximumSize,
        maximumFiles: log.maximumFiles,
        compressor,
      },
      forward: logForward(hostConfig.LogConfig.Type, hostConfig.LogConfig.Config, loggedContainer(container)),
    });
    return { spec, files, places, labels };
  }

  /** Joins a client to a running container's streams. */
  connect(container: Container, attachment: Attachment): void {
    const { runtime } = this.#parts;
    attachment.connect(runtime.attach(runtime.places(container.id).socket, attachment.streams));
  }

  /** Takes back whatever a start has made, however far it came; also after an ordinary end. */
  async release(container: Container): Promise<void> {
    const { runtime, memberships, reaper, volumes, userNamespaces } = this.#parts;
    volumes.release(volumeNames(container), container.id);
    const foreign = this.#foreign(container);
    if (foreign) await deleteForeign(foreign, runtime.settings.execRoot, container.id);
    await runtime.release(runtime.places(container.id, container.record.definition.hostConfig.CgroupParent));
    const shapers = Object.values(container.state.endpoints).flatMap(({ shaper }) => shaper ?? []);
    memberships.leave(container.id, container.state);
    userNamespaces.release(container.id);
    // All others go with the container's namespace.
    reaper.remove(shapers.map(({ name }) => name));
    // Written down with what else the caller has to say.
    Object.assign(container.record.state, { endpoints: {}, ports: [], userNamespace: undefined });
  }

  /** The runtime that runs a container; undefined for ours, and for one that is no longer there. */
  #foreign({ record }: Container): ForeignRuntime | undefined {
    try {
      return this.#parts.runtime.foreign.find(record.definition.hostConfig.Runtime);
    } catch (error) {
      if (error instanceof SpecificationError) return undefined;
      throw error;
    }
  }

  /** A container as networks know it. */
  member(container: Container): Member {
    const { id, name, record } = container;
    const { hostConfig, networks, networkIds, config } = record.definition;
    const { networks: service } = this.#parts;
    const mode = service.look(hostConfig.NetworkMode, everything)?.name ?? hostConfig.NetworkMode;
    return {
      id,
      name,
      mode,
      networks,
      networkIds,
      labels: labelsOf(container),
      ports: requestedPorts(hostConfig, config.ExposedPorts),
      shape: hostConfig.NetworkShape ?? null,
    };
  }

  /** Gives the container its places in networks. Written down at once, with the ids it has: whoever takes this start up must
   * know what it holds. */
  #join(
    container: Container,
    linkEnvironment: string[],
    user: UserNamespaceChoice,
  ): Pick<Joined, "interfaces"> {
    const { hostConfig, userNamespace: mode } = container.record.definition;
    const exclusive = user.kind === "private" && !(mode?.kind === "maps" && mode.shared);
    const userNamespace = user.kind === "host" ? undefined : { maps: user.maps, exclusive };
    if (hostConfig.NetworkMode.startsWith("container:")) {
      container.change({ userNamespace });
      return { interfaces: [] };
    }
    const { memberships } = this.#parts;
    const { endpoints, ports, interfaces } = memberships.join(this.member(container));
    try {
      container.change({ endpoints, ports, linkEnvironment, userNamespace });
    } catch (error) {
      memberships.leave(container.id, { endpoints, ports });
      throw error;
    }
    return { interfaces };
  }

  /** What the container is told of those that it is linked to, on the default network. */
  #links(container: Container): { address: string; names: string[]; environment: string[] }[] {
    const { hostConfig, networks } = container.record.definition;
    if (!("bridge" in networks)) return [];
    return (hostConfig.Links ?? []).map((text) => {
      const link = parseLink(text);
      const other = this.#parts.registry.find(link.container, everything);
      const address = other.state.endpoints.bridge?.address;
      if (!address)
        throw conflict(
          `Cannot link to a non running container: /${other.name} AS /${container.name}/${link.alias}`,
        );
      const { config } = other.record.definition;
      const names = [...new Set([link.alias, config.Hostname, other.name])].filter((name) => name !== "");
      const ports = Object.keys(config.ExposedPorts ?? {});
      const environment = linkEnvironment(link, container.name, {
        address,
        ports,
        environment: config.Env ?? [],
      });
      return { address, names, environment };
    });
  }

  #user(container: Container, layers: readonly string[]): ResolvedUser {
    const { definition, state } = container.record;
    const resolve = (fresh: readonly string[]): ResolvedUser =>
      resolveUser(
        definition.config.User,
        definition.hostConfig.GroupAdd ?? [],
        readUserFiles({ layers: fresh }),
      );
    if (state.startedAt) return resolve([join(this.layer(container.id), "diff"), ...layers]);
    const key = JSON.stringify([definition.imageId, definition.config.User, definition.hostConfig.GroupAdd]);
    const known = this.#users.get(key);
    if (known) return known;
    const user = resolve(layers);
    if (this.#users.size >= 256) this.#users.clear();
    this.#users.set(key, user);
    return user;
  }

  /** What the container is known by; of before this daemon had a security module, it gets that now. */
  #labels(container: Container): SecurityLabels {
    const { runtime, registry } = this.#parts;
    const { definition } = container.record;
    const { modules } = runtime;
    if (lacksLabels(definition, modules)) {
      assignLabels(definition, { modules, registry });
      registry.redefine(container, {});
    }
    return labelsInForce(definition, modules);
  }
}
