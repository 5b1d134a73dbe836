// Whether a file system can show its files with a container's ids: network file systems and FUSE mostly can't.
import { closeSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { AT_FDCWD, KernelError, mapMountIds, OPEN_TREE_CLONE, openTree } from "@tsd/kernel-bindings";

/** File systems of the kernel's own, by their magic numbers (statfs(2)): what they show is nobody's in a container anyway. */
const kernels: ReadonlySet<number> = new Set([
  ...[0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1], // proc, sysfs, cgroup, cgroup2, devpts
  ...[0x64626720, 0x74726163, 0x73636673, 0xcafe4a11, 0x19800202], // debugfs, tracefs, securityfs, bpf, mqueue
]);

/** Tries it, with a mount that nobody sees; `userNamespace` is a descriptor of any but the host's. What can't be looked at is left
 * to the start, which says what is wrong with it. */
export async function canMapIds(path: string, userNamespace: number): Promise<boolean> {
  const found = await statfs(path).catch(() => undefined);
  if (!found || kernels.has(found.type) || path === "/dev" || path.startsWith("/dev/")) return true;
  try {
    const tree = openTree(AT_FDCWD, path, OPEN_TREE_CLONE);
    try {
      mapMountIds(tree, userNamespace);
    } finally {
      closeSync(tree);
    }
    return true;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.call !== "mount_setattr" || !["EINVAL", "EOPNOTSUPP"].includes(error.code);
  }
}
