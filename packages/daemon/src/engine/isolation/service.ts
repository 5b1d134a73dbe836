// How containers are isolated: explained, verified, and shown.
import { Explanations } from "./explain.ts";
import { Verifier, type VerifierParts } from "./verify.ts";
import { DriftWatch } from "./watch.ts";

export type IsolationParts = Omit<VerifierParts, "explanations"> & {
  report: (problem: unknown, what: string) => void;
};

export class IsolationService {
  readonly explanations: Explanations;
  readonly verifier: Verifier;
  readonly watch: DriftWatch;

  constructor(parts: IsolationParts) {
    this.explanations = new Explanations(parts.containers, parts.runtime);
    this.verifier = new Verifier({ ...parts, explanations: this.explanations });
    this.watch = new DriftWatch(this.verifier, parts.containers, parts.report);
    parts.containers.lifecycle.observe(this.watch);
  }
}
