// Capabilities: their names, their bits (linux/capability.h), and what this kernel knows.
import { readFileSync } from "node:fs";

/** Index in this list = the capability's number. */
export const capabilityNames = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
] as const;
export type CapabilityName = (typeof capabilityNames)[number];

/** The number of a capability by its bare upper-case name, or undefined. */
export function capabilityNumber(name: string): number | undefined {
  const number = (capabilityNames as readonly string[]).indexOf(name);
  return number < 0 ? undefined : number;
}

/** The bit mask of a set of names. */
export function capabilityMask(names: Iterable<CapabilityName>): bigint {
  let mask = 0n;
  for (const name of names) mask |= 1n << BigInt(capabilityNames.indexOf(name));
  return mask;
}

/** The names in a bit mask. */
export const capabilitiesIn = (mask: bigint): CapabilityName[] =>
  capabilityNames.filter((_, number) => (mask >> BigInt(number)) & 1n);

/** The capabilities this process may hand on: its bounding set (proc_pid_status(5)). */
export function boundingSet(): bigint {
  const line = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  if (!line?.[1]) throw new Error("/proc/self/status has no CapBnd line");
  return BigInt(`0x${line[1]}`);
}
