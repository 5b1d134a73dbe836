// User namespaces of containers: decided at create, given a range of ids at each start, taken back at the end.
import { readFileSync } from "node:fs";
import type { HostConfig } from "../../api/schemas/container-create.ts";
import type { IdMaps, IdRange, UserNamespaceChoice } from "../../runtime/user-namespace.ts";
import type { Caller } from "../access/caller.ts";
import { conflict, invalid } from "../errors.ts";
import { canMapIds } from "./mappable.ts";
import { needsHost, parseMode, partners, type UserNamespaceMode } from "./mode.ts";
import { type IdPool, RANGE_SIZE } from "./pool.ts";

/** What containers get that ask for nothing. */
export type DefaultMode = Extract<UserNamespaceMode, { kind: "auto" | "host" | "maps" }>;

/** A container that runs, as far as its user namespace matters. */
export interface Partner {
  id: string;
  pid: number;
  maps: IdMaps | undefined;
}

export interface Decision {
  mode: UserNamespaceMode;
  warnings: string[];
}

export class UserNamespaces {
  readonly #pool: IdPool;
  readonly #default: DefaultMode;
  /** Why there are none on this machine; "" if there are. */
  #obstacle = "";
  /** A descriptor of a user namespace, to try mounts with. */
  #sample = -1;

  constructor(pool: IdPool, fallback: DefaultMode) {
    this.#pool = pool;
    this.#default = fallback;
  }

  /** Why this machine can't have any. */
  get obstacle(): string {
    return this.#obstacle;
  }

  /** Takes up what was found out at the daemon's start (probe.ts). */
  found(result: { descriptor: number } | { obstacle: string }): void {
    if ("obstacle" in result) this.#obstacle = result.obstacle;
    else this.#sample = result.descriptor;
  }

  /** Whether containers have one of their own unless they ask for something else. */
  get usual(): boolean {
    return this.#default.kind !== "host" && !this.#obstacle;
  }

  /** What a request comes to once its mounts are known: files that can't be shown with a container's ids would be nobody's in it,
   * so that one that asks for nothing has the host's. */
  async settle(
    decision: Decision,
    host: HostConfig,
    sources: readonly string[],
    caller: Caller,
  ): Promise<Decision> {
    const { mode } = decision;
    if (mode.kind === "host" || mode.kind === "container" || host.UsernsMode || !mayHaveHost(caller))
      return decision;
    for (const source of sources)
      if (!(await canMapIds(source, this.#sample)))
        return {
          mode: { kind: "host" },
          warnings: [
            ...decision.warnings,
            `the file system of ${source} can't show its files with other ids, so the container has the host's user namespace`,
          ],
        };
    return decision;
  }

  /** What a request comes to. Those who may not use the host's user namespace never get it without asking. */
  decide(host: HostConfig, caller: Caller, foreign = false): Decision {
    const { UsernsMode: asked } = host;
    if (asked) {
      const mode = parseMode(asked, unixUser(caller));
      if (mode.kind !== "host" && this.#obstacle)
        throw invalid(`user namespaces do not work on this machine: ${this.#obstacle}`);
      if (mode.kind !== "host" && mode.kind !== "container" && partners(host).length > 0)
        throw invalid(
          `UsernsMode ${asked}: a container that shares another one's namespaces shares its user namespace`,
        );
      if (foreign && mode.kind !== "host")
        throw invalid(
          `UsernsMode ${asked}: runtime ${host.Runtime} runs containers in the host's user namespace`,
        );
      return { mode, warnings: [] };
    }
    if (foreign)
      return {
        mode: { kind: "host" },
        warnings: this.usual
          ? [`runtime ${host.Runtime} runs the container in the host's user namespace`]
          : [],
      };
    if (!this.usual) return { mode: { kind: "host" }, warnings: [] };
    const [partner] = partners(host);
    if (partner) return { mode: { kind: "container", id: partner }, warnings: [] };
    const reason = needsHost(host);
    if (!reason || !mayHaveHost(caller)) return { mode: this.#default, warnings: [] };
    const quiet = !reason.startsWith("CapAdd");
    return {
      mode: { kind: "host" },
      warnings: quiet ? [] : [`${reason} has no effect in a user namespace, so the container has the host's`],
    };
  }

  /** The choice for a start. `ids` are users and groups that must be there; `shared` those whose namespaces it shares. */
  choose(
    id: string,
    mode: UserNamespaceMode | undefined,
    ids: { uids: readonly number[]; gids: readonly number[] },
    shared: readonly Partner[],
  ): UserNamespaceChoice {
    if (!mode || mode.kind === "host") return { kind: "host" };
    if (mode.kind === "container") return join(shared);
    if (mode.kind === "maps") {
      if (!mode.shared) this.#pool.hold(id, mode.maps);
      return { kind: "private", maps: mode.maps };
    }
    const first = this.#pool.take(id);
    try {
      const kept = mode.kind === "keep-id" ? mode : undefined;
      const maps = {
        uids: this.#ranges(id, first, ids.uids, kept?.uid),
        gids: this.#ranges(id, first, ids.gids, kept?.gid),
      };
      return { kind: "private", maps };
    } catch (error) {
      this.#pool.release(id);
      throw error;
    }
  }

  /** Ids from 0 on, those beyond that are needed, and `same` as itself. */
  #ranges(id: string, first: number, needed: readonly number[], same: number | undefined): IdRange[] {
    const beyond = [...new Set(needed)].filter((one) => one >= RANGE_SIZE && one !== same);
    const more = beyond.length > 0 ? this.#pool.take(id) : 0;
    const extra = beyond.map((container, index): IdRange => ({ container, host: more + index, size: 1 }));
    const usual: IdRange[] =
      same === undefined || same >= RANGE_SIZE
        ? [{ container: 0, host: first, size: RANGE_SIZE }]
        : [
            { container: 0, host: first, size: same },
            { container: same + 1, host: first + same + 1, size: RANGE_SIZE - same - 1 },
          ];
    return [...usual, ...(same === undefined ? [] : [{ container: same, host: same, size: 1 }]), ...extra];
  }

  /** Takes up what an earlier daemon gave a container that still runs. */
  takeUp(id: string, maps: IdMaps): void {
    this.#pool.hold(id, maps);
  }

  release(id: string): void {
    this.#pool.release(id);
  }
}

/** Whether the host's user namespace may be had without being asked for by name. */
function mayHaveHost({ role }: Caller): boolean {
  const limits = role?.limits;
  return !limits || limits.privileged || limits.hostNamespaces.includes("user");
}

/** What a privileged container opens, for whoever did not mean all of it. */
export const privilegedWarning = (mode: UserNamespaceMode): string =>
  `Privileged: all capabilities${mode.kind === "host" ? "" : " (in a user namespace of its own)"}, all devices of this machine, no system call filter, nothing hidden or read-only in /proc and /sys${mode.kind === "host" ? ", and the host's user namespace: root in the container is root on this machine" : ""}`;

function join(shared: readonly Partner[]): UserNamespaceChoice {
  const [first, ...others] = shared;
  const start = first?.maps?.uids[0]?.host;
  const other = others.find(({ maps }) => maps?.uids[0]?.host !== start);
  if (first && other)
    throw conflict(
      `containers ${first.id} and ${other.id} have different user namespaces: one container can't share with both`,
    );
  return first?.maps
    ? { kind: "join", path: `/proc/${first.pid}/ns/user`, maps: first.maps }
    : { kind: "host" };
}

/** The user behind a call on a unix socket, with the primary group that passwd(5) has. */
function unixUser({ id }: Caller): { uid: number; gid: number } | undefined {
  const uid = /^unix:(\d+)$/.exec(id)?.[1];
  if (uid === undefined) return undefined;
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((entry) => entry.split(":"))
    .find((fields) => fields[2] === uid);
  return { uid: Number(uid), gid: Number(line?.[3] ?? uid) };
}
