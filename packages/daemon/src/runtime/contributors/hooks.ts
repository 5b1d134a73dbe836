// Hooks of devices' specifications: where in a start each kind is run (OCI runtime specification, "POSIX-platform Hooks").
import type { Step } from "@tsd/kernel-bindings";
import { OCI_VERSION } from "../../api/oci-config.ts";
import type { ContainerSpec, PlanHook } from "../spec.ts";

/** The container's state as a hook is told it, up to the number of its process, which only its monitor knows. */
function state({ id, hooks }: ContainerSpec, kind: PlanHook): string {
  const status = kind === "startContainer" ? "created" : "creating";
  const text = JSON.stringify({ ociVersion: OCI_VERSION, id, status, bundle: hooks?.bundle ?? "" });
  return `${text.slice(0, -1)},"pid":`;
}

/** createRuntime: a program of the host's, beside the container. createContainer: one of the host's too, in the container's
 * namespaces, before its root is the only one there. startContainer: one of the container's. */
export const hookSteps = (spec: ContainerSpec, kind: PlanHook): Step[] =>
  (spec.hooks?.asked[kind] ?? []).map(({ path, args, env, timeout }) => ({
    op: kind === "createRuntime" ? "hook.runtime" : "hook.container",
    path,
    arguments: args?.length ? args : [path],
    environment: env ?? [],
    state: state(spec, kind),
    timeout: timeout ?? 0,
  }));
