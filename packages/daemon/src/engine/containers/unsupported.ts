// Fields of a create request that are not built yet: with anything but their default they are refused by name.
import type { ContainerCreate, HostConfig } from "../../api/schemas/container-create.ts";
import { notImplemented } from "../errors.ts";

type Check = readonly [field: string, isDefault: (host: HostConfig) => boolean];

const notBuilt: readonly Check[] = [
  ["Cgroup", (host) => host.Cgroup === ""],
  ["Isolation", (host) => ["", "default"].includes(host.Isolation)],
  ["CpuCount", (host) => host.CpuCount === 0],
  ["CpuPercent", (host) => host.CpuPercent === 0],
  ["IOMaximumIOps", (host) => host.IOMaximumIOps === 0],
  ["IOMaximumBandwidth", (host) => host.IOMaximumBandwidth === 0],
];

/** Throws for the first field that asks for what is not built yet. */
export function refuseUnsupported(request: ContainerCreate): void {
  const refuse = (field: string): never => {
    throw notImplemented(`not implemented: ${field}`);
  };
  for (const [field, isDefault] of notBuilt)
    if (!isDefault(request.HostConfig)) refuse(`HostConfig.${field}`);
}
