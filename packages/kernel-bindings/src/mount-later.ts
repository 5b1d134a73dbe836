// mount(2) and umount2(2) on the thread pool, since a disk or a server may take its time; and whether something is mounted.
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import koffi from "koffi";
import { later } from "./later.ts";
import { O_PATH } from "./libc.ts";

const libc = koffi.load("libc.so.6");
const native = {
  mount: libc.func(
    "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
  ),
  umount2: libc.func("int umount2(const char *target, int flags)"),
};

/** mount(2); `flags` are MS_*, `options` the file system's own. */
export const mountLater = async (
  source: string,
  target: string,
  type: string,
  options: string,
  flags = 0,
): Promise<void> => {
  await later("mount", target, native.mount, source, target, type, flags, options);
};

export const umountLater = async (target: string, flags: number): Promise<void> => {
  await later("umount2", target, native.umount2, target, flags);
};

/** The number of the mount that a path is in (proc_pid_fdinfo(5)). */
function mountId(path: string): string | undefined {
  const descriptor = openSync(path, O_PATH | constants.O_DIRECTORY);
  try {
    return /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8"))?.[1];
  } finally {
    closeSync(descriptor);
  }
}

/** Whether something is mounted on a directory, be it a bind of the same file system. */
export const isMountPoint = (directory: string): boolean =>
  mountId(directory) !== mountId(dirname(directory));
