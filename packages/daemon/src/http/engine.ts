// What the HTTP layer needs of the engine.

import type { Readable } from "node:stream";
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
import type { ImageCollector } from "../engine/images/collect.ts";
import type { Commits } from "../engine/images/commit.ts";
import type { ImageRecord } from "../engine/images/image.ts";
import type { WantedPlatform } from "../engine/images/platform.ts";
import type { Pulls } from "../engine/images/pull.ts";
import type { Pushes } from "../engine/images/push.ts";
import type { RegistryCredentials, RegistryQueries } from "../engine/images/registry-queries.ts";
import type { ImageService } from "../engine/images/service.ts";
import type { IsolationService } from "../engine/isolation/service.ts";
import type { NetworkConnections } from "../engine/networks/connections.ts";
import type { NetworkService } from "../engine/networks/service.ts";
import type { PolicyService } from "../engine/policies/service.ts";
import type { WritableLayers } from "../engine/storage/writable-layers.ts";
import type { DiskUsage } from "../engine/system/disk-usage.ts";
import type { ImageSignature } from "../engine/trust/signatures.ts";
import type { VolumeContents } from "../engine/volumes/contents.ts";
import type { VolumeService } from "../engine/volumes/service.ts";
import type { VolumeView } from "../engine/volumes/view.ts";

export interface Engine {
  containers: ContainerService;
  operations: ContainerOperations;
  isolation: IsolationService;
  archives: ContainerArchives;
  commits: Commits;
  builds: BuildService;
  pruneBuilds(options: PruneOptions, caller: Caller): Promise<PruneReport>;
  execs: ExecService;
  images: ImageService;
  pulls: Pulls;
  pushes: Pushes;
  collector: ImageCollector;
  /** Puts a signature beside an image in its registry. */
  sign(
    image: ImageRecord,
    signature: ImageSignature,
    credentials: RegistryCredentials,
    signal: AbortSignal,
  ): Promise<void>;
  /** A tar of images. */
  saveImages(names: readonly string[], platform: WantedPlatform | undefined, sight: Sight): Readable;
  registries: RegistryQueries;
  networks: NetworkService;
  networkConnections: NetworkConnections;
  policies: PolicyService;
  chains: ChainService;
  volumes: VolumeService;
  volumeContents: VolumeContents;
  /** Bytes of a volume's files; −1 when it went away meanwhile. */
  sizeOfVolume(volume: VolumeView): Promise<number>;
  layers: WritableLayers;
  events: EventBus;
  /** Where archives are spooled while they load. */
  spool: string;
  audit: AuditLog;
  statsHistory: StatsHistory;
  info(sight: Sight): object;
  diskUsage(kinds: readonly string[], sight: Sight): Promise<DiskUsage>;
  /** Ends the daemon; with its containers, or without. Resolves when they have ended. */
  shutdown(options: { stopContainers: boolean }): Promise<void>;
}
