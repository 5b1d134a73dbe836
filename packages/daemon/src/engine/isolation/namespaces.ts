// Which container and process is in which namespace, and who shares what with whom and with the host.
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type NamespaceInodes,
  type NamespaceKind,
  namespaceInodes,
  namespaceKinds,
  processStatus,
} from "@tsd/kernel-bindings";
import type { ContainerNamespaces, NamespaceReport } from "../../api/types.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Sight } from "../access/caller.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";

/** Processes that are looked at before others get their turn. */
const AT_ONCE = 50;
const HOST = "host";

interface Member {
  container: Container;
  namespaces: NamespaceInodes;
}

export class Namespaces {
  readonly #containers: ContainerService;
  readonly #runtime: Runtime;

  constructor(containers: ContainerService, runtime: Runtime) {
    this.#containers = containers;
    this.#runtime = runtime;
  }

  /** Of the containers that exist for somebody, or of one of them. */
  async report(sight: Sight, only?: Container): Promise<NamespaceReport> {
    const host = namespaceInodes("self");
    const members: Member[] = [];
    for (const container of this.#containers.registry.seenBy(sight)) {
      if (!container.alive) continue;
      if (members.length % AT_ONCE === AT_ONCE - 1) await nextTurn();
      members.push({ container, namespaces: namespaceInodes(container.state.pid) });
    }
    const views: ContainerNamespaces[] = [];
    for (const member of members)
      if (!only || member.container === only) views.push(await this.#view(member, members, host));
    return { Host: host, Containers: views };
  }

  async #view(
    member: Member,
    members: readonly Member[],
    host: NamespaceInodes,
  ): Promise<ContainerNamespaces> {
    const { container, namespaces } = member;
    const sharers = (kind: NamespaceKind): string[] => [
      ...(namespaces[kind] === host[kind] ? [HOST] : []),
      ...members
        .filter((other) => other !== member && other.namespaces[kind] === namespaces[kind])
        .map((other) => other.container.name),
    ];
    const cgroup = this.#runtime.cgroupOf(container.id, container.record.definition.hostConfig.CgroupParent);
    const processes: ContainerNamespaces["Processes"] = [];
    for (const [index, pid] of this.#runtime.cgroups.processes(cgroup).entries()) {
      if (index % AT_ONCE === AT_ONCE - 1) await nextTurn();
      const status = processStatus(pid);
      if (!status) continue;
      const own = namespaceInodes(pid);
      const others = namespaceKinds.filter((kind) => own[kind] !== namespaces[kind] && own[kind] !== 0);
      processes.push({
        Pid: pid,
        InnerPid: status.innerPid,
        Command: status.name,
        Namespaces: own,
        // As of the container's process 1, but for these.
        Differs: others,
      });
    }
    return {
      Id: container.id,
      Name: container.name,
      Pid: container.state.pid,
      Namespaces: namespaces,
      SharedWith: Object.fromEntries(namespaceKinds.map((kind) => [kind, sharers(kind)])) as Record<
        NamespaceKind,
        string[]
      >,
      Processes: processes,
    };
  }
}
