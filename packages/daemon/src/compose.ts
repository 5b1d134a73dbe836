// Wires the daemon together; the only file that sees all of its parts.
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Launcher, type Plan } from "@tsd/kernel-bindings";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { LayerDirectory } from "./content/layers.ts";
import { ContainerService } from "./engine/containers/service.ts";
import { EventBus } from "./engine/events/bus.ts";
import { ExecService } from "./engine/exec/service.ts";
import { ImageService } from "./engine/images/service.ts";
import { DefaultNetwork } from "./engine/networks/default-network.ts";
import { infoView } from "./engine/system/info.ts";
import { LocalVolumes } from "./engine/volumes.ts";
import { createApp } from "./http/app.ts";
import { Runtime } from "./runtime/runtime.ts";
import { containerStore } from "./state/containers.ts";
import { installationFact, openDatabase } from "./state/database.ts";
import { eventStore } from "./state/events.ts";
import { imageStore } from "./state/images.ts";

export interface Settings {
  dataRoot: string;
  execRoot: string;
  cgroupParent: string;
  bridge: { name: string; address: string; prefixLength: number };
  mtu: number;
  iptables: boolean;
  programs: { launcher: string; init: string; unpacker: string };
}

export interface Daemon {
  app: FastifyInstance;
  /** Lets go of everything; containers go on. */
  close(): Promise<void>;
}

/** Builds the daemon and takes up what an earlier one left. `transform` lets tests put faults into launch plans. */
export async function compose(
  settings: Settings,
  logger: Logger,
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
  const events = new EventBus(eventStore(db));
  const images = new ImageService({
    store: imageStore(db),
    layers: new LayerDirectory(join(dataRoot, "layers"), settings.programs.unpacker),
    events,
    report,
  });
  const networkId = installationFact(db, "default-network", () => randomBytes(32).toString("hex"));
  const network = new DefaultNetwork(networkId, {
    ...settings.bridge,
    mtu: settings.mtu,
    firewall: settings.iptables,
  });
  const volumes = new LocalVolumes(join(dataRoot, "volumes"));
  const containers = new ContainerService({
    store: containerStore(db),
    runtime,
    images,
    network,
    volumes,
    events,
    root: join(dataRoot, "containers"),
    trash: join(dataRoot, "trash"),
    report,
  });
  images.usesOf = (imageId) =>
    containers.registry
      .all()
      .filter((container) => container.record.definition.imageId === imageId)
      .map(({ id, running }) => ({ id, running }));
  const execs = new ExecService(runtime, containers, report);
  await images.open();
  await network.open();
  await containers.adopt();
  mkdirSync(join(dataRoot, "trash"), { recursive: true, mode: 0o700 });
  const id = installationFact(db, "engine", randomUUID);
  const info = (): object => infoView({ id, dataRoot, runtime, containers, images });
  const app = createApp(
    { containers, execs, images, network, volumes, events, spool: join(dataRoot, "spool"), info },
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
