// Namespaces of a container about to start: its own, the host's, or those of containers that it shares with.
import { hostname } from "node:os";
import type { HostConfig } from "../../api/schemas/container-create.ts";
import { plainBind } from "../../runtime/mounts.ts";
import type { MountSpec, NamespaceChoice, NamespaceChoices, TimeOffsets } from "../../runtime/spec.ts";
import type { ResolvedUser } from "../../runtime/user.ts";
import { everything } from "../access/caller.ts";
import { conflict, EngineError, invalid } from "../errors.ts";
import { partners } from "../user-namespaces/mode.ts";
import type { Partner, UserNamespaces } from "../user-namespaces/service.ts";
import type { Container, ContainerRegistry } from "./registry.ts";

export class Sharing {
  readonly #registry: ContainerRegistry;
  readonly #userNamespaces: UserNamespaces;

  constructor(registry: ContainerRegistry, userNamespaces: UserNamespaces) {
    this.#registry = registry;
    this.#userNamespaces = userNamespaces;
  }

  /** The running container that another one's namespace is to be shared with; which one says how Docker refuses. */
  #partner(container: Container, reference: string, kind?: "ipc" | "pid" | "net"): Container {
    const partner = this.#registry.find(reference, everything);
    if (partner === container) throw invalid("cannot join own namespace");
    const runs = partner.alive && !partner.hasEnded;
    if (!runs && kind === "pid")
      throw new EngineError("system", `failed to join PID namespace: container ${partner.id} is not running`);
    if (!runs && kind === "ipc")
      throw conflict(`failed to join IPC namespace: container ${partner.id} is not running`);
    if (!runs)
      throw conflict(
        `cannot join ${kind === "net" ? "network" : "namespace"} of a non running container: ${partner.id}`,
      );
    if (kind === "ipc" && ["private", "none"].includes(partner.record.definition.hostConfig.IpcMode))
      throw invalid(
        `failed to join IPC namespace: container ${partner.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      );
    return partner;
  }

  /** What a start fails with whose partner has ended meanwhile; undefined where all of them run. */
  lost(container: Container): unknown {
    const { PidMode, IpcMode, NetworkMode } = container.record.definition.hostConfig;
    const modes = { pid: PidMode, ipc: IpcMode, net: NetworkMode };
    try {
      for (const kind of ["pid", "ipc", "net"] as const) {
        const reference = /^container:(.+)$/.exec(modes[kind])?.[1];
        if (reference) this.#partner(container, reference, kind);
      }
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** Who shares a network shares the name that belongs to it. */
  hostname(container: Container): string {
    const { config, hostConfig } = container.record.definition;
    if (config.Hostname) return config.Hostname;
    const partner = /^container:(.+)$/.exec(hostConfig.NetworkMode)?.[1];
    return partner ? this.#partner(container, partner, "net").record.definition.config.Hostname : hostname();
  }

  /** `holder` is whose the ids of a user namespace of its own will be. */
  namespaces(container: Container, { uid, gid, groups }: ResolvedUser, holder: string): NamespaceChoices {
    const { hostConfig, userNamespace } = container.record.definition;
    const choose = (mode: string, name: string, kind?: "ipc" | "pid" | "net"): NamespaceChoice => {
      if (mode === "host") return { kind: "host" };
      const reference = /^container:(.+)$/.exec(mode)?.[1];
      if (!reference) return { kind: "private" };
      const { pid } = this.#partner(container, reference, kind).state;
      return { kind: "join", path: `/proc/${pid}/ns/${name}` };
    };
    const choices = {
      pid: choose(hostConfig.PidMode, "pid", "pid"),
      ipc: choose(hostConfig.IpcMode, "ipc", "ipc"),
      uts: choose(hostConfig.UTSMode, "uts"),
      network: choose(hostConfig.NetworkMode, "net", "net"),
      cgroup: choose(hostConfig.CgroupnsMode, "cgroup"),
      time: timeOffsets(hostConfig),
    };
    const shared = userNamespace?.kind === "container" ? [userNamespace.id, ...partners(hostConfig)] : [];
    const user = this.#userNamespaces.choose(
      holder,
      userNamespace,
      { uids: [uid], gids: [gid, ...groups] },
      [...new Set(shared)].map((reference): Partner => {
        const { id, state } = this.#partner(container, reference);
        return { id, pid: state.pid, maps: state.userNamespace?.maps };
      }),
    );
    return { ...choices, user };
  }

  /** /dev/shm belongs to the IPC namespace, so sharing one means sharing the other. */
  sharedMemory(ipc: NamespaceChoice): MountSpec[] {
    if (ipc.kind === "private") return [];
    const namespace = ipc.kind === "join" ? ipc.path.replace(/ipc$/, "mnt") : "";
    return [plainBind("/dev/shm", "/dev/shm", { namespace })];
  }
}

/** How far ahead a container's clocks are; undefined where they are the host's. */
export const timeOffsets = ({ TimeOffset }: HostConfig): TimeOffsets | undefined =>
  TimeOffset ? { monotonic: TimeOffset.Monotonic, boottime: TimeOffset.Boottime } : undefined;
