// Landlock: what the kernel's version of it can restrict (landlock(7)).
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const versionOf = libc.func("long syscall(long number, const void *attributes, size_t size, uint32_t flags)");
const SYS_landlock_create_ruleset = 444;
const LANDLOCK_CREATE_RULESET_VERSION = 1;

/** The kernel's Landlock version (ABI), 0 where it has none or it is off. */
export function landlockVersion(): number {
  const version = Number(versionOf(SYS_landlock_create_ruleset, null, 0, LANDLOCK_CREATE_RULESET_VERSION));
  return Math.max(0, version);
}

const right = (bit: number): number => 2 ** bit;
/** LANDLOCK_ACCESS_FS_* that read: execute, read a file, read a directory. */
const READ = right(0) + right(2) + right(3);
/** Those of version 1; later ones add moving between directories (2), truncating (3) and ioctl on devices (5). */
const ALL_OF_FIRST = right(13) - 1;
const later: readonly [version: number, access: number][] = [
  [2, right(13)],
  [3, right(14)],
  [5, right(15)],
];

export const landlockAccess = {
  read: READ,
  /** Every right on files that a version knows. */
  all: (version: number): number =>
    later.reduce((sum, [since, access]) => (version >= since ? sum + access : sum), ALL_OF_FIRST),
  bindTcp: right(0),
  connectTcp: right(1),
  scopeAbstractUnix: right(0),
  scopeSignal: right(1),
};
/** The versions that brought what is not of the first. */
export const landlockSince = { network: 4, scope: 6 };
