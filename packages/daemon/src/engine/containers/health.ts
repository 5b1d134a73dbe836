// Healthchecks: probes run in a container on their schedule, and what follows from their results.
import type { ContainerConfig } from "../../api/schemas/container-create.ts";
import { invalid } from "../errors.ts";
import { milliseconds, now } from "../timestamps.ts";
import type { LifecycleObserver } from "./lifecycle.ts";
import type { Health, HealthProbe } from "./record.ts";
import type { Container } from "./registry.ts";

type Healthcheck = NonNullable<ContainerConfig["Healthcheck"]>;

/** Runs a command in a container; `exitCode` −1 when it took longer than allowed. */
export type Probe = (
  container: Container,
  command: readonly string[],
  timeoutMilliseconds: number,
) => Promise<{ exitCode: number; output: string }>;

/** What is done to a container that has become unhealthy. */
export interface HealthActions {
  restart(container: Container): Promise<void>;
  stop(container: Container): Promise<void>;
  kill(container: Container): void;
}

const NANOSECONDS = 1e6;
const KEPT_PROBES = 5;
const KEPT_OUTPUT = 4096;
const failureActions = ["", "none", "restart", "stop", "kill"];

/** Timings in milliseconds, with Docker's defaults. */
function timings(
  check: Healthcheck,
): Record<"interval" | "timeout" | "startPeriod" | "startInterval", number> {
  const or = (value: number, preset: number): number => (value > 0 ? value / NANOSECONDS : preset);
  return {
    interval: or(check.Interval, 30_000),
    timeout: or(check.Timeout, 30_000),
    startPeriod: or(check.StartPeriod, 0),
    startInterval: or(check.StartInterval, 5000),
  };
}

/** Throws Docker's words for timings that can't be. */
export function validateHealthcheck(check: ContainerConfig["Healthcheck"]): void {
  if (!check) return;
  for (const field of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const)
    if (check[field] !== 0 && check[field] < NANOSECONDS)
      throw invalid(`${field} in Healthcheck cannot be less than 1ms`);
  if (check.Retries < 0) throw invalid("Retries in Healthcheck cannot be negative");
  const [kind = ""] = check.Test ?? [];
  if (!["", "NONE", "CMD", "CMD-SHELL"].includes(kind))
    throw invalid(`Unknown healthcheck type '${kind}' (expected 'CMD') in Healthcheck.Test`);
  if (!failureActions.includes(check.OnFailure))
    throw invalid(`invalid Healthcheck.OnFailure: ${check.OnFailure}: not one of none, restart, stop, kill`);
}

/** The probe's command; undefined for a container that has none. */
export function probeCommand(config: ContainerConfig): string[] | undefined {
  const [kind, ...words] = config.Healthcheck?.Test ?? [];
  if (kind === "CMD" && words.length > 0) return words;
  if (kind === "CMD-SHELL") return [...(config.Shell ?? ["/bin/sh", "-c"]), ...words];
  return undefined;
}

/** What a container's health is at its start. */
export const initialHealth = (config: ContainerConfig): Health | undefined =>
  probeCommand(config) ? { Status: "starting", FailingStreak: 0, Log: [] } : undefined;

/** Health after one more probe. Failures in the start period do not count; one success ends that. */
export function afterProbe(
  health: Health,
  probe: HealthProbe,
  rules: { retries: number; inStartPeriod: boolean },
): Health {
  const Log = [...health.Log, probe].slice(-KEPT_PROBES);
  if (probe.ExitCode === 0) return { Status: "healthy", FailingStreak: 0, Log };
  if (rules.inStartPeriod && health.Status === "starting") return { ...health, Log };
  const FailingStreak = health.FailingStreak + 1;
  return { Status: FailingStreak >= rules.retries ? "unhealthy" : health.Status, FailingStreak, Log };
}

export class HealthMonitors implements LifecycleObserver {
  readonly #probe: Probe;
  readonly #actions: HealthActions;
  readonly #announce: (container: Container, action: string) => void;
  readonly #report: (problem: unknown, what: string) => void;
  readonly #timers = new Map<Container, NodeJS.Timeout>();

  constructor(
    probe: Probe,
    actions: HealthActions,
    announce: (container: Container, action: string) => void,
    report: (problem: unknown, what: string) => void,
  ) {
    this.#probe = probe;
    this.#actions = actions;
    this.#announce = announce;
    this.#report = report;
  }

  started(container: Container): void {
    if (probeCommand(container.record.definition.config)) this.#next(container);
  }

  ended(container: Container): void {
    clearTimeout(this.#timers.get(container));
    this.#timers.delete(container);
  }

  #next(container: Container): void {
    const check = container.record.definition.config.Healthcheck;
    if (!check) return;
    const { interval, startInterval } = timings(check);
    const starting = container.state.health?.Status === "starting" && this.#inStartPeriod(container, check);
    const timer = setTimeout(
      () => {
        this.#run(container, check, timer).catch((error) =>
          this.#report(error, `healthcheck of container ${container.id}`),
        );
      },
      starting ? Math.min(startInterval, interval) : interval,
    ).unref();
    this.#timers.set(container, timer);
  }

  #inStartPeriod(container: Container, check: Healthcheck): boolean {
    return Date.now() - milliseconds(container.state.startedAt) < timings(check).startPeriod;
  }

  async #run(container: Container, check: Healthcheck, timer: NodeJS.Timeout): Promise<void> {
    const command = probeCommand(container.record.definition.config) ?? [];
    if (!container.paused) {
      const Start = now();
      const { exitCode, output } = await this.#probe(container, command, timings(check).timeout).catch(
        (error: Error) => ({ exitCode: -1, output: error.message }),
      );
      // The life that this probe belonged to may be over.
      if (this.#timers.get(container) !== timer) return;
      this.#take(container, check, {
        Start,
        End: now(),
        ExitCode: exitCode,
        Output: output.slice(0, KEPT_OUTPUT),
      });
    }
    if (this.#timers.get(container) === timer) this.#next(container);
  }

  #take(container: Container, check: Healthcheck, probe: HealthProbe): void {
    const before = container.state.health ?? { Status: "starting", FailingStreak: 0, Log: [] };
    const health = afterProbe(before, probe, {
      retries: check.Retries || 3,
      inStartPeriod: this.#inStartPeriod(container, check),
    });
    container.note({ health });
    if (health.Status === before.Status) return;
    this.#announce(container, `health_status: ${health.Status}`);
    if (health.Status === "unhealthy") this.#act(container, check.OnFailure);
  }

  #act(container: Container, action: string): void {
    const failed = (error: unknown): void =>
      this.#report(error, `${action} of unhealthy container ${container.id}`);
    if (action === "kill") this.#actions.kill(container);
    else if (action === "restart") this.#actions.restart(container).catch(failed);
    else if (action === "stop") this.#actions.stop(container).catch(failed);
  }
}
