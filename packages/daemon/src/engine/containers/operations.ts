// Operations on containers that exist: rename, update, pause, unpause, top, prune.
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { applyLimits, KernelError } from "@tsd/kernel-bindings";
import type { ContainerUpdate, HostConfig } from "../../api/schemas/container-create.ts";
import type { SeccompTrace } from "../../api/types.ts";
import { SpecificationError } from "../../runtime/errors.ts";
import { checkRareLimits, overlaid } from "../../runtime/rare-controllers.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { cgroupLimits, deviceRules } from "../../runtime/specify.ts";
import type { Caller, Sight } from "../access/caller.ts";
import { checkUpdate } from "../access/create-limits.ts";
import { conflict, EngineError, invalid } from "../errors.ts";
import { parseNanoseconds } from "../events/time-parameter.ts";
import { mergeShapes, readShape } from "../networks/shape-options.ts";
import { reshape, shapeView } from "../networks/shaping.ts";
import { requestedSize } from "../storage/options.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import { parseTime } from "../timestamps.ts";
import { cgroupView } from "./cgroup-view.ts";
import { checkName } from "./definition.ts";
import { type Filters, matchesLabels } from "./list.ts";
import type { Container } from "./registry.ts";
import { readTrace } from "./seccomp-trace.ts";
import type { ContainerService } from "./service.ts";
import { type StatsSources, singleStats } from "./stats.ts";
import { StatsStreams } from "./stats-streams.ts";
import { processTable } from "./top.ts";
import { checkDeviceRules, checkResources, checkRestartPolicy, specifying } from "./validate.ts";

const FREEZE_ATTEMPTS = 200;

/** Fields of an update that are resources: what is 0, "" or missing stays as it is. */
const resourceFields = [
  "CpuShares",
  "Memory",
  "NanoCpus",
  "CpuPeriod",
  "CpuQuota",
  "CpusetCpus",
  "CpusetMems",
  "MemoryReservation",
  "MemorySwap",
  "PidsLimit",
  "MemorySwappiness",
  "BlkioWeight",
  "BlkioWeightDevice",
  "BlkioDeviceReadBps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteIOps",
  "KernelMemoryTCP",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "HugetlbLimits",
  "NetClassId",
  "NetPriorities",
] as const;

export class ContainerOperations {
  readonly #containers: ContainerService;
  readonly #runtime: Runtime;
  readonly #layers: WritableLayers;
  readonly #sources: StatsSources;
  readonly #streams: StatsStreams;

  constructor(containers: ContainerService, runtime: Runtime, layers: WritableLayers) {
    this.#containers = containers;
    this.#runtime = runtime;
    this.#layers = layers;
    this.#sources = { runtime, layers };
    this.#streams = new StatsStreams(this.#sources, (container) => containers.registry.has(container));
    containers.lifecycle.observe(this.#streams);
  }

  #cgroup(container: Container): string {
    return this.#runtime.cgroupOf(container.id, container.record.definition.hostConfig.CgroupParent);
  }

  /** What its processes have called in its last life, where that was recorded. */
  seccompTrace(container: Container): Promise<SeccompTrace> {
    return readTrace(container, this.#containers.starter.tracePath(container.id));
  }

  rename(container: Container, name: string | undefined, sight: Sight): void {
    if (!name) throw invalid("Neither old nor new names may be empty");
    const bare = ((): string => {
      try {
        return checkName(name.replace(/^\/*/, "/"));
      } catch (error) {
        throw invalid(`Error when allocating new name: ${(error as Error).message}`);
      }
    })();
    const old = container.name;
    if (bare === old) throw invalid("Renaming a container with the same name as its current name");
    try {
      this.#containers.registry.rename(container, bare, sight);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw conflict(`Error when allocating new name: ${error.message}`);
    }
    const { memberships } = this.#containers.lifecycle.parts;
    memberships.relabel(this.#containers.starter.member(container), container.state);
    this.#containers.announce(container, "rename", { oldName: `/${old}` });
  }

  pause(container: Container): Promise<void> {
    return container.exclusively(async () => {
      if (!container.running) throw conflict(`container ${container.id} is not running`);
      if (container.paused) throw conflict(`Container ${container.id} is already paused`);
      if (container.state.status === "restarting")
        throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
      await this.#freeze(this.#cgroup(container));
      container.note({ status: "paused" });
      this.#containers.announce(container, "pause");
    });
  }

  /** Version 1 stays FREEZING while tasks come and go: then it is thawed for a moment and tried again. */
  async #freeze(group: string): Promise<void> {
    const { cgroups } = this.#runtime;
    for (let attempt = 0; attempt < FREEZE_ATTEMPTS; attempt++) {
      if (attempt % 25 === 24) cgroups.freeze(group, false);
      cgroups.freeze(group, true);
      if (cgroups.isFrozen(group)) return;
      await delay(Math.min(1 + attempt, 10));
    }
    cgroups.freeze(group, false);
    throw new EngineError("system", `control group ${group} does not freeze`);
  }

  unpause(container: Container): Promise<void> {
    return container.exclusively(async () => {
      // Docker's status for it, too.
      if (!container.paused) throw new EngineError("system", `Container ${container.id} is not paused`);
      this.#runtime.cgroups.freeze(this.#cgroup(container), false);
      container.note({ status: "running" });
      this.#containers.announce(container, "unpause");
    });
  }

  /** Stops containers for the time of a work, which nobody else is told of; those that are paused already stay so. */
  async whileFrozen<T>(containers: readonly Container[], work: () => Promise<T>): Promise<T> {
    const frozen: Container[] = [];
    try {
      for (const container of containers) {
        if (!container.alive || container.paused) continue;
        frozen.push(container);
        await this.#freeze(this.#cgroup(container)).catch((error) => {
          if (container.alive) throw error;
        });
      }
      return await work();
    } finally {
      for (const container of frozen) this.thawForgotten(container);
    }
  }

  /** Lets a container go on that somebody stopped without saying so. */
  thawForgotten(container: Container): void {
    if (!container.alive || container.paused) return;
    try {
      this.#runtime.cgroups.freeze(this.#cgroup(container), false);
    } catch (error) {
      // It has ended, and its monitor is about to tell.
      if (!["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }

  /** Changes limits and restart policy, all or none; a running container's at once. */
  update(
    container: Container,
    update: ContainerUpdate,
    caller: Caller,
  ): Promise<{ Warnings: string[] | null }> {
    return container.exclusively(async () => {
      const refuse = (reason: string): EngineError =>
        conflict(`Cannot update container ${container.id}: ${reason}`);
      if (container.removing) throw refuse('Container is marked for removal and cannot be "update".');
      const before = container.record.definition.hostConfig;
      const wanted = wantedResources(update);
      const size = requestedSize(update.StorageOpt);
      const hostConfig: HostConfig = { ...before, ...wanted };
      // Others of them stay as they are.
      const { HugetlbLimits, NetPriorities } = wanted;
      if (HugetlbLimits)
        hostConfig.HugetlbLimits = overlaid(before.HugetlbLimits, HugetlbLimits, ({ PageSize }) => PageSize);
      if (NetPriorities)
        hostConfig.NetPriorities = overlaid(before.NetPriorities, NetPriorities, ({ Name }) => Name);
      const rules = update.DeviceCgroupRules?.length ? update.DeviceCgroupRules : undefined;
      if (rules) hostConfig.DeviceCgroupRules = updatedRules(rules);
      if (size !== undefined) hostConfig.StorageOpt = update.StorageOpt;
      checkUpdate(caller, hostConfig, [
        ...Object.keys(wanted),
        "StorageOpt",
        ...(rules ? ["DeviceCgroupRules"] : []),
      ]);
      for (const [field, what] of [
        ["CpuPeriod", "CPU Period"],
        ["CpuQuota", "CPU Quota"],
      ] as const) {
        if (wanted.NanoCpus && before[field] > 0)
          throw refuse(`Conflicting options: Nano CPUs cannot be updated as ${what} has already been set`);
        if ((wanted[field] ?? 0) > 0 && before.NanoCpus > 0)
          throw refuse(`Conflicting options: ${what} cannot be updated as NanoCPUs has already been set`);
      }
      if (wanted.Memory && !wanted.MemorySwap && before.MemorySwap > 0 && wanted.Memory > before.MemorySwap)
        throw refuse(
          "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
      if (update.RestartPolicy?.Name) {
        hostConfig.RestartPolicy = update.RestartPolicy;
        if (before.AutoRemove && update.RestartPolicy.Name !== "no")
          throw refuse("Restart policy cannot be updated because AutoRemove is enabled for the container");
      }
      checkRestartPolicy(hostConfig);
      checkResources(hostConfig);
      specifying(() => checkRareLimits(hostConfig, this.#runtime.cgroups));
      hostConfig.NetworkShape = mergeShapes(before.NetworkShape ?? null, update.NetworkShape);
      const takeBack = size === undefined ? undefined : await this.#layers.resize(container.id, size);
      let reshaped = false;
      try {
        if (update.NetworkShape) await this.#reshape(container, before, hostConfig);
        reshaped = update.NetworkShape !== null;
        this.#apply(container, hostConfig, wanted);
      } catch (error) {
        if (reshaped) await this.#reshape(container, hostConfig, before);
        await takeBack?.();
        throw error;
      }
      this.#streams.changed(container);
      this.#containers.announce(container, "update");
      return { Warnings: null };
    });
  }

  /** Shapes a container's traffic in another way, at once if it runs. */
  async #reshape(container: Container, from: HostConfig, to: HostConfig): Promise<void> {
    readShape({}, {}, to.NetworkShape);
    if (!container.alive) return;
    const member = this.#containers.starter.member(container);
    const { memberships } = this.#containers.lifecycle.parts;
    const [before, after] = [from, to].map(({ NetworkShape }) => ({
      ...member,
      shape: NetworkShape ?? null,
    }));
    if (before && after)
      await reshape(memberships, before, after, container.state, (endpoints) =>
        container.note({ endpoints }),
      );
  }

  shape(container: Container): object[] {
    if (!container.alive) throw conflict(`container ${container.id} is not running`);
    const { memberships } = this.#containers.lifecycle.parts;
    return shapeView(memberships, this.#containers.starter.member(container), container.state);
  }

  /** A device that is not there is the request's fault here: the container has long been started without it. */
  #limits(container: Container, hostConfig: HostConfig): ReturnType<typeof cgroupLimits> {
    try {
      return cgroupLimits(hostConfig);
    } catch (error) {
      if (error instanceof SpecificationError)
        throw invalid(`Cannot update container ${container.id}: ${error.message}`);
      throw error;
    }
  }

  #apply(container: Container, hostConfig: HostConfig, wanted: Partial<HostConfig>): void {
    const { registry } = this.#containers;
    const before = container.record.definition.hostConfig;
    // Only what was asked for is written: what a system container did to its own group stays.
    const asked = this.#limits(container, { ...noResources(hostConfig), ...wanted });
    const { cgroups } = this.#runtime;
    try {
      registry.redefine(container, { hostConfig });
      if (container.alive) {
        const takeBack = this.#setDevices(container, before, hostConfig);
        try {
          applyLimits(cgroups.changes(this.#cgroup(container), asked));
        } catch (error) {
          takeBack();
          throw error;
        }
      }
    } catch (error) {
      registry.redefine(container, { hostConfig: before });
      if (error instanceof KernelError)
        throw new EngineError("system", `Cannot update container ${container.id}: ${error.message}`);
      throw error;
    }
  }

  /** Changes what a running container may do with devices; returns what takes that back. */
  #setDevices(container: Container, before: HostConfig, after: HostConfig): () => void {
    if (before.DeviceCgroupRules === after.DeviceCgroupRules) return () => undefined;
    const [from, to] = [before, after].map((host) =>
      deviceRules(host, this.#runtime.settings.cdiDirectories),
    );
    // One that may do everything goes on to.
    if (!Array.isArray(from) || !Array.isArray(to)) return () => undefined;
    const group = this.#cgroup(container);
    this.#runtime.cgroups.setDevices(group, from, to);
    return () => this.#runtime.cgroups.setDevices(group, to, from);
  }

  cgroup(container: Container): object {
    return cgroupView(container, this.#runtime);
  }

  /** GET /containers/{id}/top. */
  async top(container: Container, psArguments: string): Promise<{ Titles: string[]; Processes: string[][] }> {
    if (!container.alive) throw conflict(`container ${container.id} is not running`);
    const pids = this.#runtime.cgroups.processes(this.#cgroup(container));
    if (pids.length === 0) throw conflict(`container ${container.id} is not running`);
    const result = await processTable(pids, psArguments, container.state.userNamespace !== undefined);
    this.#containers.announce(container, "top");
    return result;
  }

  stats(container: Container, oneShot: boolean): Promise<string> {
    return singleStats(container, this.#sources, oneShot);
  }

  /** `failed` hears why there will be no more. */
  streamStats(container: Container, out: Writable, failed: (error: Error) => void): void {
    this.#streams.open(container, out, failed);
  }

  /** POST /containers/prune: removes every container of those that `sight` sees that does not run and passes the filters. */
  async prune(
    filters: Filters,
    sight: Sight,
    sizeOf: (container: Container) => Promise<number>,
  ): Promise<{ ContainersDeleted: string[] | null; SpaceReclaimed: number }> {
    const [until] = filters.get("until") ?? [];
    const limit = parseNanoseconds(until, "invalid");
    const deleted: string[] = [];
    let reclaimed = 0;
    for (const container of this.#containers.registry.seenBy(sight)) {
      const { created, config } = container.record.definition;
      if (container.running || container.removing) continue;
      if (limit !== undefined && (parseTime(created) ?? 0n) > limit) continue;
      if (!matchesLabels(filters.get("label") ?? [], config.Labels)) continue;
      if ((filters.get("label!") ?? []).some((label) => matchesLabels([label], config.Labels))) continue;
      const size = await sizeOf(container);
      await this.#containers.remove(container, { force: false, volumes: false });
      deleted.push(container.id);
      reclaimed += size;
    }
    return { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed };
  }
}

/** The device rules that an update asks for. A list without any changes nothing, as all lists: "none" stands for no rules. */
function updatedRules(rules: readonly string[]): string[] {
  const own = rules.length === 1 && rules[0] === "none" ? [] : [...rules];
  checkDeviceRules(own);
  return own;
}

/** What an update asks to be changed. */
function wantedResources(update: ContainerUpdate): Partial<HostConfig> {
  const wanted: Record<string, unknown> = {};
  for (const field of resourceFields) {
    const value = update[field];
    const missing = Array.isArray(value) ? value.length === 0 : [0, "", null, undefined].includes(value);
    if (!missing) wanted[field] = value;
  }
  // Here 0 says something: no limit, as all below it does.
  if (update.PidsLimit !== null) wanted.PidsLimit = Math.max(update.PidsLimit, 0);
  return wanted as Partial<HostConfig>;
}

const noResources = (host: HostConfig): HostConfig => ({
  ...host,
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CpuPeriod: 0,
  CpuQuota: 0,
  CpusetCpus: "",
  CpusetMems: "",
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: false,
  PidsLimit: null,
  BlkioWeight: 0,
  BlkioWeightDevice: null,
  BlkioDeviceReadBps: null,
  BlkioDeviceWriteBps: null,
  BlkioDeviceReadIOps: null,
  BlkioDeviceWriteIOps: null,
  KernelMemoryTCP: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  HugetlbLimits: null,
  NetClassId: 0,
  NetPriorities: null,
});
