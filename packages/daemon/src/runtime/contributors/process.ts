// Process: limits, user, capabilities, system call filter, and at last the command.
import { capabilityMask, type Step } from "@tsd/kernel-bindings";
import type { ProcessSpec, StreamsSpec } from "../spec.ts";
import type { UserNamespaceChoice } from "../user-namespace.ts";

export const limitSteps = (process: ProcessSpec): Step[] =>
  process.rlimits.map((limit): Step => ({ op: "rlimit", ...limit }));

/** In a user namespace nobody may raise a hard limit, so the process is born with one that is high enough. */
export const raisedLimitSteps = (process: ProcessSpec, user: UserNamespaceChoice): Step[] =>
  user.kind === "host"
    ? []
    : process.rlimits.map(
        ({ resource, hard, tolerated }): Step => ({
          op: "rlimit.raise",
          resource,
          hard,
          tolerated,
        }),
      );

/** Written from outside: who is in a user namespace may not. */
export const oomSteps = (process: ProcessSpec): Step[] =>
  process.oomScoreAdj
    ? [
        {
          op: "oom-score",
          value: String(process.oomScoreAdj.value),
          tolerated: process.oomScoreAdj.tolerated,
        },
      ]
    : [];

export const terminalSteps = (streams: StreamsSpec, console: boolean): Step[] =>
  streams.terminal ? [{ op: "terminal", columns: streams.columns, rows: streams.rows, console }] : [];

/** Loading a filter needs CAP_SYS_ADMIN or no_new_privs, so without the latter it comes before the capabilities go. */
export function privilegeSteps(process: ProcessSpec): Step[] {
  const { capabilities } = process;
  const filter: Step[] = [
    ...(process.landlock ? [process.landlock] : []),
    ...(process.seccomp
      ? [{ op: "seccomp", filter: process.seccomp.program, flags: process.seccomp.flags } as const]
      : []),
    // Above the filter: what that denies is no call of the workload's.
    ...(process.traced ? [{ op: "seccomp.trace" } as const] : []),
  ];
  const drop: Step[] = [
    { op: "capabilities.bounding", keep: capabilityMask(capabilities.bounding) },
    { op: "user", uid: process.user.uid, gid: process.user.gid, groups: process.user.groups, umask: 0o022 },
    {
      op: "capabilities",
      effective: capabilityMask(capabilities.effective),
      permitted: capabilityMask(capabilities.permitted),
      inheritable: capabilityMask(capabilities.inheritable),
      ambient: capabilityMask(capabilities.ambient),
    },
  ];
  return process.noNewPrivileges ? [...drop, { op: "no-new-privileges" }, ...filter] : [...filter, ...drop];
}

export const workingDirectorySteps = (process: ProcessSpec, create: boolean): Step[] => [
  { op: "working-directory", path: process.workingDirectory, create },
];

export const executeStep = (process: ProcessSpec, command: readonly string[]): Step => ({
  op: "execute",
  file: command[0] ?? "",
  arguments: command,
  environment: process.environment,
});
