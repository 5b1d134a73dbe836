// An image as the engine knows it.
import { z } from "zod";
import type { Caller, Sight } from "../access/caller.ts";
import { hostPlatform } from "./platform.ts";

/** The configuration an image gives its containers; null and missing mean none. */
export interface ImageDefaults {
  User?: string | null;
  ExposedPorts?: Record<string, Record<string, unknown>> | null;
  Env?: string[] | null;
  Entrypoint?: string[] | null;
  Cmd?: string[] | null;
  Volumes?: Record<string, Record<string, unknown>> | null;
  WorkingDir?: string | null;
  Labels?: Record<string, string> | null;
  StopSignal?: string | null;
  /** Times in nanoseconds. */
  Healthcheck?: {
    Test?: string[] | null;
    Interval?: number;
    Timeout?: number;
    StartPeriod?: number;
    StartInterval?: number;
    Retries?: number;
  } | null;
  Shell?: string[] | null;
  OnBuild?: string[] | null;
  ArgsEscaped?: boolean;
}

export interface HistoryEntry {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}

/** The image's JSON, whose digest is its id (OCI image configuration). */
export interface ImageConfiguration {
  architecture: string;
  os: string;
  variant?: string;
  "os.version"?: string;
  author?: string;
  created?: string;
  config?: ImageDefaults | null;
  rootfs: { type: "layers"; diff_ids: string[] };
  history?: HistoryEntry[];
}

/** What any image's configuration must have. Old ones say nothing of their platform: they are for whoever has them. */
export const imageConfigurationSchema = z.looseObject({
  architecture: z.string().default(hostPlatform.architecture),
  os: z.string().default(hostPlatform.os),
  rootfs: z.object({
    type: z.literal("layers"),
    diff_ids: z
      .array(z.string().regex(/^sha256:[0-9a-f]{64}$/))
      .max(1000)
      .nullable()
      .transform((list) => list ?? []),
  }),
});

export interface ImageRecord {
  /** sha256:… of the configuration. */
  id: string;
  config: ImageConfiguration;
  repoTags: string[];
  repoDigests: string[];
  /** Who made or loaded it (Caller.id). */
  owners: string[];
  /** Bytes of all its layers, unpacked. */
  size: number;
}

/** Where containers get their images from. */
export interface ImageSource {
  /** By tag, digest, id or id prefix, among those that exist for `sight`; throws not-found with Docker's words. */
  get(reference: string, sight: Sight): ImageRecord;
  /** Throws for an image that the caller's role does not let it make containers of. */
  checkUse(image: ImageRecord, caller: Caller): void;
  /** Keeps its layers' files, even if it is removed, until the returned function is called. */
  hold(image: ImageRecord): () => void;
  /** A container is about to stand on it: throws where it went away meanwhile. */
  noteUse(image: ImageRecord): void;
  /** Resolves when containers may stand on it: nobody touched its files, and the image policy lets it run. Undefined where
   * that is known already. */
  ready(image: ImageRecord): Promise<void> | undefined;
  /** The unpacked layers' directories, topmost first. */
  layerDirectories(image: ImageRecord): string[];
}
