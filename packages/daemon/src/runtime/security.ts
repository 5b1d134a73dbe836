// HostConfig.SecurityOpt, read as Docker reads it.
import { SpecificationError } from "./errors.ts";
import { type LandlockRules, parseLandlock } from "./landlock.ts";

export interface SecurityOptions {
  /** Docker's JSON, "default", "unconfined", or "log": the default's, but what it denies is let through and logged. */
  seccomp: string;
  noNewPrivileges: boolean;
  /** systempaths=unconfined: nothing is masked or read-only. */
  unconfinedPaths: boolean;
  /** What stands behind label=: "disable", "nested", or a part of the context with its value, such as "type:my_t". */
  labels: readonly string[];
  /** An AppArmor profile's name, or "unconfined"; undefined for the default. */
  appArmor: string | undefined;
  landlock: LandlockRules | undefined;
}

const labelParts = new Set(["user", "role", "type", "level", "filetype"]);

function parseLabel(value: string): string {
  if (value === "disable" || value === "nested") return value;
  const at = value.indexOf(":");
  if (at < 0)
    throw new SpecificationError(
      "invalid",
      `bad label option ${JSON.stringify(value)}, valid options 'disable', 'nested' or 'user, role, level, type, filetype' followed by ':' and a value`,
    );
  const part = value.slice(0, at);
  if (!labelParts.has(part))
    throw new SpecificationError(
      "invalid",
      `bad label option ${JSON.stringify(part)}, valid options 'disable, nested, user, role, level, type, filetype'`,
    );
  if (!/^[\w.,:-]+$/.test(value.slice(at + 1)))
    throw new SpecificationError(
      "invalid",
      `bad label option ${JSON.stringify(value)}: not a SELinux ${part}`,
    );
  return value;
}

/** Reads the list, whatever the host has; what it lacks is refused where that is known (SecurityModules). */
export function parseSecurityOptions(options: readonly string[], privileged: boolean): SecurityOptions {
  const labels: string[] = [];
  const result: SecurityOptions = {
    seccomp: privileged ? "unconfined" : "default",
    noNewPrivileges: false,
    unconfinedPaths: privileged,
    labels,
    appArmor: undefined,
    landlock: undefined,
  };
  for (const option of options) {
    if (option === "no-new-privileges") {
      result.noNewPrivileges = true;
      continue;
    }
    if (option === "disable") {
      labels.push("disable");
      continue;
    }
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
    else if (key === "apparmor") {
      if (!/^[^\s"\0]+$/.test(value))
        throw new SpecificationError("invalid", `apparmor=${value}: not the name of a profile`);
      result.appArmor = value;
    } else if (key === "label") labels.push(parseLabel(value));
    else if (key === "landlock") result.landlock = parseLandlock(value, result.landlock);
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
