// Wires the daemon together; with its folder the only one that sees all of its parts.
import { randomUUID } from "node:crypto";
import { copyFileSync, mkdirSync, realpathSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import {
  Archiver,
  Launcher,
  type Plan,
  quotaDrivers,
  selinuxContext,
  setSelinuxLabel,
} from "@tsd/kernel-bindings";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { composeImages } from "./compose/images.ts";
import { composeNetworks } from "./compose/networks.ts";
import { auditedSettings } from "./configuration/audited.ts";
import type { Settings } from "./configuration/settings.ts";
import { everything } from "./engine/access/caller.ts";
import type { Policy } from "./engine/access/policy.ts";
import { auditKey } from "./engine/audit/key.ts";
import { AuditLog } from "./engine/audit/log.ts";
import { pruneBuildCache } from "./engine/build/prune.ts";
import { BuildService } from "./engine/build/service.ts";
import { adoptContainers } from "./engine/containers/adoption.ts";
import { ContainerArchives } from "./engine/containers/archives.ts";
import { HealthMonitors } from "./engine/containers/health.ts";
import { linkedPorts } from "./engine/containers/links.ts";
import { volumeNames } from "./engine/containers/mount-spec.ts";
import { ContainerOperations } from "./engine/containers/operations.ts";
import { imagesOf } from "./engine/containers/record.ts";
import { ContainerRoots } from "./engine/containers/roots.ts";
import { ContainerService } from "./engine/containers/service.ts";
import { ensureEmpty, ensureSkeleton } from "./engine/containers/skeleton.ts";
import { StatsHistory } from "./engine/containers/stats-history.ts";
import { EventBus } from "./engine/events/bus.ts";
import { ExecService } from "./engine/exec/service.ts";
import { pullForBuild } from "./engine/images/build-pull.ts";
import { ImageCollector } from "./engine/images/collect.ts";
import { Commits } from "./engine/images/commit.ts";
import { Pushes } from "./engine/images/push.ts";
import { RegistryQueries } from "./engine/images/registry-queries.ts";
import { saveImages } from "./engine/images/save.ts";
import { IsolationService } from "./engine/isolation/service.ts";
import { NetworkConnections } from "./engine/networks/connections.ts";
import { DeviceLoans } from "./engine/networks/device-loans.ts";
import { sweepShapers } from "./engine/networks/shaping.ts";
import { WritableLayers } from "./engine/storage/writable-layers.ts";
import { diskUsage, sizeOfVolume } from "./engine/system/disk-usage.ts";
import { infoView } from "./engine/system/info.ts";
import type { ImagePolicy } from "./engine/trust/policy.ts";
import { publishSignature } from "./engine/trust/sign.ts";
import { IdPool } from "./engine/user-namespaces/pool.ts";
import { tryUserNamespaces } from "./engine/user-namespaces/probe.ts";
import { UserNamespaces } from "./engine/user-namespaces/service.ts";
import { defaultMode, idPoolOf, readSubordinateIds } from "./engine/user-namespaces/subordinate-ids.ts";
import { VolumeContents } from "./engine/volumes/contents.ts";
import { VolumeService } from "./engine/volumes/service.ts";
import { createApp } from "./http/app.ts";
import type { Engine } from "./http/engine.ts";
import { engineMetrics, type Metrics } from "./http/metrics.ts";
import { Connections } from "./listen/connections.ts";
import { findLxcfs } from "./runtime/lxcfs.ts";
import { SecurityModules } from "./runtime/modules.ts";
import { Runtime } from "./runtime/runtime.ts";
import type { ContainerContexts } from "./runtime/selinux.ts";
import { checkpointMemory, openAuditStore } from "./state/audit.ts";
import { containerStore } from "./state/containers.ts";
import { installationFact, openDatabase } from "./state/database.ts";
import { eventStore } from "./state/events.ts";
import { execStore } from "./state/execs.ts";
import { volumeStore } from "./state/volumes.ts";

export interface Programs {
  launcher: string;
  init: string;
  archiver: string;
}

export interface Daemon {
  app: FastifyInstance;
  connections: Connections;
  metrics: Metrics;
  /** Takes up a policy, and settings that may change while it runs. */
  reload(policy: Policy, imagePolicy: ImagePolicy | undefined, settings: Settings): void;
  /** Lets go of everything; containers go on. */
  close(): Promise<void>;
}

const SIGKILL = 9;

export interface DaemonParts {
  settings: Settings;
  programs: Programs;
  policy: Policy;
  /** Undefined: every image is as good as any other. */
  imagePolicy: ImagePolicy | undefined;
  logger: Logger;
  /** Ends the program when a client asks for it. */
  end: () => void;
  /** Lets tests put faults into launch plans. */
  transform?: (plan: Plan) => Plan;
}

/** A copy of the init program that confined containers may execute. */
function labelledInit(program: string, execRoot: string, { file }: ContainerContexts): string {
  const copy = join(execRoot, "init");
  rmSync(copy, { force: true });
  copyFileSync(program, copy);
  setSelinuxLabel(copy, selinuxContext(file));
  return copy;
}

/** Builds the daemon and takes up what an earlier one left. */
export async function compose(parts: DaemonParts): Promise<Daemon> {
  const { settings, programs, policy, imagePolicy, logger, end, transform } = parts;
  const { dataRoot, execRoot } = settings;
  // What an earlier daemon was in the middle of taking in.
  rmSync(join(dataRoot, "spool"), { recursive: true, force: true });
  for (const directory of ["containers", "volumes", "spool", "quota"])
    mkdirSync(join(dataRoot, directory), { recursive: true, mode: 0o710 });
  mkdirSync(join(dataRoot, "audit"), { recursive: true, mode: 0o700 });
  mkdirSync(execRoot, { recursive: true, mode: 0o711 });
  const report = (problem: unknown, what: string): void => logger.error({ err: problem }, what);
  const db = openDatabase(join(dataRoot, "tsd.db"));
  const modules = await SecurityModules.find(
    { selinux: settings.selinux, lxcfs: findLxcfs(settings.lxcfs) },
    (message) => logger.warn(message),
  );
  const initPath = modules.selinux ? labelledInit(programs.init, execRoot, modules.selinux) : programs.init;
  const launcher = new Launcher(programs.launcher, (message) => logger.error(message));
  const runtime = new Runtime(
    launcher,
    {
      execRoot,
      cgroupParent: settings.cgroupParent,
      realtime: settings.realtime,
      initPath,
      compressorPath: programs.archiver,
      cdiDirectories: settings.cdiDirectories,
      defaults: settings.defaults,
      runtimes: settings.runtimes,
    },
    transform,
    modules,
  );
  const events = new EventBus(eventStore(db), report);
  const archiver = new Archiver(programs.archiver, (message) => logger.error(message));
  const { layerDirectory, catalog, trust, images, registries, pulls, manifests } = composeImages({
    db,
    settings,
    imagePolicy,
    archiver,
    events,
    report,
  });
  const { networks, policies, chains, names, reaper, memberships, floods, firewall, tables } =
    composeNetworks({
      db,
      settings,
      events,
      logger,
      report,
    });
  // Loop devices are known by their files' real paths.
  const layers = new WritableLayers({
    root: join(dataRoot, "containers"),
    drivers: quotaDrivers(join(realpathSync(dataRoot), "quota"), report),
    wanted: settings.storage.quotaDriver,
    defaultSize: settings.storage.defaultSize,
    report,
  });
  const volumes = new VolumeService({
    root: join(dataRoot, "volumes"),
    store: volumeStore(db),
    trees: layers,
    archiver,
    events,
    report,
  });
  const subordinateIds = readSubordinateIds();
  const idPool = idPoolOf(settings.userNamespaces.pool, subordinateIds);
  const userNamespaces = new UserNamespaces(
    new IdPool(idPool.available, idPool.reserved),
    defaultMode(settings.userNamespaces.remap, subordinateIds),
  );
  const skeleton = ensureSkeleton(join(dataRoot, "skeleton"));
  const containers = new ContainerService({
    store: containerStore(db),
    runtime,
    images,
    networks,
    memberships,
    reaper,
    names,
    volumes,
    userNamespaces,
    layers,
    events,
    dataRoot,
    root: join(dataRoot, "containers"),
    skeleton,
    empty: ensureEmpty(join(dataRoot, "empty")),
    trash: join(dataRoot, "trash"),
    report,
  });
  policies.registry = containers.registry;
  chains.registry = containers.registry;
  names.registry = containers.registry;
  names.directoryOf = (id) => containers.starter.directory(id);
  networks.linkedPorts = () => linkedPorts(containers.registry);
  names.monitorOf = (id) => runtime.places(id).socket;
  networks.removed = ({ id }) => {
    policies.networkRemoved(id);
    chains.networkRemoved(id);
  };
  images.usesOf = (imageId) =>
    containers.registry
      .all()
      .filter(({ record }) => imagesOf(record.definition).includes(imageId))
      .map(({ id, running }) => ({ id, running }));
  let { collection } = settings;
  const collector = new ImageCollector({
    catalog,
    usesOf: (id) => images.usesOf(id),
    events,
    dataRoot,
    policy: () => collection,
    report,
  });
  volumes.usersOf = (name) =>
    containers.registry
      .all()
      .filter((container) => volumeNames(container).includes(name))
      .map(({ id }) => id);
  const execs = new ExecService({ runtime, containers, store: execStore(db), report });
  const { lifecycle } = containers;
  const health = new HealthMonitors(
    (...probe) => execs.probe(...probe),
    {
      restart: (container) => containers.restart(container, {}),
      stop: (container) => containers.stop(container, {}),
      kill: (container) => lifecycle.signal(container, SIGKILL, true),
    },
    (container, action) => lifecycle.announce(container, action),
    report,
  );
  lifecycle.observe(health);
  lifecycle.observe(chains);
  lifecycle.observe(names);
  lifecycle.observe(new DeviceLoans(report));
  lifecycle.observe(execs);
  const statsHistory = new StatsHistory(runtime);
  lifecycle.observe(statsHistory);
  const operations = new ContainerOperations(containers, runtime, layers);
  /** What holds now: a reload may change it. */
  const present = { settings, policy };
  const isolation = new IsolationService({
    containers,
    runtime,
    execs,
    memberships,
    networks,
    layers,
    firewall,
    tables,
    images,
    operations,
    archiver: realpathSync(programs.archiver),
    audited: () => ({ ...auditedSettings(present.settings), policyWarnings: present.policy.warnings }),
    report,
  });
  const roots = new ContainerRoots(runtime, containers.starter, volumes, layers);
  const archives = new ContainerArchives(containers, roots, archiver);
  const commits = new Commits(containers, operations, archives, images);
  const builds = new BuildService({
    images,
    containers,
    layers: layerDirectory,
    archiver,
    root: join(dataRoot, "build"),
    hidden: join(execRoot, "build"),
    pull: pullForBuild(pulls),
  });
  userNamespaces.found(await tryUserNamespaces(runtime, join(dataRoot, "spool"), skeleton));
  if (userNamespaces.obstacle)
    logger.warn(`containers have the host's user namespace: ${userNamespaces.obstacle}`);
  await images.open();
  await networks.open();
  await layers.open();
  await volumes.open();
  for (const container of containers.registry.all()) volumes.takeUp(volumeNames(container), container.id);
  await execs.adopt();
  logger.info(await adoptContainers(lifecycle), "containers of an earlier daemon taken up");
  for (const container of containers.registry.all()) {
    if (container.alive) operations.thawForgotten(container);
    else volumes.release(volumeNames(container), container.id);
  }
  await volumes.unmountStrays();
  networks.settle();
  await networks.refreshLinks();
  policies.open();
  chains.open();
  floods.build();
  const endpoints = containers.registry.all().flatMap(({ state }) => Object.values(state.endpoints));
  await sweepShapers(new Set(endpoints.map(({ shaper }) => shaper?.name ?? "")));
  collector.start();
  isolation.watch.configure(settings.isolation.verifyInterval);
  isolation.defence.configure(settings.isolation.defence);
  mkdirSync(join(dataRoot, "trash"), { recursive: true, mode: 0o700 });
  const id = installationFact(db, "engine", randomUUID);
  let { labels, limits } = settings;
  const audit = new AuditLog({
    store: openAuditStore(join(dataRoot, "audit/audit.db")),
    privateKey: auditKey(
      settings.auditKey ?? join(dataRoot, "audit/key.pem"),
      settings.auditKey === undefined,
    ),
    memory: checkpointMemory(db),
    report,
    announce: (checkpoint) => logger.debug({ checkpoint }, "audit record signed"),
  });
  logger.info({ records: audit.length, key: audit.publicKey.fingerprint }, "audit record");
  const engine: Engine = {
    containers,
    operations,
    isolation,
    archives,
    commits,
    builds,
    pruneBuilds: (options, caller) =>
      pruneBuildCache({ images, archiver, caches: builds.cachesOf(caller) }, options, caller),
    execs,
    images,
    pulls,
    pushes: new Pushes({ catalog, registries, manifests, trust }),
    collector,
    saveImages: (names, platform, sight) =>
      saveImages({ catalog, manifests, spool: join(dataRoot, "spool") }, names, platform, sight),
    sign: (...signing) => publishSignature({ catalog, registries }, ...signing),
    registries: new RegistryQueries(registries),
    networks,
    networkConnections: new NetworkConnections({ containers, networks, memberships, names, report }),
    policies,
    chains,
    volumes,
    volumeContents: new VolumeContents({ volumes, archiver, containers, operations, report }),
    sizeOfVolume: (volume) => sizeOfVolume(archiver, volume),
    layers,
    events,
    audit,
    statsHistory,
    spool: join(dataRoot, "spool"),
    diskUsage: (kinds, sight) => diskUsage({ archiver, archives, containers, images, volumes }, kinds, sight),
    info: (sight) =>
      infoView(
        {
          id,
          dataRoot,
          runtime,
          containers,
          images,
          layers,
          userNamespaces,
          labels: () => labels,
          firewall: () => firewall.backend,
          addressPools: settings.addressPools,
          registries: () => registries.settings,
        },
        sight,
      ),
    shutdown: async ({ stopContainers }) => {
      if (stopContainers) await containers.stopAll();
      setImmediate(end);
    },
  };
  const connections = new Connections(policy, limits.connectionsPerCaller);
  const metrics = engineMetrics(engine);
  metrics.gauge("tsd_connections", "Connections there are.", () => connections.size);
  metrics.gauge("tsd_streams", "Connections that are raw streams.", () => connections.streams);
  const app = createApp(
    {
      engine,
      metrics,
      identify: (socket) => connections.callerOf(socket),
      streamBegins: (socket) => connections.streamBegins(socket),
      requestsPerSecond: ({ role }) => role?.requestsPerSecond ?? limits.requestsPerSecond,
    },
    logger as never,
  );
  return {
    app,
    connections,
    metrics,
    reload: (newPolicy, newImagePolicy, changed) => {
      ({ labels, limits, collection } = changed);
      Object.assign(present, { settings: changed, policy: newPolicy });
      connections.limit = limits.connectionsPerCaller;
      connections.apply(newPolicy);
      trust.configure(newImagePolicy);
      registries.configure(changed.registries);
      isolation.watch.configure(changed.isolation.verifyInterval);
      isolation.defence.configure(changed.isolation.defence);
      events.publish({
        Type: "daemon",
        Action: "reload",
        Actor: { ID: id, Attributes: { name: hostname(), labels: JSON.stringify(labels) } },
        owner: "",
      });
    },
    close: async () => {
      await app.close();
      events.flush();
      collector.close();
      isolation.watch.close();
      isolation.defence.close();
      policies.close();
      names.close();
      await networks.close();
      await reaper.quiet();
      statsHistory.close();
      audit.close();
      launcher.close();
      archiver.close();
      await registries.close();
      await volumes.quiet();
      await layers.close(
        (name) =>
          (containers.registry.look(name, everything)?.alive ?? false) ||
          volumes.all().some(({ record, holders }) => record.tree === name && holders.size > 0),
      );
      db.close();
    },
  };
}
