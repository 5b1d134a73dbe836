// A container's configuration as the API shows it: what was not asked for is left out, or null, where Docker does so.
import type { ContainerConfig, HostConfig } from "../../api/schemas/container-create.ts";

/** Nothing to say: Go's zero values, and what is empty. */
function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === 0 || value === false) return true;
  if (typeof value !== "object") return false;
  return (Array.isArray(value) ? value : Object.keys(value)).length === 0;
}

function without<T extends object>(value: T, left: ReadonlySet<string>): T {
  return Object.fromEntries(
    Object.entries(value).filter(([name, field]) => !(left.has(name) && isEmpty(field))),
  ) as T;
}

/** Without anything empty, at every depth. */
function dense(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dense);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, field]) => [name, dense(field)] as const)
      .filter(([, field]) => !isEmpty(field)),
  );
}

const configLeft: ReadonlySet<string> = new Set([
  "ArgsEscaped",
  "ExposedPorts",
  "Healthcheck",
  "MacAddress",
  "NetworkDisabled",
  "Shell",
  "StopSignal",
]);

const hostLeft: ReadonlySet<string> = new Set([
  "Annotations",
  "KernelMemory",
  "KernelMemoryTCP",
  "Mounts",
  "StorageOpt",
  "Sysctls",
  "Tmpfs",
  // Ours
  "CapAmbient",
  "Defence",
  "HugetlbLimits",
  "NetClassId",
  "NetPriorities",
  "NetworkShape",
  "SeccompTrace",
  "TimeOffset",
  "Type",
]);

export function shownConfig(config: ContainerConfig) {
  const { Healthcheck, Env, StopTimeout, Volumes } = config;
  return {
    ...without({ ...config, Healthcheck: undefined, StopTimeout: undefined }, configLeft),
    ...(StopTimeout === null || StopTimeout === undefined ? {} : { StopTimeout }),
    ...(Healthcheck ? { Healthcheck: dense(Healthcheck) } : {}),
    Env: isEmpty(Env) ? null : Env,
    Volumes: isEmpty(Volumes) ? null : Volumes,
  };
}

export function shownHostConfig(hostConfig: HostConfig): object {
  const { Init, Mounts, PidsLimit } = hostConfig;
  return {
    ...without({ ...hostConfig, Init: undefined, Mounts: dense(Mounts) }, hostLeft),
    ...(Init === null || Init === undefined ? {} : { Init }),
    PidsLimit: PidsLimit ?? null,
  };
}
