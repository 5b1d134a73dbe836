// Labels: what security modules know the process, its keys and its mounts by; and the trace of its calls.
import type { Step } from "@tsd/kernel-bindings";
import type { ContainerSpec, ProcessSpec } from "../spec.ts";

/** While /proc is still the host's, so that no mount of the container's can lead the write elsewhere; they take effect with
 * the execve, the only one there is. */
export function labelSteps({ labels }: ProcessSpec): Step[] {
  const { selinux = "", appArmor = "" } = labels ?? {};
  return [
    ...(selinux ? [{ op: "label", attributes: ["exec"], value: selinux } as const] : []),
    ...(appArmor
      ? [{ op: "label", attributes: ["apparmor/exec", "exec"], value: `exec ${appArmor}` } as const]
      : []),
  ];
}

/** The session keyring is the container's; the kernel forgets this at the execve. */
export const keyringSteps = ({ labels }: ProcessSpec): Step[] =>
  labels?.selinux ? [{ op: "label", attributes: ["keycreate"], value: labels.selinux }] : [];

/** Message queues' file system takes no context as an option; in a user namespace of the container's own the kernel labels it
 * by the policy, and lets nobody change that. */
export const queueLabelSteps = (spec: ContainerSpec): Step[] =>
  spec.mountLabel && spec.namespaces.user.kind === "host"
    ? [{ op: "mount.label", path: "/dev/mqueue", label: spec.mountLabel }]
    : [];

/** The option that labels a whole mount; the files below keep what labels they have. */
export const contextOption = (label: string | undefined): string[] => (label ? [`context=${label}`] : []);

export const traceSteps = (spec: ContainerSpec): Step[] =>
  spec.trace ? [{ op: "seccomp.record", path: spec.trace }] : [];
