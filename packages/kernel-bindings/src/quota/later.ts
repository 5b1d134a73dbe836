// Calls that may wait for a disk, made on the thread pool.
import koffi from "koffi";
import { later } from "../later.ts";

const libc = koffi.load("libc.so.6");
const native = {
  ioctl: libc.func("int ioctl(int descriptor, unsigned long request, _Inout_ void *argument)"),
  ioctlNumber: libc.func("int ioctl(int descriptor, unsigned long request, unsigned long argument)"),
  lseek: libc.func("int64_t lseek(int descriptor, int64_t offset, int whence)"),
  quotactl: libc.func(
    "long syscall(long number, unsigned int descriptor, unsigned int command, uint32_t id, _Inout_ void *argument)",
  ),
};
const hexadecimal = (request: number): string => `0x${request.toString(16)}`;

/** ioctl(2) with a buffer that the call may change. */
export const ioctlLater = (descriptor: number, request: number, argument: Buffer): Promise<number> =>
  later("ioctl", hexadecimal(request), native.ioctl, descriptor, request, argument);

/** ioctl(2) whose argument is a number, or none. */
export const ioctlNumberLater = (descriptor: number, request: number, argument = 0): Promise<number> =>
  later("ioctl", hexadecimal(request), native.ioctlNumber, descriptor, request, argument);

/** lseek(2): where data or a hole begins may be on a disk. */
export const lseekLater = (descriptor: number, offset: number, whence: number): Promise<number> =>
  later("lseek", `offset ${offset}`, native.lseek, descriptor, offset, whence);

const SYS_quotactl_fd = 443;
/** quotactl_fd(2) for project quotas, of the file system that a descriptor is on (Linux 5.14). */
export const projectQuotaLater = async (
  descriptor: number,
  command: number,
  id: number,
  argument: Buffer,
): Promise<void> => {
  const PRJQUOTA = 2;
  const whole = ((command << 8) | PRJQUOTA) >>> 0;
  await later(
    "quotactl_fd",
    `project ${id}`,
    native.quotactl,
    SYS_quotactl_fd,
    descriptor,
    whole,
    id,
    argument,
  );
};

/** The number of an ioctl as linux/ioctl.h builds it: direction, letter or byte, number, size of its argument. */
export const ioctlRequest = (
  direction: "none" | "in" | "out" | "both",
  type: number,
  number: number,
  size = 0,
) => ((({ none: 0, in: 1, out: 2, both: 3 })[direction] << 30) | (size << 16) | (type << 8) | number) >>> 0;
