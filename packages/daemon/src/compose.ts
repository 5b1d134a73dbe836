// Wires the daemon together; the only file that sees all of its parts.
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Archiver, Launcher, type Plan } from "@tsd/kernel-bindings";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { LayerDirectory } from "./content/layers.ts";
import { adoptContainers } from "./engine/containers/adoption.ts";
import { ContainerArchives } from "./engine/containers/archives.ts";
import { HealthMonitors } from "./engine/containers/health.ts";
import { ContainerOperations } from "./engine/containers/operations.ts";
import { ContainerRoots } from "./engine/containers/roots.ts";
import { ContainerService } from "./engine/containers/service.ts";
import { ensureSkeleton } from "./engine/containers/skeleton.ts";
import { EventBus } from "./engine/events/bus.ts";
import { ExecService } from "./engine/exec/service.ts";
import { Commits } from "./engine/images/commit.ts";
import { ImageService } from "./engine/images/service.ts";
import { DefaultNetwork } from "./engine/networks/default-network.ts";
import { infoView } from "./engine/system/info.ts";
import { LocalVolumes } from "./engine/volumes.ts";
import { createApp } from "./http/app.ts";
import { Runtime } from "./runtime/runtime.ts";
import { containerStore } from "./state/containers.ts";
import { installationFact, openDatabase } from "./state/database.ts";
import { eventStore } from "./state/events.ts";
import { execStore } from "./state/execs.ts";
import { imageStore } from "./state/images.ts";

export interface Settings {
  dataRoot: string;
  execRoot: string;
  cgroupParent: string;
  bridge: { name: string; address: string; prefixLength: number };
  mtu: number;
  iptables: boolean;
  programs: { launcher: string; init: string; archiver: string };
}

export interface Daemon {
  app: FastifyInstance;
  /** Lets go of everything; containers go on. */
  close(): Promise<void>;
}

const SIGKILL = 9;

/** Builds the daemon and takes up what an earlier one left. `end` ends the program when a client asks for it;
 * `transform` lets tests put faults into launch plans. */
export async function compose(
  settings: Settings,
  logger: Logger,
  end: () => void,
  transform?: (plan: Plan) => Plan,
): Promise<Daemon> {
  const { dataRoot, execRoot } = settings;
  for (const directory of ["containers", "volumes", "spool"])
    mkdirSync(join(dataRoot, directory), { recursive: true, mode: 0o710 });
  mkdirSync(execRoot, { recursive: true, mode: 0o711 });
  const report = (problem: unknown, what: string): void => logger.error({ err: problem }, what);
  const db = openDatabase(join(dataRoot, "tsd.db"));
  const launcher = new Launcher(settings.programs.launcher, (message) => logger.error(message));
  const runtime = new Runtime(
    launcher,
    { execRoot, cgroupParent: settings.cgroupParent, initPath: settings.programs.init },
    transform,
  );
  const events = new EventBus(eventStore(db), report);
  const archiver = new Archiver(settings.programs.archiver);
  const images = new ImageService({
    store: imageStore(db),
    layers: new LayerDirectory(join(dataRoot, "layers"), archiver),
    events,
    report,
  });
  const networkId = installationFact(db, "default-network", () => randomBytes(32).toString("hex"));
  const network = new DefaultNetwork(networkId, {
    ...settings.bridge,
    mtu: settings.mtu,
    firewall: settings.iptables,
  });
  const volumes = new LocalVolumes(join(dataRoot, "volumes"), events);
  const containers = new ContainerService({
    store: containerStore(db),
    runtime,
    images,
    network,
    volumes,
    events,
    root: join(dataRoot, "containers"),
    skeleton: ensureSkeleton(join(dataRoot, "skeleton")),
    trash: join(dataRoot, "trash"),
    report,
  });
  images.usesOf = (imageId) =>
    containers.registry
      .all()
      .filter((container) => container.record.definition.imageId === imageId)
      .map(({ id, running }) => ({ id, running }));
  const execs = new ExecService({ runtime, containers, store: execStore(db), report });
  const { lifecycle } = containers;
  const health = new HealthMonitors(
    (...probe) => execs.probe(...probe),
    {
      restart: ({ id }) => containers.restart(id, {}),
      stop: ({ id }) => containers.stop(id, {}),
      kill: (container) => lifecycle.signal(container, SIGKILL, true),
    },
    (container, action) => lifecycle.announce(container, action),
    report,
  );
  lifecycle.observe(health);
  lifecycle.observe(execs);
  const operations = new ContainerOperations(containers, runtime);
  const roots = new ContainerRoots(runtime, containers.starter);
  const archives = new ContainerArchives(containers, roots, archiver);
  const commits = new Commits(containers, operations, archives, images);
  await images.open();
  await network.open();
  await execs.adopt();
  logger.info(await adoptContainers(lifecycle), "containers of an earlier daemon taken up");
  mkdirSync(join(dataRoot, "trash"), { recursive: true, mode: 0o700 });
  const id = installationFact(db, "engine", randomUUID);
  const info = (): object => infoView({ id, dataRoot, runtime, containers, images });
  const app = createApp(
    {
      containers,
      operations,
      archives,
      commits,
      execs,
      images,
      network,
      volumes,
      events,
      spool: join(dataRoot, "spool"),
      info,
      shutdown: async ({ stopContainers }) => {
        if (stopContainers) await containers.stopAll();
        setImmediate(end);
      },
    },
    logger as never,
  );
  return {
    app,
    close: async () => {
      await app.close();
      events.flush();
      launcher.close();
      db.close();
    },
  };
}
