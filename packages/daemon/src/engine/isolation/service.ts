// How containers are isolated: explained, verified, and shown.
import { Explanations } from "./explain.ts";
import { Verifier, type VerifierParts } from "./verify.ts";

export type IsolationParts = Omit<VerifierParts, "explanations">;

export class IsolationService {
  readonly explanations: Explanations;
  readonly verifier: Verifier;

  constructor(parts: IsolationParts) {
    this.explanations = new Explanations(parts.containers, parts.runtime);
    this.verifier = new Verifier({ ...parts, explanations: this.explanations });
  }
}
