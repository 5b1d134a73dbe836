// Reads a bundle's config.json and an exec's process.json, as far as they are used here; names what is wrong with them.
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { OciConfig, OciProcess } from "../api/oci-config.ts";
import { BundleError } from "./specify.ts";

const id = z.int().min(0).max(4_294_967_295);
const strings = z.array(z.string().refine((text) => !text.includes("\0"), "a string contains NUL"));
const names = strings.nullish().transform((list) => list ?? undefined);

const process = z.looseObject({
  terminal: z.boolean().optional(),
  consoleSize: z.object({ height: z.number(), width: z.number() }).optional(),
  user: z.object({
    uid: id,
    gid: id,
    additionalGids: z.array(id).optional(),
    umask: z.int().min(0).max(0o777).optional(),
  }),
  args: strings.min(1),
  env: names,
  cwd: z.string().min(1),
  capabilities: z
    .object({ bounding: names, effective: names, permitted: names, inheritable: names, ambient: names })
    .optional(),
  rlimits: z
    .array(z.object({ type: z.string(), soft: z.number(), hard: z.number() }))
    .nullish()
    .transform((list) => list ?? undefined),
  noNewPrivileges: z.boolean().optional(),
  oomScoreAdj: z.int().min(-1000).max(1000).optional(),
});

const mapping = z.array(z.object({ containerID: id, hostID: id, size: id }));
const hook = z.object({
  path: z.string(),
  args: strings.optional(),
  env: strings.optional(),
  timeout: z.number().optional(),
});

const config = z.looseObject({
  ociVersion: z.string().regex(/^1\./, "only 1.x is understood"),
  process: process.optional(),
  root: z.object({ path: z.string().min(1), readonly: z.boolean().optional() }),
  hostname: z.string().optional(),
  domainname: z.string().optional(),
  mounts: z
    .array(
      z.looseObject({
        destination: z.string().min(1),
        type: z.string().optional(),
        source: z.string().optional(),
        options: names,
        uidMappings: mapping.optional(),
        gidMappings: mapping.optional(),
      }),
    )
    .nullish()
    .transform((list) => list ?? undefined),
  hooks: z.record(z.string(), z.array(hook).nullish()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  linux: z
    .looseObject({
      namespaces: z.array(z.object({ type: z.string(), path: z.string().optional() })).optional(),
      uidMappings: mapping.optional(),
      gidMappings: mapping.optional(),
      cgroupsPath: z.string().optional(),
      sysctl: z
        .record(z.string(), z.string())
        .nullish()
        .transform((map) => map ?? undefined),
      maskedPaths: names,
      readonlyPaths: names,
    })
    .optional(),
});

function read<T>(path: string, schema: z.ZodType): T {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new BundleError(`${path}: ${(error as Error).message}`);
  }
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data as T;
  const issue = checked.error.issues[0];
  throw new BundleError(`${path}: ${issue?.path.join(".")}: ${issue?.message}`);
}

export const readConfig = (path: string): OciConfig => read<OciConfig>(path, config);
export const readProcess = (path: string): OciProcess => read<OciProcess>(path, process);
