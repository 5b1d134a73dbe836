// Which capabilities a container gets: Docker's default set, with what is added and dropped.
import { boundingSet, type CapabilityName, capabilitiesIn, capabilityNumber } from "@tsd/kernel-bindings";
import { SpecificationError } from "./errors.ts";

/** The 14 capabilities of a container that asked for nothing. */
export const defaultCapabilities: readonly CapabilityName[] = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FSETID",
  "FOWNER",
  "MKNOD",
  "NET_RAW",
  "SETGID",
  "SETUID",
  "SETFCAP",
  "SETPCAP",
  "NET_BIND_SERVICE",
  "SYS_CHROOT",
  "KILL",
  "AUDIT_WRITE",
];

/** Bare upper-case names from a request's list, "ALL" among them. Throws for one that is unknown. */
function normalise(field: string, names: readonly string[]): (CapabilityName | "ALL")[] {
  return names.map((given) => {
    const name = given.toUpperCase().replace(/^CAP_/, "");
    if (name !== "ALL" && capabilityNumber(name) === undefined)
      throw new SpecificationError("invalid", `invalid ${field}: unknown capability: "CAP_${name}"`);
    return name as CapabilityName | "ALL";
  });
}

/** Those that a process keeps over execve whoever it is: some of what the container has. */
export function ambientCapabilities(
  names: readonly string[],
  granted: readonly CapabilityName[],
): CapabilityName[] {
  return normalise("CapAmbient", names).flatMap((name) => {
    if (name === "ALL") return [...granted];
    if (!granted.includes(name))
      throw new SpecificationError(
        "invalid",
        `invalid CapAmbient: "CAP_${name}" is none that the container has`,
      );
    return [name];
  });
}

/** The set for a container; `available` is what this process can hand on. Asking by name for one that the host lacks
 * is an error; ALL means all that there are. */
export function containerCapabilities(
  request: { privileged: boolean; add: readonly string[]; drop: readonly string[] },
  available: bigint = boundingSet(),
): CapabilityName[] {
  const add = normalise("CapAdd", request.add);
  const drop = normalise("CapDrop", request.drop);
  const all = capabilitiesIn(available);
  if (request.privileged) return all;
  const wanted = new Set<CapabilityName>(defaultCapabilities);
  if (drop.includes("ALL")) wanted.clear();
  if (add.includes("ALL")) for (const name of all) wanted.add(name);
  for (const name of drop) if (name !== "ALL") wanted.delete(name);
  for (const name of add) {
    if (name === "ALL") continue;
    if (!all.includes(name))
      throw new SpecificationError(
        "invalid",
        `invalid CapAdd: capability not supported by your kernel or not available in the current environment: "CAP_${name}"`,
      );
    wanted.add(name);
  }
  // Defaults that this host can't give are left out, as they are for the host's own root.
  return all.filter((name) => wanted.has(name));
}
