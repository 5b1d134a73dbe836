// User namespaces: which users and groups of the host stand behind those of a container.
import { SpecificationError } from "./errors.ts";

/** `size` ids from `container` on, which are `host` and so on outside (user_namespaces(7)). */
export interface IdRange {
  container: number;
  host: number;
  size: number;
}

export interface IdMaps {
  uids: readonly IdRange[];
  gids: readonly IdRange[];
}

/** A user namespace of its own, the host's, or that of the process whose /proc/<pid>/ns/user is `path`. */
export type UserNamespaceChoice =
  | { kind: "host" }
  | { kind: "private"; maps: IdMaps }
  | { kind: "join"; path: string; maps: IdMaps };

/** The maps as /proc/PID/uid_map and gid_map read them: one range a line. */
export const mapText = (ranges: readonly IdRange[]): string =>
  ranges.map(({ container, host, size }) => `${container} ${host} ${size}\n`).join("");

const within = (ranges: readonly IdRange[], id: number): IdRange | undefined =>
  ranges.find(({ container, size }) => id >= container && id < container + size);

/** What the host calls a container's id. Throws for one that there is none behind. */
function hostId(kind: "user" | "group", ranges: readonly IdRange[], id: number): number {
  const range = within(ranges, id);
  if (!range)
    throw new SpecificationError(
      "invalid",
      `${kind} ${id} is none of the container's user namespace, which has ${ranges.map(({ container, size }) => `${container}-${container + size - 1}`).join(", ")}`,
    );
  return range.host + id - range.container;
}

export const hostUser = (user: UserNamespaceChoice, uid: number): number =>
  user.kind === "host" ? uid : hostId("user", user.maps.uids, uid);
export const hostGroup = (user: UserNamespaceChoice, gid: number): number =>
  user.kind === "host" ? gid : hostId("group", user.maps.gids, gid);

/** Throws unless there is somebody behind a process's user and all of its groups. */
export function checkUser(
  namespace: UserNamespaceChoice,
  { uid, gid, groups }: { uid: number; gid: number; groups: readonly number[] },
): void {
  hostUser(namespace, uid);
  for (const group of [gid, ...groups]) hostGroup(namespace, group);
}

/** The highest group of the ids from 0 on, for settings that name a range of groups. */
export const lastGroup = (user: UserNamespaceChoice): number => {
  if (user.kind === "host") return 2 ** 31 - 1;
  const first = within(user.maps.gids, 0);
  return first ? first.container + first.size - 1 : 0;
};
