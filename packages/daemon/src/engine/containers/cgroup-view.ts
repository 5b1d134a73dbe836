// A container's place in the host's control groups: every hierarchy, every file, its value and what it means.
import { cgroupFiles } from "@tsd/kernel-bindings";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Container } from "./registry.ts";

/** The body of GET /tsd/containers/{id}/cgroup; no files of a container that does not run. */
export function cgroupView(container: Container, runtime: Runtime): object {
  const { cgroups } = runtime;
  const cgroup = runtime.cgroupOf(container.id, container.record.definition.hostConfig.CgroupParent);
  const directories = cgroups.directories(cgroup);
  return {
    Version: cgroups.version,
    Group: cgroup,
    Hierarchies: directories.map((Path, index) => ({
      Controllers: (cgroups.controllers[index]?.name ?? "").split(",").filter(Boolean),
      Path,
      Files: cgroupFiles(Path).map(({ name, value, meaning }) => ({
        Name: name,
        Value: value,
        Meaning: meaning,
      })),
    })),
  };
}
