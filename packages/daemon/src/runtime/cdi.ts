// Devices by name: specifications of the Container Device Interface (CDI), read from the host's folders, and what of them a
// request asks for.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DeviceRule } from "@tsd/kernel-bindings";
import { parse } from "yaml";
import { z } from "zod";
import type { OciHook } from "../api/oci-config.ts";
import { requestedDevices } from "./devices.ts";
import { SpecificationError } from "./errors.ts";
import type { DeviceSpec, MountSpec, PlanHook } from "./spec.ts";

/** A request as the API has it. */
export interface DeviceRequest {
  Driver: string;
  /** −1 for all. */
  Count: number;
  DeviceIDs: readonly string[] | null;
  Capabilities: readonly (readonly string[])[] | null;
}

/** What devices add to a container. */
export interface DeviceEdits {
  devices: DeviceSpec[];
  rules: DeviceRule[];
  environment: string[];
  mounts: MountSpec[];
  hooks: { [K in PlanHook]: OciHook[] };
}

const editsSchema = z.looseObject({
  env: z.array(z.string()).nullish(),
  deviceNodes: z
    .array(
      z.looseObject({
        path: z.string().startsWith("/"),
        hostPath: z.string().startsWith("/").nullish(),
        permissions: z.string().nullish(),
        fileMode: z.int().nullish(),
        gid: z.int().nullish(),
      }),
    )
    .nullish(),
  mounts: z
    .array(
      z.looseObject({
        hostPath: z.string().startsWith("/"),
        containerPath: z.string().startsWith("/"),
        options: z.array(z.string()).nullish(),
      }),
    )
    .nullish(),
  hooks: z
    .array(
      z.looseObject({
        hookName: z.string(),
        path: z.string().startsWith("/"),
        args: z.array(z.string()).nullish(),
        env: z.array(z.string()).nullish(),
        timeout: z.int().positive().nullish(),
      }),
    )
    .nullish(),
});
type Edits = z.output<typeof editsSchema>;

const specificationSchema = z.looseObject({
  cdiVersion: z.string(),
  kind: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.-]*\/[A-Za-z][A-Za-z0-9_.-]*$/, "not vendor/class"),
  devices: z.array(z.looseObject({ name: z.string(), containerEdits: editsSchema })),
  containerEdits: editsSchema.nullish(),
});
type Specification = z.output<typeof specificationSchema>;

/** A device and the specification it is of. */
interface NamedDevice {
  specification: Specification;
  edits: Edits;
}

/** The devices of every readable specification, by their whole names; those of later folders count. Files with something
 * wrong in them are left out, with the reason. */
export function readSpecifications(directories: readonly string[]): {
  devices: ReadonlyMap<string, NamedDevice>;
  problems: string[];
} {
  const devices = new Map<string, NamedDevice>();
  const problems: string[] = [];
  for (const directory of directories)
    for (const file of filesOf(directory)) {
      try {
        const specification = specificationSchema.parse(parse(readFileSync(file, "utf8")));
        for (const { name, containerEdits } of specification.devices)
          devices.set(`${specification.kind}=${name}`, { specification, edits: containerEdits });
      } catch (error) {
        const reason =
          error instanceof z.ZodError
            ? `${error.issues[0]?.path.join(".")}: ${error.issues[0]?.message}`
            : (error as Error).message;
        problems.push(`${file}: ${reason}`);
      }
    }
  return { devices, problems };
}

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(?:json|ya?ml)$/.test(name))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

const GPU = "nvidia.com/gpu";

/** The whole names of the devices that a request stands for. Throws in dockerd's words for one that there is nothing for. */
function namesOf(request: DeviceRequest, known: ReadonlyMap<string, NamedDevice>): string[] {
  const { Driver, Count, DeviceIDs, Capabilities } = request;
  if (Driver === "cdi") return [...(DeviceIDs ?? [])];
  const capabilities = (Capabilities ?? []).map((all) => `[${all.join(" ")}]`).join(" ");
  const gpus = [...known.keys()].filter((name) => name.startsWith(`${GPU}=`));
  const isGpu = (Capabilities ?? []).some((all) => all.includes("gpu"));
  if (!["", "nvidia"].includes(Driver) || !isGpu || gpus.length === 0)
    throw new SpecificationError(
      "system",
      `could not select device driver "${Driver}" with capabilities: [${capabilities}]`,
    );
  if (DeviceIDs?.length) return DeviceIDs.map((id) => `${GPU}=${id}`);
  if (Count === -1 && known.has(`${GPU}=all`)) return [`${GPU}=all`];
  const single = gpus
    .filter((name) => name !== `${GPU}=all`)
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const wanted = Count === -1 ? single.length : Count;
  if (single.length < wanted)
    throw new SpecificationError("system", `${wanted} GPUs were asked for, and there are ${single.length}`);
  return single.slice(0, wanted);
}

/** All that requests add to a container. Throws for a device that there is no specification of, or that asks for what is not
 * built. */
export function requestedEdits(
  requests: readonly DeviceRequest[],
  directories: readonly string[],
): DeviceEdits {
  const result: DeviceEdits = {
    devices: [],
    rules: [],
    environment: [],
    mounts: [],
    hooks: { createRuntime: [], createContainer: [], startContainer: [] },
  };
  if (requests.length === 0) return result;
  const { devices, problems } = readSpecifications(directories);
  const general = new Set<Specification>();
  for (const name of requests.flatMap((request) => namesOf(request, devices))) {
    const device = devices.get(name);
    if (!device)
      throw new SpecificationError(
        "system",
        `CDI device injection failed: unresolvable CDI devices ${name}${problems.length > 0 ? ` (${problems.join("; ")})` : ""}`,
      );
    if (!general.has(device.specification)) {
      general.add(device.specification);
      if (device.specification.containerEdits) addEdits(result, name, device.specification.containerEdits);
    }
    addEdits(result, name, device.edits);
  }
  return result;
}

/** prestart is what createRuntime was once. Hooks of what comes after the start are not built. */
const hookKinds: Readonly<Record<string, PlanHook>> = {
  prestart: "createRuntime",
  createRuntime: "createRuntime",
  createContainer: "createContainer",
  startContainer: "startContainer",
};

function addEdits(result: DeviceEdits, name: string, edits: Edits): void {
  for (const { hookName, path, args, env, timeout } of edits.hooks ?? []) {
    const kind = hookKinds[hookName];
    if (!kind)
      throw new SpecificationError(
        "not-implemented",
        `not implemented: CDI hooks of kind ${hookName} (${name} asks for ${path})`,
      );
    result.hooks[kind].push({
      path,
      ...(args ? { args } : {}),
      ...(env ? { env } : {}),
      ...(timeout ? { timeout } : {}),
    });
  }
  for (const node of edits.deviceNodes ?? []) {
    const found = requestedDevices([
      {
        PathOnHost: node.hostPath ?? node.path,
        PathInContainer: node.path,
        CgroupPermissions: node.permissions ?? "rwm",
      },
    ]);
    result.devices.push(
      ...found.devices.map((device) => ({
        ...device,
        mode: node.fileMode ?? device.mode,
        group: node.gid ?? device.group,
      })),
    );
    result.rules.push(...found.rules);
  }
  result.environment.push(...(edits.env ?? []));
  for (const { hostPath, containerPath, options } of edits.mounts ?? [])
    result.mounts.push({
      type: "bind",
      source: hostPath,
      namespace: "",
      target: containerPath,
      readOnly: (options ?? []).includes("ro"),
      readOnlyRecursive: false,
      confined: false,
      subpath: "",
      recursive: (options ?? []).includes("rbind"),
      propagation: "private",
    });
}
