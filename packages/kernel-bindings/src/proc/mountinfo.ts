// The mounts of a process's mount namespace (proc_pid_mountinfo(5)).
import { readProcess } from "./process.ts";

export interface MountEntry {
  id: number;
  parent: number;
  /** What of its file system is mounted. */
  root: string;
  /** Where, as the process sees it. */
  mountPoint: string;
  /** Of the mount: ro or rw, nosuid, nodev, noexec and others. */
  options: ReadonlySet<string>;
  /** "shared:N", "master:N" and the like; empty for a private one. */
  propagation: string[];
  type: string;
  source: string;
  /** Of the file system. */
  superOptions: ReadonlySet<string>;
}

/** Spaces, tabs, newlines and backslashes are written as octal numbers. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Reads mountinfo's text. */
export const parseMountinfo = (text: string): MountEntry[] =>
  text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      const [id, parent, , root = "", mountPoint = "", options = "", ...propagation] = before.split(" ");
      const [type = "", source = "", superOptions = ""] = after.split(" ");
      return {
        id: Number(id),
        parent: Number(parent),
        root: unescaped(root),
        mountPoint: unescaped(mountPoint),
        options: new Set(options.split(",")),
        propagation: propagation.filter(Boolean),
        type,
        source: unescaped(source),
        superOptions: new Set(superOptions.split(",")),
      };
    });

/** The mounts that a process sees; undefined when it is gone. */
export function processMounts(pid: number): MountEntry[] | undefined {
  const text = readProcess(pid, "mountinfo");
  return text === undefined ? undefined : parseMountinfo(text);
}
