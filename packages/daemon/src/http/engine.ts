// What the HTTP layer needs of the engine.

import type { Caller, Sight } from "../engine/access/caller.ts";
import type { AuditLog } from "../engine/audit/log.ts";
import type { PruneOptions, PruneReport } from "../engine/build/prune.ts";
import type { BuildService } from "../engine/build/service.ts";
import type { ChainService } from "../engine/chains/service.ts";
import type { ContainerArchives } from "../engine/containers/archives.ts";
import type { ContainerOperations } from "../engine/containers/operations.ts";
import type { ContainerService } from "../engine/containers/service.ts";
import type { StatsHistory } from "../engine/containers/stats-history.ts";
import type { EventBus } from "../engine/events/bus.ts";
import type { ExecService } from "../engine/exec/service.ts";
import type { Commits } from "../engine/images/commit.ts";
import type { ImageService } from "../engine/images/service.ts";
import type { NetworkConnections } from "../engine/networks/connections.ts";
import type { NetworkService } from "../engine/networks/service.ts";
import type { PolicyService } from "../engine/policies/service.ts";
import type { WritableLayers } from "../engine/storage/writable-layers.ts";
import type { LocalVolumes } from "../engine/volumes.ts";

export interface Engine {
  containers: ContainerService;
  operations: ContainerOperations;
  archives: ContainerArchives;
  commits: Commits;
  builds: BuildService;
  pruneBuilds(options: PruneOptions, caller: Caller): Promise<PruneReport>;
  execs: ExecService;
  images: ImageService;
  networks: NetworkService;
  networkConnections: NetworkConnections;
  policies: PolicyService;
  chains: ChainService;
  volumes: LocalVolumes;
  layers: WritableLayers;
  events: EventBus;
  /** Where archives are spooled while they load. */
  spool: string;
  audit: AuditLog;
  statsHistory: StatsHistory;
  info(sight: Sight): object;
  diskUsage(kinds: readonly string[], sight: Sight): Promise<object>;
  /** Ends the daemon; with its containers, or without. Resolves when they have ended. */
  shutdown(options: { stopContainers: boolean }): Promise<void>;
}
