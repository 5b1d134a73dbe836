// What hooks read of a container beside its state: a bundle with its OCI configuration, which is the container's root's to read.
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ociText } from "../../api/oci-config.ts";
import { ociConfig } from "../../runtime/oci/bundle.ts";
import type { ContainerSpec, HooksSpec } from "../../runtime/spec.ts";
import { hostGroup, hostUser } from "../../runtime/user-namespace.ts";
import { annotations, seccompOf } from "./oci-facts.ts";
import type { ContainerDefinition } from "./record.ts";

/** Writes it. Its root.path is where the root is mounted until it is the only one, in the container's mount namespace. */
export function writeHookBundle(
  spec: ContainerSpec,
  { bundle }: HooksSpec,
  definition: ContainerDefinition,
): void {
  const { user } = spec.namespaces;
  const config = ociConfig(spec, {
    root: spec.root.staging,
    seccomp: seccompOf(definition, spec),
    annotations: annotations(definition),
  });
  const file = join(bundle, "config.json");
  mkdirSync(bundle, { recursive: true, mode: 0o700 });
  writeFileSync(file, ociText(config, 0), { mode: 0o600 });
  for (const path of [bundle, file]) chownSync(path, hostUser(user, 0), hostGroup(user, 0));
}
