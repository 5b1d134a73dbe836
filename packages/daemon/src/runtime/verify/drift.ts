// A drift: where the live kernel is not what a container's plan says.
import { type CapabilityName, capabilityMask } from "@tsd/kernel-bindings";

/** In rising order. */
export const severities = ["info", "low", "medium", "high", "critical"] as const;
export type Severity = (typeof severities)[number];

export const subjects = [
  "namespace",
  "mount",
  "control group",
  "device rule",
  "process",
  "capability",
  "resource limit",
  "kernel parameter",
  "host name",
  "network",
  "firewall",
  "traffic",
  "storage",
  "plan",
] as const;
export type Subject = (typeof subjects)[number];

export interface Drift {
  subject: Subject;
  /** What it is about: a path, a process, a set, an interface. */
  what: string;
  expected: string;
  found: string;
  severity: Severity;
  /** The container has the right to do this by itself. */
  byContainer: boolean;
}

/** One drift; it comes from outside as far as can be told. */
export const drift = (
  subject: Subject,
  what: string,
  expected: string,
  found: string,
  severity: Severity,
): Drift => ({ subject, what, expected, found, severity, byContainer: false });

/** Drifts of a kind that a capability allows are information only where the container has that capability. */
export const unlessAllowed = (drifts: readonly Drift[], right: CapabilityName, bounding: bigint): Drift[] =>
  (bounding & capabilityMask([right])) === 0n
    ? [...drifts]
    : drifts.map((one) => ({ ...one, severity: "info", byContainer: true }));
