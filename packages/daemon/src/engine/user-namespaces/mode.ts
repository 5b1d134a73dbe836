// HostConfig.UsernsMode: what may be asked for, and what a container gets that asks for nothing.
import type { HostConfig } from "../../api/schemas/container-create.ts";
import { containerCapabilities } from "../../runtime/capabilities.ts";
import type { IdMaps, IdRange } from "../../runtime/user-namespace.ts";
import { invalid } from "../errors.ts";

/** A container's choice, as it stays from its creation on. */
export type UserNamespaceMode =
  | { kind: "host" }
  /** A range of its own, chosen at each start. */
  | { kind: "auto" }
  /** Its own too, but for one user, who is the same inside and outside. */
  | { kind: "keep-id"; uid: number; gid: number }
  /** Ids that were named; shared ones are those of every container that asks for nothing (--userns-remap USER). */
  | { kind: "maps"; maps: IdMaps; shared: boolean }
  /** Another container's, whatever that is. */
  | { kind: "container"; id: string };

const MAXIMUM_ID = 2 ** 32 - 2;
const MAXIMUM_RANGES = 340; // user_namespaces(7)

/** CONTAINER:HOST:LENGTH[,…]. Throws for what is none, names an id twice, or leaves root out. */
export function parseRanges(text: string): IdRange[] {
  const failure = (reason: string) => invalid(`invalid user namespace mode: ${text}: ${reason}`);
  const ranges = text.split(",").map((part): IdRange => {
    const numbers = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(part)?.slice(1).map(Number);
    if (!numbers) throw failure(`${JSON.stringify(part)} is not CONTAINER-ID:HOST-ID:LENGTH`);
    const [container = 0, host = 0, size = 0] = numbers;
    if (size === 0 || Math.max(container, host) + size - 1 > MAXIMUM_ID)
      throw failure(
        `${JSON.stringify(part)}: ids are in the range 0-${MAXIMUM_ID}, and at least one is mapped`,
      );
    return { container, host, size };
  });
  if (ranges.length > MAXIMUM_RANGES) throw failure(`more than ${MAXIMUM_RANGES} ranges`);
  for (const side of ["container", "host"] as const) {
    const sorted = [...ranges].sort((a, b) => a[side] - b[side]);
    const twice = sorted.find((range, index) => {
      const before = sorted[index - 1];
      return before && before[side] + before.size > range[side];
    });
    if (twice) throw failure(`id ${twice[side]} of the ${side} is mapped twice`);
  }
  if (!ranges.some(({ container }) => container === 0)) throw failure("root (0) is not mapped");
  return ranges;
}

/** Capabilities that count in the host's user namespace only: the kernel asks for them with capable(), not ns_capable(). */
const hostOnly = new Set([
  ...["AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "BPF", "IPC_LOCK", "LINUX_IMMUTABLE", "MAC_ADMIN"],
  ...["MAC_OVERRIDE", "PERFMON", "SYSLOG", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_RAWIO"],
  ...["SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM"],
]);

/** Why a container that asks for no user namespace can't do what it is for in one of its own; "" if it can. */
export function needsHost(host: HostConfig): string {
  if (host.Privileged) return "Privileged";
  const shared = [
    ["NetworkMode", host.NetworkMode],
    ["PidMode", host.PidMode],
    ["IpcMode", host.IpcMode],
    ["CgroupnsMode", host.CgroupnsMode],
  ].find(([, mode]) => mode === "host");
  if (shared) return `${shared[0]} host`;
  const named = (host.CapAdd ?? []).filter((name) => name.toUpperCase() !== "ALL");
  const capability = containerCapabilities({ privileged: false, add: named, drop: ["ALL"] }).find((name) =>
    hostOnly.has(name),
  );
  return capability ? `CapAdd ${capability}` : "";
}

/** The containers whose namespaces are shared, in the order in which they have a say in whose user namespace it is. */
export const partners = (host: HostConfig): string[] =>
  [host.NetworkMode, host.PidMode, host.IpcMode].flatMap((mode) => /^container:(.+)$/.exec(mode)?.[1] ?? []);

/** Reads a mode that asks for something. `caller` is the number of the user who asks, if it is one of this machine's. */
export function parseMode(mode: string, caller: { uid: number; gid: number } | undefined): UserNamespaceMode {
  if (mode === "host") return { kind: "host" };
  if (mode === "auto" || mode === "private") return { kind: "auto" };
  const partner = /^container:(.+)$/.exec(mode)?.[1];
  if (partner) return { kind: "container", id: partner };
  if (mode === "keep-id") {
    if (!caller) throw invalid("invalid user namespace mode: keep-id: the client is no user of this machine");
    if (caller.uid === 0) throw invalid("invalid user namespace mode: keep-id: the client is root");
    return { kind: "keep-id", ...caller };
  }
  if (!/^\d/.test(mode))
    throw invalid(
      `invalid user namespace mode: ${mode}: neither host, auto, keep-id, container:NAME nor CONTAINER-ID:HOST-ID:LENGTH,…`,
    );
  const ranges = parseRanges(mode);
  return { kind: "maps", maps: { uids: ranges, gids: ranges }, shared: false };
}
