// Namespaces of a container's process 1 against its plan: its own where it asked for one, the right one where it joined one.
import { type NamespaceKind, namespaceKinds, readProcess } from "@tsd/kernel-bindings";
import { type Drift, drift } from "./drift.ts";
import { type LiveContainer, partnerOf, whoseNamespace } from "./live.ts";

const plain = (map: string): string =>
  map
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).join(" "))
    .join(", ");

/** Which users and groups of the host's stand behind the container's: the kernel lets a map be written once. */
export function verifyIdMaps({ pid, expectation }: LiveContainer): Drift[] {
  const { idMaps } = expectation;
  if (!idMaps) return [];
  return (["uid", "gid"] as const).flatMap((kind) => {
    const found = readProcess(pid, `${kind}_map`);
    const wanted = plain(idMaps[kind]);
    return found === undefined || !wanted || plain(found) === wanted
      ? []
      : [drift("namespace", `${kind} map of the user namespace`, wanted, plain(found), "critical")];
  });
}

export function verifyNamespaces(live: LiveContainer): Drift[] {
  const { expectation, facts, id } = live;
  const found = facts.containers.get(id)?.namespaces;
  if (!found) return [];
  const about = (kind: NamespaceKind, expected: string): Drift[] => [
    drift(
      "namespace",
      kind,
      expected,
      whoseNamespace(kind, found[kind], { ...facts, containers: others }),
      "critical",
    ),
  ];
  const others = new Map([...facts.containers].filter(([other]) => other !== id));
  return namespaceKinds.flatMap((kind): Drift[] => {
    const inode = found[kind];
    if (inode === 0) return [];
    const path = expectation.joined.get(kind);
    if (path) {
      const partner = partnerOf(path, facts)?.namespaces[kind];
      if (partner !== undefined && inode !== partner)
        return about(kind, `the one that was joined (${partner})`);
      return inode === facts.host[kind] && partner !== inode ? about(kind, "the one that was joined") : [];
    }
    if (!expectation.own.has(kind))
      return inode === facts.host[kind] ? [] : about(kind, `the host's (${facts.host[kind]})`);
    if (inode === facts.host[kind]) return about(kind, "its own");
    return [];
  });
}
