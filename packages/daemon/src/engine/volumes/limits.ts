// How far volumes may reach out of the engine's own directories, for callers whose role has limits: a volume that is a bind
// is judged as a bind.
import { realpath } from "node:fs/promises";
import { type Caller, denied } from "../access/caller.ts";
import { invalid } from "../errors.ts";
import { type DriverOptions, MS_BIND, mountPlan } from "./options.ts";
import type { Volume } from "./volume.ts";

/** Throws for a source that is not below one of the allowed directories. */
export function checkBindSource(source: string, allowed: readonly string[], caller: Caller): string {
  const below = allowed.some(
    (root) => source === root || source.startsWith(root === "/" ? root : `${root}/`),
  );
  if (below) return source;
  throw denied(caller, `to bind ${source}`);
}

/** Throws for options that the caller's role does not allow; returns what a bind's device really is, where that matters. */
export async function checkVolumeOptions(
  name: string,
  options: DriverOptions,
  caller: Caller,
): Promise<string> {
  const limits = caller.role?.limits;
  const plan = mountPlan(options);
  if (!limits || !plan) return "";
  if (!(plan.flags & MS_BIND)) {
    if (plan.type === "tmpfs" || limits.privileged) return "";
    throw denied(caller, `DriverOpts: to mount ${plan.type}`);
  }
  checkBindSource(plan.source, limits.bindSources, caller);
  const real = await realpath(plan.source).catch(() => {
    throw invalid(`create ${name}: bind source path does not exist: ${plan.source}`);
  });
  return checkBindSource(real, limits.bindSources, caller);
}

/** Throws when the caller may not use what a volume is a bind of. */
export function checkVolumeUse({ record, plan }: Volume, caller: Caller): void {
  const limits = caller.role?.limits;
  if (!limits || !plan || !(plan.flags & MS_BIND)) return;
  checkBindSource(record.confined || plan.source, limits.bindSources, caller);
}
