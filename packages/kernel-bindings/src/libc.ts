// The C library through koffi: typed calls that throw KernelError. Only what Node may do itself: nothing here forks,
// and only the namespaces that a thread has for itself are ever changed, around one synchronous call.
import { openSync, readlinkSync } from "node:fs";
import koffi from "koffi";
import { addressBytes } from "./addresses.ts";
import { KernelError } from "./errors.ts";

const libc = koffi.load("libc.so.6");

/** Sockets: the header of sendmsg(2), with its parts as pointers. */
koffi.struct("tsd_iovec", { base: "void *", length: "size_t" });
koffi.struct("tsd_msghdr", {
  name: "void *",
  namelen: "uint32_t",
  iov: "tsd_iovec *",
  iovlen: "size_t",
  control: "void *",
  controllen: "size_t",
  flags: "int",
});

const native = {
  socketpair: libc.func("int socketpair(int domain, int type, int protocol, _Out_ int *pair)"),
  socket: libc.func("int socket(int domain, int type, int protocol)"),
  bind: libc.func("int bind(int descriptor, const void *address, uint32_t length)"),
  send: libc.func("intptr_t send(int descriptor, const void *bytes, size_t length, int flags)"),
  recv: libc.func("intptr_t recv(int descriptor, _Out_ void *bytes, size_t length, int flags)"),
  sendmsg: libc.func("intptr_t sendmsg(int descriptor, const tsd_msghdr *header, int flags)"),
  getsockopt: libc.func(
    "int getsockopt(int descriptor, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)",
  ),
  setsockopt: libc.func(
    "int setsockopt(int descriptor, int level, int name, const void *value, uint32_t length)",
  ),
  memfd_create: libc.func("int memfd_create(const char *name, unsigned int flags)"),
  close: libc.func("int close(int descriptor)"),
  read: libc.func("intptr_t read(int descriptor, _Out_ void *bytes, size_t length)"),
  fanotify_init: libc.func("int fanotify_init(unsigned int flags, unsigned int eventFlags)"),
  fanotify_mark: libc.func(
    "int fanotify_mark(int group, unsigned int flags, uint64_t mask, int directory, const char *path)",
  ),
  fcntl: libc.func("int fcntl(int descriptor, int command, int argument)"),
  setns: libc.func("int setns(int descriptor, int type)"),
  mount: libc.func(
    "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
  ),
  umount2: libc.func("int umount2(const char *target, int flags)"),
  ioctl: libc.func("int ioctl(int descriptor, unsigned long request, _Inout_ void *argument)"),
  prctl: libc.func(
    "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
  ),
  fsopen: libc.func("int fsopen(const char *type, unsigned int flags)"),
  fsconfig: libc.func(
    "int fsconfig(int fs, unsigned int command, const char *key, const char *value, int auxiliary)",
  ),
  fsmount: libc.func("int fsmount(int fs, unsigned int flags, unsigned int attributes)"),
  open_tree: libc.func("int open_tree(int directory, const char *path, unsigned int flags)"),
  move_mount: libc.func(
    "int move_mount(int from, const char *fromPath, int to, const char *toPath, unsigned int flags)",
  ),
  mount_setattr: libc.func(
    "int mount_setattr(int directory, const char *path, unsigned int flags, const void *attributes, size_t size)",
  ),
  malloc_trim: libc.func("int malloc_trim(size_t pad)"),
  lsetxattr: libc.func(
    "int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)",
  ),
  setxattr: libc.func(
    "int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)",
  ),
  syscall: libc.func(
    "long syscall(long number, int directory, const char *path, const void *how, size_t size)",
  ),
};

/** Throws what errno says if `result` is −1. */
function check(result: number, call: string, path = ""): number {
  if (result < 0) throw new KernelError(call, koffi.errno(), path);
  return result;
}

const O_CLOEXEC = 0o2000000;
const SOCK_CLOEXEC = O_CLOEXEC;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLOEXEC = O_CLOEXEC;
const SYS_openat2 = 437;
const EAGAIN = 11;
/** Somebody who renames files all the time does not hold us up for ever. */
const OPENAT2_ATTEMPTS = 1000;
export const AT_FDCWD = -100;
export const AT_RECURSIVE = 0x8000;
export const OPEN_TREE_CLONE = 1;
export const MNT_DETACH = 2;
export const O_PATH = 0o10000000;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_IN_ROOT = 0x10;

export const closeDescriptor = (descriptor: number): void => {
  check(native.close(descriptor), "close");
};

/** Keeps a descriptor from the programs that this one starts. */
export const closeOnExec = (descriptor: number): void => {
  const F_SETFD = 2;
  const FD_CLOEXEC = 1;
  check(native.fcntl(descriptor, F_SETFD, FD_CLOEXEC), "fcntl");
};

/** A pair of connected AF_UNIX sockets, of a stream or of messages that stay whole. */
export function socketPair(kind: "stream" | "messages" = "stream"): [number, number] {
  const pair = [0, 0];
  const type = kind === "stream" ? SOCK_STREAM : SOCK_SEQPACKET;
  check(native.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), "socketpair");
  return pair as [number, number];
}

/** An anonymous file in memory. */
export const memoryFile = (name: string): number => check(native.memfd_create(name, 1), "memfd_create", name);

/** Sends bytes with descriptors attached (SCM_RIGHTS, unix(7)). */
export function sendDescriptors(socket: number, bytes: Uint8Array, descriptors: readonly number[]): void {
  const none = descriptors.length === 0;
  const control = Buffer.alloc(Math.ceil((16 + descriptors.length * 4) / 8) * 8);
  control.writeBigUInt64LE(BigInt(16 + descriptors.length * 4), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  descriptors.forEach((descriptor, index) => {
    control.writeInt32LE(descriptor, 16 + index * 4);
  });
  const header = {
    name: null,
    namelen: 0,
    iov: [{ base: bytes, length: bytes.length }],
    iovlen: 1,
    control: none ? null : control,
    controllen: none ? 0 : control.length,
    flags: 0,
  };
  const sent = check(native.sendmsg(socket, header, MSG_NOSIGNAL | MSG_DONTWAIT), "sendmsg");
  if (sent !== bytes.length) throw new Error(`sendmsg: ${sent} of ${bytes.length} bytes were sent`);
}

/** Gives memory that was freed back to the kernel (malloc_trim(3)). */
export function trimMemory(): void {
  native.malloc_trim(0);
}

/** Who is at the other end of a Unix socket (SO_PEERCRED, unix(7)). */
export function peerCredentials(socket: number): { pid: number; uid: number; gid: number } {
  const value = Buffer.alloc(12);
  check(
    native.getsockopt(socket, SOL_SOCKET, SO_PEERCRED, value, [value.length]),
    "getsockopt",
    "SO_PEERCRED",
  );
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

/** Opens a path below a directory descriptor; `resolve` is RESOLVE_* (openat2(2)). The caller closes it. Where a path that may not
 * leave the directory goes up, the kernel says EAGAIN when anything at all was mounted or renamed on the machine meanwhile. */
export function openat2(directory: number, path: string, flags: number, resolve: number): number {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  let result = -1;
  for (let attempt = 0; attempt < OPENAT2_ATTEMPTS; attempt++) {
    result = Number(native.syscall(SYS_openat2, directory, path, how, how.length));
    if (result >= 0 || koffi.errno() !== EAGAIN) break;
  }
  return check(result, "openat2", path);
}

export const fsopen = (type: string): number => check(native.fsopen(type, 1), "fsopen", type);
export function fsconfigString(fs: number, key: string, value: string): void {
  check(native.fsconfig(fs, 1, key, value, 0), "fsconfig", `${key}=${value}`);
}
export function fsconfigFlag(fs: number, key: string): void {
  check(native.fsconfig(fs, 0, key, null, 0), "fsconfig", key);
}
/** Makes the configured file system and returns a descriptor of its detached mount. */
export function fsmount(fs: number, attributes = 0): number {
  check(native.fsconfig(fs, 6, null, null, 0), "fsconfig", "create");
  return check(native.fsmount(fs, 1, attributes), "fsmount");
}
export const openTree = (directory: number, path: string, flags: number): number =>
  check(native.open_tree(directory, path, flags | OPEN_TREE_CLOEXEC), "open_tree", path);
/** Attaches a detached mount at a path. */
export function moveMount(tree: number, path: string): void {
  check(native.move_mount(tree, "", AT_FDCWD, path, 4), "move_mount", path);
}
/** Sets MOUNT_ATTR_* and propagation on the mount a descriptor stands for (mount_setattr(2)). */
export function mountSetattr(tree: number, attributes: number, propagation = 0, recursive = false): void {
  const value = Buffer.alloc(32);
  value.writeBigUInt64LE(BigInt(attributes), 0);
  value.writeBigUInt64LE(BigInt(propagation), 16);
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  check(native.mount_setattr(tree, "", flags, value, value.length), "mount_setattr");
}
/** Maps the ids of a detached mount by a user namespace's descriptor (MOUNT_ATTR_IDMAP). */
export function mapMountIds(tree: number, userNamespace: number): void {
  const MOUNT_ATTR_IDMAP = 0x100000;
  const value = Buffer.alloc(32);
  value.writeBigUInt64LE(BigInt(MOUNT_ATTR_IDMAP), 0);
  value.writeBigUInt64LE(BigInt(userNamespace), 24);
  check(native.mount_setattr(tree, "", AT_EMPTY_PATH, value, value.length), "mount_setattr", "ids");
}
export function mount(
  source: string,
  target: string,
  type: string,
  flags: number,
  data: string | null,
): void {
  check(native.mount(source, target, type, flags, data), "mount", target);
}
export function umount(target: string, flags = MNT_DETACH): void {
  check(native.umount2(target, flags), "umount2", target);
}
/** ioctl(2) with a buffer as its argument, which the call may change. */
export const ioctl = (descriptor: number, request: number, argument: Buffer): number =>
  check(native.ioctl(descriptor, request, argument), "ioctl", `0x${request.toString(16)}`);
export const prctl = (option: number, ...values: number[]): number =>
  check(
    native.prctl(option, values[0] ?? 0, values[1] ?? 0, values[2] ?? 0, values[3] ?? 0),
    "prctl",
    String(option),
  );

const AF_NETLINK = 16;
const SOCK_RAW = 3;
/** A netlink socket of a protocol (netlink(7)); the caller closes it. */
export const netlinkSocket = (protocol: number): number =>
  check(native.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket", "netlink");
/** A socket that holds a port of the host's, bound and no more: nobody else gets it. The caller closes it. */
export function bindPort(protocol: "tcp" | "udp" | "sctp", address: string, port: number): number {
  const AF_INET = 2;
  const AF_INET6 = 10;
  const SOCK_STREAM = 1;
  const SOCK_DGRAM = 2;
  const IPPROTO_SCTP = 132;
  const IPPROTO_IPV6 = 41;
  const IPV6_V6ONLY = 26;
  const family = address.includes(":") ? AF_INET6 : AF_INET;
  const type = protocol === "udp" ? SOCK_DGRAM : SOCK_STREAM;
  const about = `${address} ${port}/${protocol}`;
  const socket = check(
    native.socket(family, type | SOCK_CLOEXEC, protocol === "sctp" ? IPPROTO_SCTP : 0),
    "socket",
    about,
  );
  try {
    const one = Buffer.from([1, 0, 0, 0]);
    if (family === AF_INET6)
      check(native.setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, one, 4), "setsockopt", about);
    const name = Buffer.alloc(family === AF_INET ? 16 : 28);
    name.writeUInt16LE(family, 0);
    name.writeUInt16BE(port, 2);
    name.set(addressBytes(address), family === AF_INET ? 4 : 8);
    check(native.bind(socket, name, name.length), "bind", about);
    return socket;
  } catch (error) {
    closeDescriptor(socket);
    throw error;
  }
}
function setSocketNumber(socket: number, option: number, number: number, name: string): void {
  const value = Buffer.alloc(4);
  value.writeInt32LE(number);
  check(native.setsockopt(socket, SOL_SOCKET, option, value, 4), "setsockopt", name);
}
/** Lets one message be as large as this, in bytes, whatever the host's limit (SO_SNDBUFFORCE, socket(7)). */
export function allowMessages(socket: number, size: number): void {
  const SO_SNDBUFFORCE = 32;
  setSocketNumber(socket, SO_SNDBUFFORCE, size, "SO_SNDBUFFORCE");
}
export function send(socket: number, bytes: Uint8Array): void {
  check(native.send(socket, bytes, bytes.length, MSG_NOSIGNAL), "send");
}
/** Receives into `buffer`; returns the number of bytes. */
export const receive = (socket: number, buffer: Uint8Array): number =>
  check(native.recv(socket, buffer, buffer.length, 0), "recv");

/** Receives what is there already; 0 when nothing is. */
export function receiveNow(socket: number, buffer: Uint8Array): number {
  const size = native.recv(socket, buffer, buffer.length, MSG_DONTWAIT);
  return size < 0 && koffi.errno() === EAGAIN ? 0 : check(size, "recv");
}

/** Kinds that a thread may change for itself, by their names in /proc/PID/ns. */
const threadNamespaces = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 } as const;

/** Joins a multicast group (1 to 32) of a netlink socket's protocol. */
export function joinNetlinkGroup(socket: number, group: number): void {
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(1 << (group - 1), 8);
  check(native.bind(socket, address, address.length), "bind", "netlink");
}
/** Lets so many bytes wait to be received, whatever the host's limit (SO_RCVBUFFORCE, socket(7)). */
export function allowReceiving(socket: number, size: number): void {
  const SO_RCVBUFFORCE = 33;
  setSocketNumber(socket, SO_RCVBUFFORCE, size, "SO_RCVBUFFORCE");
}

/** Reads what is there already from a descriptor that does not block; 0 when nothing is. */
export function readNow(descriptor: number, buffer: Uint8Array): number {
  const size = Number(native.read(descriptor, buffer, buffer.length));
  return size < 0 && koffi.errno() === EAGAIN ? 0 : check(size, "read");
}

/** A notification group of fanotify(7): nobody waits for it, and reading it does not block. The caller closes it. */
export function fanotifyInit(): number {
  const FAN_CLOEXEC = 0x1;
  const FAN_NONBLOCK = 0x2;
  const O_LARGEFILE = 0o100000;
  return check(native.fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK, O_LARGEFILE | O_CLOEXEC), "fanotify_init");
}
/** Asks a group to tell of what happens on the mount that a path is on. */
export function fanotifyMark(group: number, mask: bigint, path: string): void {
  const FAN_MARK_ADD_MOUNT = 0x1 | 0x10;
  check(native.fanotify_mark(group, FAN_MARK_ADD_MOUNT, mask, AT_FDCWD, path), "fanotify_mark", path);
}

/** Runs `action` with this thread in the namespace of this kind at `path`. It must be synchronous, and do no more than open a
 * socket or read what only shows from there. */
export function inNamespace<T>(kind: keyof typeof threadNamespaces, path: string, action: () => T): T {
  const own = openSync(`/proc/thread-self/ns/${kind}`, "r");
  const wanted = openSync(path, "r");
  try {
    check(native.setns(wanted, threadNamespaces[kind]), "setns", path);
    try {
      return action();
    } finally {
      // Staying behind in a container's network would mean serving the API there.
      if (native.setns(own, threadNamespaces[kind]) < 0) process.abort();
    }
  } finally {
    closeDescriptor(wanted);
    closeDescriptor(own);
  }
}

/** As inNamespace, in the network namespace at `path`. */
export const inNetworkNamespace = <T>(path: string, action: () => T): T => inNamespace("net", path, action);

/** Sets an extended attribute on the file itself, not on what it links to (lsetxattr(2)). */
export function setAttribute(path: string, name: string, value: Uint8Array): void {
  check(native.lsetxattr(path, name, value, value.length, 0), "lsetxattr", path);
}

/** Sets an extended attribute on what a descriptor, O_PATH too, stands for; a symbolic link's own. */
export function setAttributeOf(descriptor: number, name: string, value: Uint8Array): void {
  const path = `/proc/self/fd/${descriptor}`;
  check(native.setxattr(path, name, value, value.length, 0), "setxattr", descriptorPath(descriptor));
}

/** The path a descriptor stands for, as the kernel shows it. */
export const descriptorPath = (descriptor: number): string => readlinkSync(`/proc/self/fd/${descriptor}`);
