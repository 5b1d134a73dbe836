// HostConfig.SecurityOpt, read as Docker reads it.
import { SpecificationError } from "./errors.ts";

export interface SecurityOptions {
  /** Docker's JSON, "default" or "unconfined". */
  seccomp: string;
  noNewPrivileges: boolean;
  /** systempaths=unconfined: nothing is masked or read-only. */
  unconfinedPaths: boolean;
}

/** Reads the list. Options for security modules that this host does not have are refused unless they ask for nothing. */
export function parseSecurityOptions(options: readonly string[], privileged: boolean): SecurityOptions {
  const result: SecurityOptions = {
    seccomp: privileged ? "unconfined" : "default",
    noNewPrivileges: false,
    unconfinedPaths: privileged,
  };
  for (const option of options) {
    if (option === "no-new-privileges") {
      result.noNewPrivileges = true;
      continue;
    }
    if (option === "disable") continue;
    const separator = option.includes("=") ? "=" : ":";
    const at = option.indexOf(separator);
    if (at < 0) throw new SpecificationError("system", `invalid --security-opt 1: ${JSON.stringify(option)}`);
    const key = option.slice(0, at);
    const value = option.slice(at + 1);
    if (key === "seccomp") result.seccomp = value === "builtin" ? "default" : value;
    else if (key === "no-new-privileges") {
      if (value !== "true" && value !== "false")
        throw new SpecificationError("system", `invalid --security-opt 2: ${JSON.stringify(option)}`);
      result.noNewPrivileges = value === "true";
    } else if (key === "systempaths" && value === "unconfined") result.unconfinedPaths = true;
    else if (key === "apparmor" && value === "unconfined") continue;
    else if (key === "label" && value === "disable") continue;
    else if (key === "apparmor" || key === "label")
      throw new SpecificationError(
        "system",
        `security option ${key} is not built yet: ${JSON.stringify(option)}`,
      );
    else throw new SpecificationError("system", `invalid --security-opt 2: ${JSON.stringify(option)}`);
  }
  return result;
}

/** Paths of /proc and /sys that tell of, or change, more than the container: hidden. */
export const defaultMaskedPaths: readonly string[] = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

/** Paths that the container may read and not write. */
export const defaultReadonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];
