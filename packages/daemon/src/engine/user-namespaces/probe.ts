// Whether containers can have user namespaces on this machine: found out by making a root in one.
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { KernelError } from "@tsd/kernel-bindings";
import type { Runtime } from "../../runtime/runtime.ts";
import { RANGE_SIZE } from "./pool.ts";

/** Any ids do: the namespace is gone a moment later. */
const ranges = [{ container: 0, host: 0x70000000, size: RANGE_SIZE }];

/** Why there can be none: "" if there can. `scratch` is on the file system that containers' files are on. */
export async function obstacleToUserNamespaces(
  runtime: Runtime,
  scratch: string,
  layer: string,
): Promise<string> {
  const base = await mkdtemp(join(scratch, "userns-"));
  try {
    await runtime.probeUserNamespaces(base, layer, { uids: ranges, gids: ranges });
    return "";
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.message;
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}
