// Verifies all running containers again and again, and tells of each drift once: as an event, and in the metrics.
import { setTimeout as delay } from "node:timers/promises";
import type { DriftSeverity, DriftView } from "../../api/types.ts";
import { severities } from "../../runtime/verify/drift.ts";
import type { LifecycleObserver } from "../containers/lifecycle.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import type { Verifier } from "./verify.ts";

const keyOf = ({ Subject, What, Expected, Found }: DriftView): string =>
  [Subject, What, Expected, Found].join("\n");

export class DriftWatch implements LifecycleObserver {
  readonly #verifier: Verifier;
  readonly #containers: ContainerService;
  readonly #report: (problem: unknown, what: string) => void;
  /** What is there now, by container. */
  readonly #present = new Map<string, ReadonlyMap<string, DriftView>>();
  #stop = new AbortController();
  /** Rounds there were. */
  rounds = 0;

  constructor(
    verifier: Verifier,
    containers: ContainerService,
    report: (problem: unknown, what: string) => void,
  ) {
    this.#verifier = verifier;
    this.#containers = containers;
    this.#report = report;
  }

  /** Verifies every so many milliseconds from now on, instead of what held before; 0 for no more. */
  configure(interval: number): void {
    this.close();
    if (interval === 0) return;
    this.#stop = new AbortController();
    this.#rounds(interval, this.#stop.signal).catch((error) => {
      if (!this.#stop.signal.aborted) this.#report(error, "verifying containers");
    });
  }

  async #rounds(interval: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(interval, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      await this.#round().catch((error) => this.#report(error, "verifying containers"));
    }
  }

  async #round(): Promise<void> {
    const running = this.#containers.registry.all().filter(({ alive }) => alive);
    const results = await this.#verifier.verify(running);
    for (const [index, { Running, Drifts }] of results.entries()) {
      const container = running[index];
      if (!container) continue;
      const before = this.#present.get(container.id);
      if (!Running || Drifts.length === 0) this.#present.delete(container.id);
      else this.#present.set(container.id, new Map(Drifts.map((one) => [keyOf(one), one])));
      // What the container may do itself is counted, and no event.
      for (const one of Drifts)
        if (one.Severity !== "info" && !before?.has(keyOf(one))) this.#tell(container, one);
    }
    this.rounds++;
  }

  #tell(container: Container, { Subject, What, Expected, Found, Severity }: DriftView): void {
    this.#containers.announce(container, "drift", {
      subject: Subject,
      what: What,
      expected: Expected,
      found: Found,
      severity: Severity,
    });
  }

  /** How many drifts there are now, by severity, as far as the last round saw. */
  counts(): Record<DriftSeverity, number> {
    const counts = Object.fromEntries(severities.map((one) => [one, 0])) as Record<DriftSeverity, number>;
    for (const drifts of this.#present.values())
      for (const { Severity } of drifts.values()) counts[Severity]++;
    return counts;
  }

  started(): void {
    // The next round verifies it.
  }

  /** A life's drifts end with it. */
  ended(container: Container): void {
    this.#present.delete(container.id);
  }

  close(): void {
    this.#stop.abort();
  }
}
