// --chown and --chmod of COPY and ADD.
import { resolveUser } from "../../runtime/user.ts";
import { invalid } from "../errors.ts";

/** user, user:group, or numbers; a user alone names its group too, as in Docker. Throws with Docker's words. */
export function resolveOwner(
  text: string,
  files: { passwd: string; group: string },
): { uid: number; gid: number } {
  const [user = "", group = user] = text.split(":", 2);
  const refuse = (kind: string, name: string) =>
    invalid(
      `unable to convert uid/gid chown string to host mapping: can't find ${kind === "user" ? "uid" : "gid"} for ${kind} ${name}: no such ${kind}: ${name}`,
    );
  let uid: number;
  try {
    ({ uid } = resolveUser(user, [], files));
  } catch {
    throw refuse("user", user);
  }
  try {
    return { uid, gid: resolveUser(`0:${group}`, [], files).gid };
  } catch {
    throw refuse("group", group);
  }
}

/** An octal mode; undefined for none. */
export function parseMode(text: string): number | undefined {
  if (!text) return undefined;
  if (!/^0?[0-7]{1,4}$/.test(text))
    throw invalid(`invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`);
  return Number.parseInt(text, 8);
}
