// Traces of system calls: what a monitor wrote down, and the tightest profile that lets the same calls through.
import { seccompArchitectures, systemCallName } from "@tsd/kernel-bindings";

/** A call that processes of a container have made. */
export interface TracedCall {
  /** SCMP_ARCH_*, or the kernel's number for one that profiles have no name for. */
  architecture: string;
  number: number;
  /** "" for one that libseccomp does not know: no profile can allow it by name. */
  name: string;
  count: number;
}

/** Reads lines of AUDIT_ARCH, number and count (launcher/trace.c). Throws Error for what is none. */
export function parseTrace(text: string): TracedCall[] {
  const calls = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): TracedCall => {
      const match = /^(\d+) (-?\d+) (\d+)$/.exec(line);
      if (!match) throw new Error(`trace of system calls: ${JSON.stringify(line)} is no line of it`);
      const [architecture, number, count] = match.slice(1).map(Number) as [number, number, number];
      return {
        architecture: seccompArchitectures[architecture] ?? `0x${architecture.toString(16)}`,
        number,
        name: systemCallName(architecture, number) ?? "",
        count,
      };
    });
  return calls.sort((a, b) => b.count - a.count || a.name.localeCompare(b.name));
}

/** The kernel makes these in a process's name: when a signal's handler returns, and when a wait goes on after a stop. */
const kernelsOwn = ["restart_syscall", "rt_sigreturn"];

/** A profile in Docker's format with nothing more than these calls. The trace began where a filter is loaded, so that what
 * the launcher does between there and the execve is among them. */
export function tightestProfile(calls: readonly TracedCall[]): object {
  const named = calls.filter(({ name }) => name !== "");
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures: [...new Set(named.map(({ architecture }) => architecture))].sort(),
    syscalls: [
      {
        names: [...new Set([...kernelsOwn, ...named.map(({ name }) => name)])].sort(),
        action: "SCMP_ACT_ALLOW",
      },
    ],
  };
}
