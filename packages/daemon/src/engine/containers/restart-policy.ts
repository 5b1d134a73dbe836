// Restart policies: whether a container that ended is started again, and when. Pure.
import type { HostConfig } from "../../api/schemas/container-create.ts";

type RestartPolicy = HostConfig["RestartPolicy"];

const FIRST_DELAY = 100;
const LONGEST_DELAY = 60_000;
/** Whoever ran this long has recovered: the next delay is the first one again. */
const RECOVERED = 10_000;

/** Milliseconds to wait before the next start: twice the last wait, as Docker does. */
export const nextDelay = (lastDelay: number, ranMilliseconds: number): number =>
  lastDelay === 0 || ranMilliseconds >= RECOVERED ? FIRST_DELAY : Math.min(lastDelay * 2, LONGEST_DELAY);

/** Whether a policy starts a container again that ended by itself. */
export function restartsAfterExit(
  policy: RestartPolicy,
  end: { exitCode: number; restartCount: number; manuallyStopped: boolean },
): boolean {
  if (end.manuallyStopped) return false;
  if (policy.Name === "always" || policy.Name === "unless-stopped") return true;
  if (policy.Name !== "on-failure" || end.exitCode === 0) return false;
  return policy.MaximumRetryCount === 0 || end.restartCount < policy.MaximumRetryCount;
}

/** Whether a policy starts a container that does not run when the daemon starts: "always" means also after a stop by
 * hand, "unless-stopped" does not, and "on-failure" leaves it to whoever looks. */
export const restartsWithDaemon = (
  policy: RestartPolicy,
  state: { startedAt: string; manuallyStopped: boolean },
): boolean =>
  state.startedAt !== "" &&
  (policy.Name === "always" || (policy.Name === "unless-stopped" && !state.manuallyStopped));
