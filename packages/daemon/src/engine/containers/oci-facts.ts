// What an OCI configuration says of a container beside its specification.
import { seccompRules } from "../../runtime/seccomp/profile.ts";
import { parseSecurityOptions } from "../../runtime/security.ts";
import type { ContainerSpec } from "../../runtime/spec.ts";
import type { ContainerDefinition } from "./record.ts";

/** The rules of a container's system call filter; undefined for one without. */
export function seccompOf({ hostConfig }: ContainerDefinition, spec: ContainerSpec) {
  const { seccomp } = parseSecurityOptions(hostConfig.SecurityOpt ?? [], hostConfig.Privileged);
  const capabilities = spec.process.capabilities.bounding.map((name) => `CAP_${name}`);
  return seccomp === "unconfined" ? undefined : seccompRules(seccomp, capabilities);
}

/** What is known of a container by names of ours. */
export const annotations = ({ id, name, config }: ContainerDefinition): Record<string, string> => ({
  ...config.Labels,
  "tsd.container.id": id,
  "tsd.container.name": name,
});
