// A process, of a container or of an exec, as an OCI configuration has it.
import { rlimits } from "@tsd/kernel-bindings";
import type { OciProcess } from "../../api/oci-config.ts";
import type { ProcessSpec, StreamsSpec } from "../spec.ts";

const rlimitNames = new Map<number, string>(
  Object.entries(rlimits).map(([name, resource]) => [resource, `RLIMIT_${name.toUpperCase()}`]),
);

export function ociProcess(
  process: ProcessSpec,
  streams: Pick<StreamsSpec, "terminal" | "rows" | "columns">,
  command: readonly string[] = process.arguments,
): OciProcess {
  const { capabilities, user } = process;
  const prefixed = (names: readonly string[]): string[] => names.map((name) => `CAP_${name}`);
  return {
    ...(streams.terminal ? { terminal: true } : {}),
    ...(streams.terminal && streams.rows > 0
      ? { consoleSize: { height: streams.rows, width: streams.columns } }
      : {}),
    user: {
      uid: user.uid,
      gid: user.gid,
      umask: 0o022,
      ...(user.groups.length > 0 ? { additionalGids: [...user.groups] } : {}),
    },
    args: [...command],
    env: [...process.environment],
    cwd: process.workingDirectory,
    capabilities: {
      bounding: prefixed(capabilities.bounding),
      effective: prefixed(capabilities.effective),
      permitted: prefixed(capabilities.permitted),
      inheritable: prefixed(capabilities.inheritable),
      ambient: prefixed(capabilities.ambient),
    },
    ...(process.rlimits.length > 0
      ? {
          rlimits: process.rlimits.map(({ resource, soft, hard }) => ({
            type: rlimitNames.get(resource) ?? `RLIMIT_${resource}`,
            soft: Number(soft),
            hard: Number(hard),
          })),
        }
      : {}),
    noNewPrivileges: process.noNewPrivileges,
    ...(process.labels?.appArmor ? { apparmorProfile: process.labels.appArmor } : {}),
    ...(process.labels?.selinux ? { selinuxLabel: process.labels.selinux } : {}),
    ...(process.oomScoreAdj ? { oomScoreAdj: process.oomScoreAdj.value } : {}),
  };
}
