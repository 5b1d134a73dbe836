// What is asked of a build.
import type { Caller } from "../access/caller.ts";

/** Limits of the containers that a build's commands run in; 0 and "" set none. */
export interface BuildLimits {
  Memory: number;
  MemorySwap: number;
  CpuShares: number;
  CpuPeriod: number;
  CpuQuota: number;
  CpusetCpus: string;
  CpusetMems: string;
  ShmSize: number;
  CgroupParent: string;
  Ulimits: { Name: string; Soft: number; Hard: number }[];
}

export interface BuildOptions {
  /** The Dockerfile's path in the context. */
  dockerfile: string;
  tags: readonly string[];
  /** Where the context is, if it does not come with the request. */
  remote: string;
  quiet: boolean;
  noCache: boolean;
  pull: boolean;
  /** Containers of steps that went well go. */
  remove: boolean;
  /** Those of steps that did not go, too. */
  forceRemove: boolean;
  cacheFrom: readonly string[];
  args: ReadonlyMap<string, string>;
  labels: Readonly<Record<string, string>>;
  network: string;
  extraHosts: readonly string[];
  platform: string;
  target: string;
  limits: BuildLimits;
  /** By id: they are in memory and in the containers that ask for them, and nowhere else. */
  secrets: ReadonlyMap<string, Buffer>;
  /** The X-Registry-Config header. */
  registryConfig: string | undefined;
}

/** Gets an image that is not here. Throws when it can't be had. */
export type PullImage = (
  reference: string,
  options: {
    caller: Caller;
    platform: string;
    registryConfig: string | undefined;
    progress: (line: object) => Promise<void>;
    signal: AbortSignal;
  },
) => Promise<void>;
