// What an audit of the configuration finds: a check's table entry, and one finding of it.
import type { Severity } from "../../../runtime/verify/drift.ts";

/** One check of a subject with the facts F: evidence for each thing that is wrong, none where all is well. */
export interface Check<F> {
  id: string;
  severity: Severity;
  title: string;
  /** What to do about it. */
  remedy: string;
  /** Evidence, or evidence that weighs more or less than the check's own severity. */
  find: (facts: F) => readonly (string | { evidence: string; severity: Severity })[];
}

export interface Finding {
  id: string;
  severity: Severity;
  /** "" for the daemon, else a container's name. */
  container: string;
  title: string;
  evidence: string;
  remedy: string;
}

/** Runs every check of a table. */
export const findingsOf = <F>(checks: readonly Check<F>[], facts: F, container = ""): Finding[] =>
  checks.flatMap(({ id, severity, title, remedy, find }) =>
    find(facts).map((found) => ({
      id,
      container,
      title,
      remedy,
      ...(typeof found === "string" ? { severity, evidence: found } : found),
    })),
  );

/** Evidence where a condition holds. */
export const when = (condition: boolean, evidence: string): string[] => (condition ? [evidence] : []);
