// What the HTTP layer needs of the engine.
import type { ContainerService } from "../engine/containers/service.ts";
import type { EventBus } from "../engine/events/bus.ts";
import type { ExecService } from "../engine/exec/service.ts";
import type { ImageService } from "../engine/images/service.ts";
import type { DefaultNetwork } from "../engine/networks/default-network.ts";
import type { LocalVolumes } from "../engine/volumes.ts";

export interface Engine {
  containers: ContainerService;
  execs: ExecService;
  images: ImageService;
  network: DefaultNetwork;
  volumes: LocalVolumes;
  events: EventBus;
  /** Where archives are spooled while they load. */
  spool: string;
  info(): object;
}
