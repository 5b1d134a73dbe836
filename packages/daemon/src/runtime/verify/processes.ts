// Processes of a container against its plan: in its groups and namespaces, none with more than its bounding set, under its
// seccomp filter and limits; and no stranger among them.
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type CapabilityMasks,
  capabilitiesIn,
  mappedId,
  type NamespaceInodes,
  type NamespaceKind,
  namespaceInode,
  namespaceInodes,
  type ProcessStatus,
  processCgroups,
  processLimits,
  processStatus,
  type ResourceLimit,
  readProcess,
  rlimits,
} from "@tsd/kernel-bindings";
import { type Drift, drift, unlessAllowed } from "./drift.ts";
import { type LiveContainer, whoseNamespace } from "./live.ts";

/** Processes that are looked at before others get their turn. */
const AT_ONCE = 20;

const sets: readonly (keyof CapabilityMasks)[] = [
  "bounding",
  "permitted",
  "effective",
  "inheritable",
  "ambient",
];
const comparedKinds: readonly NamespaceKind[] = ["pid", "mnt", "net", "ipc", "uts", "cgroup", "time"];

const nameOf = (pid: number, status: ProcessStatus): string =>
  `${pid} (${status.name}${status.innerPid === pid ? "" : `, ${status.innerPid} inside`})`;

/** One process with what is asked about it again and again. */
interface Looked {
  pid: number;
  status: ProcessStatus;
  name: string;
}

/** Whether a process is one of some, or comes from one of them. */
export function comesFrom(pid: number, tops: ReadonlySet<number>): boolean {
  for (let at = pid, steps = 0; at > 1 && steps < 64; steps++) {
    if (tops.has(at)) return true;
    at = processStatus(at)?.parent ?? 0;
  }
  return false;
}

function privilegeDrifts(live: LiveContainer, { pid, status, name }: Looked): Drift[] {
  const { expectation, bounding, privileged } = live;
  if (privileged.size > 0 && comesFrom(pid, privileged)) return [];
  const drifts = sets.flatMap((set): Drift[] => {
    const more = status.capabilities[set] & ~bounding;
    return more === 0n
      ? []
      : [
          drift(
            "capability",
            `${set} set of process ${name}`,
            capabilitiesIn(bounding).join(" ") || "none",
            `also ${capabilitiesIn(more).join(" ")}`,
            "critical",
          ),
        ];
  });
  // All five sets say one thing.
  const [first] = drifts;
  const found: Drift[] = first ? [first] : [];
  if (expectation.seccomp && status.seccomp === 0)
    found.push(drift("process", `seccomp of process ${name}`, "a filter", "none", "high"));
  if (expectation.noNewPrivileges && !status.noNewPrivileges)
    found.push(drift("process", `no_new_privs of process ${name}`, "set", "not set", "high"));
  return found;
}

function placeDrifts(live: LiveContainer, { pid, name }: Looked): Drift[] {
  const groups = processCgroups(pid);
  if (!groups) return [];
  const outside = live.cgroups.controllers
    .map(({ name: controllers }) => controllers)
    .filter((controllers) => {
      const path = groups.get(controllers);
      return path !== undefined && !(path.endsWith(live.group) || path.includes(`${live.group}/`));
    });
  if (outside.length === 0) return [];
  const where = outside.map((controllers) => `${controllers || "unified"}: ${groups.get(controllers)}`);
  return [drift("process", `control group of process ${name}`, live.group, where.join(", "), "high")];
}

/** Namespaces of the others, beside process 1's. */
function namespaceDrifts(live: LiveContainer, own: NamespaceInodes, { pid, name }: Looked): Drift[] {
  const { facts, expectation } = live;
  return comparedKinds.flatMap((kind): Drift[] => {
    const inode = namespaceInode(pid, kind);
    if (inode === 0 || inode === own[kind]) return [];
    const known =
      inode === facts.host[kind] ||
      [...facts.containers.values()].some(({ namespaces }) => namespaces[kind] === inode);
    // A time namespace is for the children of the one who made it.
    if (kind === "time" && !known) return [];
    // One of its own making is none that was there before.
    const severity = known && expectation.own.has(kind) ? "critical" : "info";
    const whose = whoseNamespace(kind, inode, facts);
    const one = drift(
      "namespace",
      `${kind} of process ${name}`,
      `that of process 1 (${own[kind]})`,
      whose,
      severity,
    );
    return [severity === "info" ? { ...one, byContainer: true } : one];
  });
}

const resourceNames = new Map<number, string>(
  Object.entries(rlimits).map(([name, number]) => [number, name]),
);
const shown = (limit: bigint): string => (limit === 0xffffffffffffffffn ? "unlimited" : String(limit));

/** Hard limits: higher ones can't come from the container itself, unless it may do that. */
function limitDrifts(
  live: LiveContainer,
  first: boolean,
  base: ReadonlyMap<number, ResourceLimit>,
  { pid, name }: Looked,
): Drift[] {
  const limits = processLimits(pid);
  if (!limits) return [];
  const drifts: Drift[] = [];
  for (const [number, { soft, hard }] of limits) {
    const planned = live.expectation.limits.get(number);
    const inherited = base.get(number)?.hard;
    const most = planned && !planned.tolerated ? planned.hard : maximum(planned?.hard, inherited);
    const what = `${resourceNames.get(number)} of process ${name}`;
    if (most !== undefined && hard > most)
      drifts.push(
        ...unlessAllowed(
          [
            drift(
              "resource limit",
              what,
              `at most ${shown(most)}`,
              `${shown(soft)}:${shown(hard)}`,
              "medium",
            ),
          ],
          "SYS_RESOURCE",
          live.bounding,
        ),
      );
    else if (first && planned && !planned.tolerated && hard < planned.hard)
      // Everybody may lower their own.
      drifts.push({
        ...drift("resource limit", what, shown(planned.hard), `${shown(soft)}:${shown(hard)}`, "info"),
        byContainer: true,
      });
  }
  return drifts;
}

const maximum = (a: bigint | undefined, b: bigint | undefined): bigint | undefined =>
  a === undefined ? b : b === undefined || a > b ? a : b;

/** What holds for process 1 alone. */
function firstDrifts(live: LiveContainer, { pid, status, name }: Looked): Drift[] {
  const { expectation } = live;
  const drifts: Drift[] = [];
  const { user } = expectation;
  if (user && user.uid !== 0) {
    const root = mappedId(pid, "uid_map", 0);
    if (status.uids.includes(root))
      drifts.push(
        drift(
          "process",
          `user of process ${name}`,
          String(mappedId(pid, "uid_map", user.uid)),
          `${root}`,
          "medium",
        ),
      );
  }
  const score = readProcess(pid, "oom_score_adj")?.trim();
  const wanted = expectation.oomScore?.value ?? Number(readProcess(status.parent, "oom_score_adj") ?? score);
  if (score !== undefined && !expectation.oomScore?.tolerated && Number(score) !== wanted)
    // It may make itself the first to be killed; not the last.
    drifts.push(
      drift(
        "process",
        `oom_score_adj of process ${name}`,
        `${wanted}`,
        score,
        Number(score) > wanted ? "low" : "medium",
      ),
    );
  return drifts;
}

/** Whether it is another container's, which shares this one's PID namespace and is verified by itself. */
function belongsElsewhere({ facts, id }: LiveContainer, pid: number): boolean {
  return [...(processCgroups(pid)?.values() ?? [])].some((path) =>
    (path.match(/[0-9a-f]{64}/g) ?? []).some((other) => other !== id && facts.containers.has(other)),
  );
}

/** Looks at every process of the container, and at those that are in its PID namespace without being its own. */
export async function verifyProcesses(live: LiveContainer): Promise<Drift[]> {
  const { pid, cgroups, group, facts, expectation } = live;
  const first = processStatus(pid);
  if (!first) return [];
  const own = namespaceInodes(pid);
  // The monitor has the limits that everything of the container began with.
  const base = processLimits(first.parent) ?? new Map<number, ResourceLimit>();
  const members = new Set(cgroups.processes(group));
  const sharesPids = !expectation.own.has("pid");
  const neighbours = sharesPids ? [] : (facts.byPidNamespace.get(own.pid) ?? []);
  const drifts: Drift[] = [];
  let looked = 0;
  for (const one of new Set([pid, ...members, ...neighbours])) {
    if (++looked % AT_ONCE === 0) await nextTurn();
    const status = one === pid ? first : processStatus(one);
    if (!status) continue;
    const process: Looked = { pid: one, status, name: nameOf(one, status) };
    if (!members.has(one) && belongsElsewhere(live, one)) continue;
    if (one !== pid && !members.has(one) && !comesFrom(one, new Set([pid]))) {
      drifts.push(
        drift(
          "process",
          `process ${process.name}`,
          "none that the engine did not start",
          "a stranger in its PID namespace",
          "high",
        ),
      );
      continue;
    }
    const user = namespaceInode(one, "user");
    // In a user namespace of its own a process has all rights over nothing.
    const nested = user !== own.user && user !== facts.host.user;
    if (user !== own.user && user === facts.host.user)
      drifts.push(
        drift(
          "namespace",
          `user of process ${process.name}`,
          "the container's own",
          "the host's",
          "critical",
        ),
      );
    if (!nested) drifts.push(...privilegeDrifts(live, process));
    drifts.push(...placeDrifts(live, process));
    if (one !== pid && !nested) drifts.push(...namespaceDrifts(live, own, process));
    drifts.push(...limitDrifts(live, one === pid, base, process));
    if (one === pid) drifts.push(...firstDrifts(live, process));
  }
  return drifts;
}
