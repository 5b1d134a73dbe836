// Whether containers can have user namespaces on this machine: found out by making a root in one.
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { KernelError } from "@tsd/kernel-bindings";
import type { Runtime } from "../../runtime/runtime.ts";
import { RANGE_SIZE } from "./pool.ts";

/** Any ids do: the namespace is gone a moment later. */
const ranges = [{ container: 0, host: 0x70000000, size: RANGE_SIZE }];

/** A descriptor of a user namespace that others' mounts can be tried with, or why there can be none. `scratch` is on the file
 * system that containers' files are on. */
export async function tryUserNamespaces(
  runtime: Runtime,
  scratch: string,
  layer: string,
): Promise<{ descriptor: number } | { obstacle: string }> {
  const base = await mkdtemp(join(scratch, "userns-"));
  try {
    return { descriptor: await runtime.probeUserNamespaces(base, layer, { uids: ranges, gids: ranges }) };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { obstacle: error.message };
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}
