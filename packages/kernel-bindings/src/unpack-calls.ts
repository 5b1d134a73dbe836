// What unpacking a foreign archive needs of the C library: a change of root, fewer capabilities, nodes and attributes.
// For a process of its own: the calls change the whole process.
import koffi from "koffi";
import { KernelError } from "./errors.ts";

const libc = koffi.load("libc.so.6");
const native = {
  chroot: libc.func("int chroot(const char *path)"),
  mknod: libc.func("int mknod(const char *path, unsigned int mode, unsigned long device)"),
  lsetxattr: libc.func(
    "int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)",
  ),
  syscall: libc.func("long syscall(long number, const void *header, const void *data)"),
  prctl: libc.func(
    "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
  ),
};
const SYS_CAPSET = process.arch === "arm64" ? 91 : 126;
const CAPABILITY_VERSION_3 = 0x20080522;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;

function check(result: number, call: string, path: string): void {
  if (result < 0) throw new KernelError(call, koffi.errno(), path);
}

/** Makes `directory` the process's root and working directory (chroot(2)). */
export function changeRoot(directory: string): void {
  check(native.chroot(directory), "chroot", directory);
  process.chdir("/");
}

/** Gives up all capabilities but those in `mask`, for good (capset(2), no_new_privs). */
export function keepCapabilities(mask: bigint): void {
  for (let capability = 0; capability < 64; capability++)
    if (!((mask >> BigInt(capability)) & 1n) && native.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) break;
  check(native.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "no_new_privs");
  const header = Buffer.alloc(8);
  header.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  const data = Buffer.alloc(24);
  for (const half of [0, 1]) {
    const word = Number((mask >> BigInt(32 * half)) & 0xffffffffn);
    data.writeUInt32LE(word, 12 * half);
    data.writeUInt32LE(word, 12 * half + 4);
  }
  check(Number(native.syscall(SYS_CAPSET, header, data)), "capset", "");
}

/** A device node or FIFO; `mode` includes the type (mknod(2)). */
export function makeNode(path: string, mode: number, major: number, minor: number): void {
  // makedev(3)'s 64-bit layout.
  const device =
    (BigInt(major & 0xfffff000) << 32n) |
    (BigInt(major & 0xfff) << 8n) |
    (BigInt(minor & 0xffffff00) << 12n) |
    BigInt(minor & 0xff);
  check(native.mknod(path, mode, device), "mknod", path);
}

/** Sets an extended attribute on the file itself, not on what it links to (lsetxattr(2)). */
export function setAttribute(path: string, name: string, value: Uint8Array): void {
  check(native.lsetxattr(path, name, value, value.length, 0), "lsetxattr", path);
}
