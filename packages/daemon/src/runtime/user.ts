// Who a container's process is: Docker's user[:group] against the passwd and group files of its root.
import { SpecificationError } from "./errors.ts";

/** A resolved user; `home` is undefined where passwd does not know the user. */
export interface ResolvedUser {
  uid: number;
  gid: number;
  groups: number[];
  home: string | undefined;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}
interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

const MAXIMUM_ID = 2 ** 31 - 1;

/** The fields of each well-formed line (passwd(5), group(5)). */
const lines = (text: string, fields: number): string[][] =>
  text
    .split("\n")
    .filter((line) => line && !line.startsWith("#"))
    .map((line) => line.split(":"))
    .filter((parts) => parts.length >= fields);

const passwdEntries = (text: string): PasswdEntry[] =>
  lines(text, 6).map(([name = "", , uid, gid, , home = ""]) => ({
    name,
    uid: Number(uid),
    gid: Number(gid),
    home,
  }));
const groupEntries = (text: string): GroupEntry[] =>
  lines(text, 3).map(([name = "", , gid, members]) => ({
    name,
    gid: Number(gid),
    members: members ? members.split(",") : [],
  }));

/** A decimal id in range, or undefined for a name. */
function numericId(text: string): number | undefined {
  if (!/^-?\d+$/.test(text)) return undefined;
  const id = Number(text);
  if (id < 0 || id > MAXIMUM_ID)
    throw new SpecificationError("invalid", `uids and gids must be in range 0-${MAXIMUM_ID}`);
  return id;
}

/** Resolves "", "user", "uid", "user:group" and so on, and the extra groups by name or number. Throws
 * SpecificationError with Docker's words for a name that isn't there. */
export function resolveUser(
  request: string,
  extraGroups: readonly string[],
  files: { passwd: string; group: string },
): ResolvedUser {
  const [userPart = "", groupPart] = request.split(":", 2);
  const users = passwdEntries(files.passwd);
  const groups = groupEntries(files.group);
  const wantedId = userPart === "" ? 0 : numericId(userPart);
  const entry = users.find(({ name, uid }) =>
    wantedId === undefined ? name === userPart : uid === wantedId,
  );
  const uid = wantedId ?? entry?.uid;
  if (uid === undefined)
    throw new SpecificationError(
      "invalid",
      `unable to find user ${userPart}: no matching entries in passwd file`,
    );
  const groupOf = (name: string): number => {
    const gid = numericId(name) ?? groups.find((group) => group.name === name)?.gid;
    if (gid === undefined)
      throw new SpecificationError(
        "invalid",
        `unable to find group ${name}: no matching entries in group file`,
      );
    return gid;
  };
  // A group that was named stands for all of the user's own; otherwise group(5) says which there are.
  const own = groupPart
    ? []
    : groups.filter(({ members }) => entry && members.includes(entry.name)).map(({ gid }) => gid);
  const gid = groupPart ? groupOf(groupPart) : (entry?.gid ?? 0);
  const supplementary = [...own, ...extraGroups.map(groupOf)];
  return { uid, gid, groups: [...new Set(supplementary)], home: entry?.home };
}
