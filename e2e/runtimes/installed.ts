// Other runtimes on this machine, as tests use them.
import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where a program is installed; undefined where it is not, and tests skip visibly. */
export const installed = (name: string): string | undefined =>
  ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
    .map((directory) => join(directory, name))
    .find((path) => existsSync(path));

/** crun refuses a host that has both versions of control groups with controllers in the second: it is run without that one in
 * sight then. */
export function crunFor(directory: string): string | undefined {
  const crun = installed("crun");
  if (!crun || !existsSync("/sys/fs/cgroup/unified/cgroup.controllers")) return crun;
  const path = join(directory, "crun");
  writeFileSync(
    path,
    `#!/bin/sh\nexec unshare --mount sh -c 'umount /sys/fs/cgroup/unified; exec ${crun} "$@"' crun "$@"\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

/** Control groups with this in their name, in any hierarchy. */
export function groupsLike(name: string): string[] {
  const base = "/sys/fs/cgroup";
  return readdirSync(base).flatMap((hierarchy) => {
    const path = join(base, hierarchy);
    try {
      return readdirSync(path)
        .filter((group) => group.includes(name))
        .map((group) => join(path, group));
    } catch {
      return []; // a file of version 2
    }
  });
}
