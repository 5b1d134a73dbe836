// The plan that a monitor has carried out, which it keeps as long as its process lives: it costs a start nothing, survives the daemon,
// and is nobody's but root's to read.
import { readFileSync } from "node:fs";
import { decodePlan } from "./decode.ts";
import type { Plan } from "./vocabulary.ts";

/** launcher/context.h */
const PLAN_FD = 112;

/** The plan that the monitor of this pid carried out; undefined where it keeps none (it is older than this, or gone). Throws
 * PlanFormatError for one of another version. */
export function keptPlan(monitorPid: number): Plan | undefined {
  try {
    return decodePlan(readFileSync(`/proc/${monitorPid}/fd/${PLAN_FD}`));
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
