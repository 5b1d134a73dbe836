// Which ids of the host are for containers: what subuid(5) and subgid(5) say, and otherwise a part that nobody uses.
import { readFileSync } from "node:fs";
import type { IdRange } from "../../runtime/user-namespace.ts";
import type { Interval } from "./pool.ts";
import type { DefaultMode } from "./service.ts";

interface Entry extends Interval {
  /** A user's name or number. */
  owner: string;
}

/** Whose ranges are taken where nobody is named: our own, or those that podman's users set aside for containers. */
const usualOwners = ["tsd", "containers"];

/** From 0x70000000 on no distribution and no directory service gives ids away; below that are those that systemd-nspawn picks
 * from too, by asking who uses them. */
const usualRanges: readonly Interval[] = [
  { first: 0x70000000, size: 0x7ffe0000 - 0x70000000 },
  { first: 0x20000000, size: 0x70000000 - 0x20000000 },
];

function readEntries(path: string): Entry[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return text.split("\n").flatMap((line): Entry[] => {
    const match = /^([^:#]+):(\d+):(\d+)\s*$/.exec(line);
    return match ? [{ owner: match[1] ?? "", first: Number(match[2]), size: Number(match[3]) }] : [];
  });
}

/** What is in both lists. */
function common(one: readonly Interval[], other: readonly Interval[]): Interval[] {
  return one.flatMap((a) =>
    other.flatMap((b): Interval[] => {
      const first = Math.max(a.first, b.first);
      const size = Math.min(a.first + a.size, b.first + b.size) - first;
      return size > 0 ? [{ first, size }] : [];
    }),
  );
}

export interface SubordinateIds {
  uids: readonly Entry[];
  gids: readonly Entry[];
}

export const readSubordinateIds = (directory = "/etc"): SubordinateIds => ({
  uids: readEntries(`${directory}/subuid`),
  gids: readEntries(`${directory}/subgid`),
});

const of = (entries: readonly Entry[], owner: string): Entry[] =>
  entries.filter((entry) => entry.owner === owner);

/** What containers get ranges from, and what they never get. `pool` is FIRST:SIZE, the owner of subordinate ids, or "" for what
 * is usual. Throws for one that there is none of. */
export function idPoolOf(
  pool: string,
  { uids, gids }: SubordinateIds,
): { available: Interval[]; reserved: Interval[] } {
  const numbers = /^(\d+):(\d+)$/.exec(pool);
  const owner = numbers ? "" : pool || (usualOwners.find((name) => of(uids, name).length > 0) ?? "");
  const reserved = [...uids, ...gids].filter((entry) => entry.owner !== owner);
  if (numbers) return { available: [{ first: Number(numbers[1]), size: Number(numbers[2]) }], reserved };
  if (!owner) return { available: [...usualRanges], reserved };
  const available = common(of(uids, owner), of(gids, owner));
  if (available.length === 0)
    throw new Error(`--userns-pool ${owner}: /etc/subuid and /etc/subgid have no ids in common for it`);
  return { available, reserved };
}

/** Ranges one after the other, from the container's 0 on. */
function consecutive(entries: readonly Interval[]): IdRange[] {
  let container = 0;
  return entries.map(({ first, size }) => {
    container += size;
    return { container: container - size, host: first, size };
  });
}

/** --userns-remap: auto, host, or dockerd's USER[:GROUP], whose subordinate ids all containers have. */
export function defaultMode(remap: string, { uids, gids }: SubordinateIds): DefaultMode {
  if (remap === "" || remap === "auto") return { kind: "auto" };
  if (remap === "host") return { kind: "host" };
  const [user = "", group = user] = remap === "default" ? ["dockremap"] : remap.split(":");
  const maps = { uids: consecutive(of(uids, user)), gids: consecutive(of(gids, group)) };
  if (maps.uids.length === 0 || maps.gids.length === 0)
    throw new Error(
      `--userns-remap ${remap}: no subordinate ids for ${maps.uids.length === 0 ? `user ${user} in /etc/subuid` : `group ${group} in /etc/subgid`}`,
    );
  return { kind: "maps", maps, shared: true };
}
