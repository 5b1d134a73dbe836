// How containers are isolated: explained, verified, and shown.
import type { ContainerOperations } from "../containers/operations.ts";
import { Bundles } from "./bundles.ts";
import { Defence } from "./defence.ts";
import { Explanations } from "./explain.ts";
import { type AuditorParts, ConfigurationAuditor } from "./hardening/audit.ts";
import { Namespaces } from "./namespaces.ts";
import { Verifier, type VerifierParts } from "./verify.ts";
import { DriftWatch } from "./watch.ts";

export type IsolationParts = Omit<VerifierParts, "explanations"> & {
  report: (problem: unknown, what: string) => void;
  images: AuditorParts["images"];
  audited: AuditorParts["settings"];
  operations: ContainerOperations;
  /** The real path of the program that copies files. */
  archiver: string;
};

export class IsolationService {
  readonly explanations: Explanations;
  readonly bundles: Bundles;
  readonly verifier: Verifier;
  readonly watch: DriftWatch;
  readonly defence: Defence;
  readonly namespaces: Namespaces;
  readonly auditor: ConfigurationAuditor;

  constructor(parts: IsolationParts) {
    this.explanations = new Explanations(parts.containers);
    this.bundles = new Bundles(parts.containers);
    this.verifier = new Verifier({ ...parts, explanations: this.explanations });
    this.defence = new Defence({ ...parts, verifier: this.verifier });
    parts.containers.lifecycle.observe(this.defence);
    this.auditor = new ConfigurationAuditor({ ...parts, settings: parts.audited });
    this.namespaces = new Namespaces(parts.containers, parts.runtime);
    this.watch = new DriftWatch(this.verifier, parts.containers, parts.report);
    parts.containers.lifecycle.observe(this.watch);
  }
}
